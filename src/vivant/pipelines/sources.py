"""The portrait that moves: its faces chosen and checked, its crops, and the way back into the picture."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from vivant.compose.paste import Paster
from vivant.core.clip import Clip
from vivant.core.errors import FaceError, MediaError
from vivant.core.face import Face, FaceCrop
from vivant.pipelines.choose import FaceChoice, check_face, choose_faces, parse_choice
from vivant.pipelines.crops import VideoCrops, crop_of, native_side, with_alpha
from vivant.pipelines.progress import bar, spans

CropStream = Iterator[np.ndarray | None]


def crop_side(config: Any) -> int:
    """Side in pixels of the crops a method is given: never less than what it generates."""
    return int(max(config.input_size, config.output_size))


@dataclass
class Portrait:
    """What moves. ``crops``: per face the FaceCrop of a still, or the VideoCrops of a video. ``clip``: its
    pictures. ``count``: frames of a video, None for a still. ``warnings``: faces left out."""

    clip: Clip
    crops: list[Any]
    count: int | None = None
    warnings: list[str] = field(default_factory=list)
    match_color: bool = False

    @property
    def still(self) -> bool:
        """Whether the source is one picture."""
        return self.count is None

    def backgrounds(self) -> Iterator[np.ndarray]:
        """The pictures that generated crops go into; a still repeats for ever."""
        if not self.still:
            yield from self.clip.frames
            return
        frame = next(iter(self.clip.frames))
        while True:
            yield frame

    def pasted(self, streams: list[CropStream]) -> Iterator[np.ndarray]:
        """Whole pictures (H, W, 3) uint8 from one stream of generated crops per face."""
        pasters = [self._pasters(crop) for crop in self.crops]
        for frame, *faces in zip(self.backgrounds(), *(zip(a, b) for a, b in zip(pasters, streams))):
            for paster, crop in faces:
                if paster is not None and crop is not None:
                    frame = paster.paste(frame, crop)
            yield frame

    def cropped(self, streams: list[CropStream]) -> Iterator[np.ndarray]:
        """Only the generated squares (O, O x faces, 3), side by side where there are several."""
        for crops in zip(*streams):
            known = [crop for crop in crops if crop is not None]
            if known:
                yield np.concatenate([known[0] if crop is None else crop for crop in crops], axis=1)

    def _pasters(self, crop: Any) -> Iterator[Paster | None]:
        if isinstance(crop, FaceCrop):
            paster = Paster(self.clip.size, crop.to_frame, crop.image.shape[0], self.match_color)
            while True:
                yield paster
        for to_frame in crop.to_frames():
            known = to_frame is not None
            yield Paster(self.clip.size, to_frame, crop.side, self.match_color) if known else None


def still_portrait(finder: Any, clip: Clip, config: Any, face: FaceChoice, name: str) -> Portrait:
    """A portrait from one picture.

    Raises:
        MediaError: there is no picture.
        FaceError: no face, too small, or a profile.
    """
    frame = next(iter(clip.frames), None)
    if frame is None:
        raise MediaError(f"There are no frames in {name}: give a file that plays.")
    faces, warnings = choose_faces(finder.find(frame), face, name, clip.size)
    kept = _usable(faces, name, clip.size, warnings)
    native = getattr(config, "native", False)
    side = max(native_side(found, config) for found in kept) if native else crop_side(config)
    crops = [crop_of(frame, found, config.source_crop, side) for found in kept]
    if getattr(config, "needs_alpha", False):
        crops = with_alpha(crops, frame, config.source_crop.border)
    return Portrait(clip, crops, None, warnings)


def _usable(faces: list[Face], name: str, size: tuple[int, int], warnings: list[str]) -> list[Face]:
    """Faces that pass :func:`check_face`; with several, those that fail are left out and named in
    ``warnings``."""
    kept: list[Face] = []
    first: FaceError | None = None
    for face in faces:
        try:
            check_face(face, name, size)
            kept.append(face)
        except FaceError as error:
            first = first or error
            warnings.append(f"Left as it is: {error}")
    if not kept and first is not None:
        raise first
    return kept


def video_portrait(
    clip: Clip, config: Any, face: FaceChoice, name: str, length: int | None, progress: bool
) -> Portrait:
    """A portrait from a video: one reading pass follows the faces, at most ``length`` frames.

    Raises:
        MediaError: there are no frames.
        FaceError: no face in any frame, or the first one is too small or a profile.
    """
    frames = bar(islice(clip.frames, length), length or clip.count, "read source", progress)
    tracks = _tracks(frames, face)
    count = max((len(track) for track in tracks), default=0)
    if count == 0:
        raise MediaError(f"There are no frames in {name}: give a file that plays.")
    seen = [track for track in tracks if any(found is not None for found in track)]
    if not seen:
        raise FaceError(f"No face was found in any of the {count} frames of {name}: use a video that shows one.")
    firsts = {id(track): next(found for found in track if found is not None) for track in seen}
    warnings: list[str] = []
    kept = _usable(list(firsts.values()), name, clip.size, warnings)
    chosen = [track for track in seen if any(firsts[id(track)] is found for found in kept)]
    warnings += _unseen(chosen, count, name)
    crops = [VideoCrops(clip, track, config.source_crop, crop_side(config)) for track in chosen]
    return Portrait(clip, crops, count, warnings)


def _unseen(tracks: list[list[Face | None]], count: int, name: str) -> list[str]:
    """A warning that names the frames in which none of the moved faces is seen."""
    empty = [index for index, faces in enumerate(zip(*tracks)) if all(face is None for face in faces)]
    if not empty:
        return []
    return [f"No face in {len(empty)} of {count} frames of {name}, they stay as they are: frames {spans(empty)}."]


def _tracks(frames: Iterable[np.ndarray], face: FaceChoice) -> list[list[Face | None]]:
    """Per person the face in every frame, None where it is not seen."""
    from vivant.perception.tracking import FaceTracker, follow

    face = parse_choice(face)
    if face != "all":
        return [list(follow(frames, face))]
    tracker = FaceTracker()
    tracks: dict[int, list[Face | None]] = {}
    count = 0
    for frame in frames:
        for number, found in tracker.update(frame).items():
            track = tracks.setdefault(number, [])
            track.extend([None] * (count - len(track)))
            track.append(found)
        count += 1
    for track in tracks.values():
        track.extend([None] * (count - len(track)))
    return list(tracks.values()) or [[None] * count]
