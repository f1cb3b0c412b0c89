"""A person in a picture and the poses of a driver, for methods that are driven by poses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vivant.controls.openpose import SUFFIX, PoseTrack
from vivant.core.clip import Clip
from vivant.core.controls import Controls
from vivant.core.errors import BodyError, ConfigError, MediaError
from vivant.core.face import FaceCrop
from vivant.core.skeleton import POINTS
from vivant.pipelines.choose import parse_choice
from vivant.pipelines.controls import Driven
from vivant.pipelines.inputs import is_path, name_of
from vivant.pipelines.progress import bar
from vivant.pipelines.sources import Portrait, crop_side

if TYPE_CHECKING:
    from vivant.perception.body import BlazeBodyFinder, Body

ROOM = 1.7
"""Side of a person's square over the longer side of their body: arms and legs need room to move."""


def kept_poses(value: Any) -> PoseTrack | None:
    """The poses that ``vivant poses`` kept, if ``value`` names a file of that kind.

    Raises:
        MediaError: it is missing, damaged, or holds something else.
    """
    if not is_path(value) or Path(value).suffix.lower() != SUFFIX:
        return None
    return PoseTrack.load(value)


def drawn(track: PoseTrack) -> Clip:
    """Poses as a clip of their drawings."""
    return Clip(track.drawings(), track.fps, track.size, len(track))


def person_and_poses(
    pipe: Any, request: Any, clip: Clip, driver: Clip | None, fps: Fraction, track: PoseTrack | None = None
) -> tuple[Portrait, Driven]:
    """The portrait of one person in ``clip``, and the driver's poses with that person's proportions.

    ``track``: the driver's poses, where they were kept; else they are read from its frames.

    Raises:
        ConfigError: there is no driver, or a choice of people that makes no sense. MediaError: there are no frames.
        BodyError: nobody is seen, or not the person asked for.
    """
    if driver is None:
        raise ConfigError(f"The method '{pipe.spec.name}' is driven by poses: give a video of a person (-d).")
    from vivant.controls.body_rescale import rescale
    from vivant.perception.body import BlazeBodyFinder

    finder = BlazeBodyFinder()
    frame = next(iter(clip.frames), None)
    name = name_of(request.source, "source")
    if frame is None:
        raise MediaError(f"There are no frames in {name}: give a file that plays.")
    found = finder.find(frame)
    if not found:
        raise BodyError(f"Nobody was found in {name}: give a picture that shows a person.")
    person, told = _chosen(found, request.face, name)
    crop = person_crop(frame, person.box, crop_side(pipe.config))
    points, missing = _held(_read(request, driver, fps, track, finder), name_of(request.driving, "driver"))
    track = rescale(PoseTrack(points, fps, driver.size).smoothed(), person.keypoints, clip.size)
    pose = track.in_picture(crop.to_frame, crop.image.shape[0])
    controls = Controls(fps, len(pose), pose=pose)
    warnings = [f"Nobody is seen in {missing} of {len(pose)} frames of the driver; the pose before is held."] * (
        missing > 0
    )
    return Portrait(clip, [crop], warnings=told), Driven(controls, driver.audio, driver, warnings)


def _chosen(found: Sequence[Body], choice: str | int, name: str) -> tuple[Body, list[str]]:
    """The person meant, of several, largest first, and a warning that tells of others."""
    choice = parse_choice(choice)
    if choice == "all":
        raise ConfigError("One person performs the poses: give --face largest, or the person's number from 0.")
    index = 0 if choice == "largest" else int(choice)
    if index >= len(found):
        raise BodyError(f"There is no person {index} in {name}, which shows {len(found)}: 0 is the largest.")
    others = choice == "largest" and len(found) > 1
    return found[index], [f"{name} shows {len(found)} people, the largest performs; choose by --face."] * others


def person_crop(frame: np.ndarray, box: np.ndarray, side: int) -> FaceCrop:
    """A square with room around the body's ``box`` (4,), (side, side, 3); beyond the picture its edge repeats.

    The square is no larger than the longer side of the picture, and inside it where it fits.
    """
    height, width = frame.shape[:2]
    size = min(ROOM * float(max(box[2] - box[0], box[3] - box[1])), float(max(height, width)))
    centre = (box[:2] + box[2:]) / 2
    low, high = np.full(2, size / 2), np.array([width, height]) - size / 2
    centre = np.where(low <= high, np.clip(centre, low, np.maximum(low, high)), np.array([width, height]) / 2)
    scale = size / side
    shift = centre - size / 2 + 0.5 * scale - 0.5  # centres of pixels on each other
    to_frame = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float64)
    if scale > 2:  # sampling would skip pixels
        smaller = cv2.resize(frame, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA)
        back = np.array([[1, 0, shift[0] / scale], [0, 1, shift[1] / scale]], np.float64)
        picture = _warped(smaller, back, side)
    else:
        picture = _warped(frame, to_frame, side)
    return FaceCrop(picture, np.zeros((478, 3), np.float32), to_frame, (height, width))


def _warped(frame: np.ndarray, to_frame: np.ndarray, side: int) -> np.ndarray:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, to_frame, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _read(
    request: Any, driver: Clip, fps: Fraction, track: PoseTrack | None, finder: BlazeBodyFinder
) -> Iterator[np.ndarray | None]:
    """Keypoints (128, 3) of the driver's person in each frame at ``fps``; None where nobody is seen."""
    if track is None:
        from vivant.media.video import at_rate
        from vivant.perception.body_tracking import follow_body

        frames = bar(at_rate(driver, fps).frames, driver.count, "read poses", request.progress)
        for body in follow_body(frames, request.driving_face, finder):
            yield None if body is None else body.keypoints
        return
    if request.driving_face != "largest":
        raise ConfigError("Kept poses are those of one person: leave --driving-face out.")
    step = track.fps / fps if len(track) > 1 else Fraction(1)
    for number in range(-int(-len(track) // step)):
        points = np.zeros((POINTS, 3), np.float32)
        points[: track.points.shape[1]] = track.points[int(number * step)]
        yield points if (points[:, 2] > 0).any() else None


def _held(poses: Iterable[np.ndarray | None], name: str) -> tuple[np.ndarray, int]:
    """(F, 128, 3) keypoints of one person, and in how many frames the person is missing and the pose is held.

    Raises:
        MediaError: there are no frames. BodyError: nobody in any frame.
    """
    rows: list[np.ndarray] = []
    leading = missing = 0
    for points in poses:
        missing += points is None
        if points is not None:
            rows.append(points)
        elif rows:
            rows.append(rows[-1])
        else:
            leading += 1
    if not rows and not leading:
        raise MediaError(f"There are no frames in {name}: give a file that plays.")
    if not rows:
        raise BodyError(f"Nobody was found in any frame of {name}: give a video that shows a person.")
    return np.stack([rows[0]] * leading + rows), missing
