"""``vivant poses``: the skeleton of a person in a video, kept in a file or drawn as pose transfer wants it."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vivant.core.errors import BodyError, ConfigError, MediaError
from vivant.pipelines.inputs import IMAGE_SUFFIXES, Media, as_clip, check_output, is_path, name_of
from vivant.pipelines.progress import bar, spans

if TYPE_CHECKING:
    from vivant.controls.openpose import PoseTrack
    from vivant.core.clip import Clip
    from vivant.perception.body import BodyFinder

READERS = ("blazepose", "dwpose")
TRACK = ".safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant poses``."""
    parser.add_argument("source", help="video or picture of a person, or poses kept before (.safetensors)")
    parser.add_argument("-o", "--output", action="append", required=True, metavar="FILE",
                        help="poses (.safetensors) or a drawing (.mp4, .png, folder); may be given twice")  # fmt: skip
    parser.add_argument("--person", default="largest", metavar="WHICH", help="largest, or an index by size from 0")
    parser.add_argument("--reader", choices=READERS, default="blazepose", help="nets that see (default: the bundled)")
    parser.add_argument("--dwpose-files", nargs=2, metavar=("DETECTOR", "POSE"), help="ONNX files for --reader dwpose")
    parser.add_argument("--device", default="cpu", help="cpu or cuda, for --reader dwpose")
    parser.add_argument("--smooth", type=float, default=1.0, metavar="FRAMES", help="0 leaves the tremble (default: 1)")
    parser.add_argument("--fit", metavar="PICTURE", help="give the poses the proportions and place of the person in it")
    parser.add_argument("--no-hands", action="store_true", help="do not draw hands")
    parser.add_argument("--no-face", action="store_true", help="do not draw the face, as the paper's own drawings")
    parser.add_argument("--over", action="store_true", help="draw on the frames of the video, to look at")
    parser.add_argument("--quality", type=int, default=18, help="of drawings, 0 (best) to 51 (default: 18)")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Read, keep and draw as asked."""
    for path in args.output:
        check_output(path, True, (args.source, args.fit), motion=True)
        if Path(path).suffix.lower() == ".pkl":
            raise ConfigError("Poses are kept as .safetensors: name such a file.")
    _check(args)
    finder = None if _kept(args.source) else make_reader(args.reader, args.dwpose_files, args.device)
    track, missing = read_poses(args.source, args.person, finder, not args.quiet)
    track = track.smoothed(args.smooth) if args.smooth else track
    if args.fit:
        track = fitted(track, args.fit)
    for path in args.output:
        if Path(path).suffix.lower() == TRACK:
            track.save(path)
        else:
            _draw(track, path, args)
    where = f"; nobody was seen in {len(missing)}: {spans(missing)}" if missing else ""
    print(f"Poses of {len(track)} frames in {', '.join(map(str, args.output))}{where}.")
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse what makes no sense before the video is read. Raises ConfigError."""
    if not 0 <= args.smooth < math.inf:
        raise ConfigError("--smooth counts frames: give 0 or more.")
    if not 0 <= args.quality <= 51:
        raise ConfigError(f"The quality {args.quality} is out of range: give 0 (best, largest) to 51.")
    if args.person != "largest" and not args.person.isdecimal():
        raise ConfigError(f"Which person to follow is 'largest' or a number from 0, not '{args.person}'.")
    if args.over and (args.fit or _kept(args.source)):
        raise ConfigError("--over draws on the video that the poses were read from: leave out --fit, and give a video.")
    if args.fit:
        as_clip(args.fit, "picture")


def make_reader(name: str, files: tuple[str, str] | None = None, device: str = "cpu") -> BodyFinder:
    """A reader of poses by name.

    Raises:
        ConfigError, MissingExtraError, WeightsError: it is not known, not installed or cannot be loaded.
    """
    if name == "blazepose":
        from vivant.perception.body import BlazeBodyFinder

        return BlazeBodyFinder()
    if name == "dwpose":
        from vivant.perception.dwpose import DWPoseFinder

        return DWPoseFinder(files=None if files is None else (files[0], files[1]), device=device)
    raise ConfigError(f"There is no reader of poses '{name}': use one of {', '.join(READERS)}.")


def read_poses(
    source: Media, person: str | int = "largest", finder: BodyFinder | None = None, progress: bool = False
) -> tuple[PoseTrack, list[int]]:
    """One person's poses in a video or picture, or poses kept in a file, and the frames in which nobody was seen.

    Raises:
        MediaError: the source cannot be read. BodyError: nobody is seen in any frame. ConfigError: a wrong ``person``.
    """
    from vivant.controls.openpose import PoseTrack
    from vivant.perception.body_tracking import follow_body

    if _kept(source):
        track = PoseTrack.load(source)  # type: ignore[arg-type]  # a path
        return track, []
    clip, name = as_clip(source, "source"), name_of(source, "source")
    frames = bar(clip.frames, clip.count, "read poses", progress)
    rows = [None if body is None else body.keypoints for body in follow_body(frames, person, finder)]
    if not rows:
        raise MediaError(f"There are no frames in {name}: give a file that plays.")
    known = [row for row in rows if row is not None]
    if not known:
        raise BodyError(f"Nobody was found in any frame of {name}: give a video that shows a person.")
    empty = np.zeros_like(known[0])
    points = np.stack([empty if row is None else row for row in rows])
    return PoseTrack(points, clip.fps, clip.size), [i for i, row in enumerate(rows) if row is None]


def fitted(track: PoseTrack, picture: Media, finder: BodyFinder | None = None) -> PoseTrack:
    """The poses performed by the largest person in ``picture``, in its pixels.

    Raises:
        MediaError: the picture cannot be read. BodyError: nobody is seen in it.
    """
    from vivant.controls.body_rescale import rescale

    clip, name = as_clip(picture, "picture"), name_of(picture, "picture")
    frame = next(iter(clip.frames), None)
    found = [] if frame is None else (finder or make_reader("blazepose")).find(frame)
    if not found:
        raise BodyError(f"Nobody was found in {name}: give a picture that shows a person.")
    return rescale(track, found[0].keypoints, clip.size)


def _kept(source: Media) -> bool:
    return is_path(source) and Path(source).suffix.lower() == TRACK


def _draw(track: PoseTrack, path: str, args: argparse.Namespace) -> None:
    from vivant.media.image import write_image
    from vivant.media.writer import VideoWriter

    drawings: Iterable[np.ndarray] = track.drawings(hands=not args.no_hands, face=not args.no_face)
    if Path(path).suffix.lower() in IMAGE_SUFFIXES and len(track) > 1:
        raise ConfigError(
            f"There are {len(track)} poses, more than the picture {path} can hold: name a video, like .mp4."
        )
    if args.over:
        drawings = _over(as_clip(args.source, "source"), drawings)
    if Path(path).suffix.lower() in IMAGE_SUFFIXES:
        write_image(path, next(iter(drawings)))
        return
    with VideoWriter(path, track.fps, track.size, quality=args.quality) as writer:
        for frame in bar(drawings, len(track), "draw", not args.quiet):
            writer.write(frame)


def _over(clip: Clip, drawings: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames with the skeleton laid over them."""
    for frame, drawing in zip(clip.frames, drawings):
        yield np.where(drawing.any(-1, keepdims=True), drawing, frame // 2 + frame // 4)
