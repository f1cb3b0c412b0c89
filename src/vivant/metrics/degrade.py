"""True clips spoiled in known ways, what each way must change, and what it must leave alone.

A metric that is worth its name moves the right way when something it is about gets worse, and stays when something else
does. ``vivant evaluate degradations`` makes the spoiled clips, measures them and compares with :data:`EXPECTED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vivant.core.clip import Audio, Clip
from vivant.core.errors import FaceError
from vivant.metrics.warp import MeshWarp

Frames = Iterator[np.ndarray]
DELAY = 5
"""Frames of the time shift and, as seconds, of the sound shift."""


@dataclass(frozen=True)
class Other:
    """Another person's face: picture (H, W, 3) uint8 and landmarks (478, 3) in it."""

    picture: np.ndarray
    landmarks: np.ndarray


def unchanged(clip: Clip, other: Other) -> Clip:
    """Only encoded again: what every spoiled clip is compared with."""
    return clip


def blurred(clip: Clip, other: Other) -> Clip:
    """Gaussian blur of 1.5 pixels at 256 pixels a side."""
    import cv2

    sigma = 1.5 * min(clip.size) / 256
    return replace(clip, frames=_mapped(clip, lambda picture: cv2.GaussianBlur(picture, (0, 0), sigma)))


def noisy(clip: Clip, other: Other) -> Clip:
    """Gaussian noise of 12 levels, another one in every frame."""
    rng = np.random.default_rng(0)

    def add(picture: np.ndarray) -> np.ndarray:
        return np.clip(picture + rng.normal(0, 12, picture.shape), 0, 255).round().astype(np.uint8)

    return replace(clip, frames=_mapped(clip, add))


def delayed(clip: Clip, other: Other) -> Clip:
    """Pictures and sound come five frames late; the first picture is held."""
    return replace(clip, frames=_late(clip), audio=_late_sound(clip))


def sound_delayed(clip: Clip, other: Other) -> Clip:
    """Only the sound comes late, by the time of five frames."""
    return replace(clip, audio=_late_sound(clip))


def frames_dropped(clip: Clip, other: Other) -> Clip:
    """Two of three pictures are lost and the one before them is held."""

    def held() -> Frames:
        kept = None
        for number, picture in enumerate(clip.frames):
            kept = picture if number % 3 == 0 else kept
            assert kept is not None
            yield kept

    return replace(clip, frames=held())


def flickering(clip: Clip, other: Other) -> Clip:
    """Brightness up and down by four levels, frame by frame."""

    def blink() -> Frames:
        for number, picture in enumerate(clip.frames):
            shift = 4 if number % 2 else -4
            yield np.clip(picture.astype(int) + shift, 0, 255).astype(np.uint8)

    return replace(clip, frames=blink())


def drifting(clip: Clip, other: Other) -> Clip:
    """Red grows and blue fades, by eight levels a second."""

    def tint() -> Frames:
        for number, picture in enumerate(clip.frames):
            shift = 8 * number / float(clip.fps) * np.array([1, 0, -1])
            yield np.clip(picture + shift, 0, 255).round().astype(np.uint8)

    return replace(clip, frames=tint())


def frozen(clip: Clip, other: Other) -> Clip:
    """The first picture stays."""

    def still() -> Frames:
        first = None
        for picture in clip.frames:
            first = picture if first is None else first
            yield first

    return replace(clip, frames=still())


def identity_swapped(clip: Clip, other: Other) -> Clip:
    """Another person's face, bent to this face's landmarks and feathered in: same motion, other person.

    Raises:
        FaceError: a frame shows no face.
    """
    import cv2

    from vivant.perception.tracking import FaceTracker

    warp = MeshWarp(other.picture, other.landmarks)

    def swapped() -> Frames:
        tracker = FaceTracker(max_faces=1, threads=1)
        for picture in clip.frames:
            face = next(iter(tracker.update(picture).values()), None)
            if face is None:
                raise FaceError("A frame shows no face, so the identity cannot be swapped: use another clip.")
            bent = cv2.resize(warp(face.landmarks), (picture.shape[1], picture.shape[0]))
            hull = cv2.convexHull(face.landmarks[:, :2].round().astype(np.int32))
            mask = cv2.fillConvexPoly(np.zeros(picture.shape[:2], np.float32), hull, 1.0)
            mask = cv2.GaussianBlur(cv2.erode(mask, np.ones((5, 5))), (0, 0), 2)[..., None]
            yield (mask * bent + (1 - mask) * picture).round().astype(np.uint8)

    return replace(clip, frames=swapped())


DEGRADATIONS: dict[str, Callable[[Clip, Other], Clip]] = {
    "encoded again": unchanged,
    "blur": blurred,
    "noise": noisy,
    "time shift": delayed,
    "identity swap": identity_swapped,
    "sound shift": sound_delayed,
    "frame drops": frames_dropped,
    "flicker": flickering,
    "colour drift": drifting,
    "frozen": frozen,
}
BASELINE = "encoded again"


def _mapped(clip: Clip, change: Callable[[np.ndarray], np.ndarray]) -> Frames:
    return (change(picture) for picture in clip.frames)


def _late(clip: Clip) -> Frames:
    held: list[np.ndarray] = []
    for picture in clip.frames:
        held = held or [picture] * DELAY
        held.append(picture)
        yield held.pop(0)


def _late_sound(clip: Clip) -> Audio | None:
    if clip.audio is None:
        return None
    samples, silent = clip.audio.samples, round(DELAY / float(clip.fps) * clip.audio.rate)
    late = np.concatenate([np.zeros((silent, samples.shape[1]), np.float32), samples])
    return Audio(late[: len(samples)], clip.audio.rate)


LEAST = {  # the smallest change of a mean that counts as a change
    "psnr": 1.0, "ssim": 0.01, "l1": 0.003, "feat-lite0": 0.05, "tfeat-lite0": 0.01, "landmark-error": 0.005,
    "rotation-error": 0.4, "rotation-change-error": 0.4,
    "apd-mesh": 0.25, "aed-blendshapes": 0.008, "eye-mae-iris": 1.0, "kpsdis": 0.75,
    "mouth-correlation": 0.06, "mouth-gain": 0.1, "lids-correlation": 0.1, "faceless": 2.0, "jitter": 0.03,
    "identity-distance-dlib": 0.05, "csim-dlib": 0.004, "dfacesim-dlib": 0.004, "flicker": 0.03, "colour-drift": 0.5,
    "sharpness-drift": 3.0, "ofm": 0.02, "f-mse": 1.0, "flow-error": 0.02, "fid-lite0": 4.0, "fvd-lite0": 3.0,
    "sync-c-lite": 0.5, "sync-d-lite": 0.5, "av-offset-lite": 1.5, "beat-alignment": 0.1,
}  # fmt: skip
"""Metrics of the table, each with the smallest change that counts."""
_PICTURE = ("psnr", "ssim", "l1", "feat-lite0")
_MOTION = ("landmark-error", "rotation-error", "apd-mesh", "kpsdis", "mouth-correlation")
_IDENTITY = ("identity-distance-dlib", "csim-dlib", "dfacesim-dlib")
_AGREEMENT = ("sync-c-lite", "sync-d-lite")  # at the best offset, so a shift of the sound alone leaves them
_STEADY = ("flicker", "colour-drift")


@dataclass(frozen=True)
class Effect:
    """What a degradation must do: metrics that must get worse, and metrics that must stay. The rest may do either."""

    worse: tuple[str, ...]
    same: tuple[str, ...]


# Not asked, with reasons. Identity swap: another face has another shape, so its absolute pose is off by a constant; its
# changes should not be. Frame drops: held frames lose the camera's noise while the jumps grow, so the frame-to-frame
# error says little. Frozen: the picture that stays is the source itself, so identity looks perfect.
EXPECTED = {
    "blur": Effect((*_PICTURE, "fid-lite0", "identity-distance-dlib"), ("colour-drift", "av-offset-lite", "faceless")),
    "noise": Effect((*_PICTURE, "f-mse", "fid-lite0"), ("colour-drift", "av-offset-lite", "faceless")),
    "time shift": Effect(
        ("psnr", "ssim", "landmark-error", "mouth-correlation", "flow-error"),
        (*_IDENTITY, *_AGREEMENT, "av-offset-lite", "fid-lite0", "jitter", "ofm", *_STEADY, "faceless"),
    ),
    "identity swap": Effect(
        (*_IDENTITY, *_PICTURE),
        ("rotation-change-error", "mouth-correlation", "lids-correlation", *_STEADY, "av-offset-lite", "faceless"),
    ),
    "sound shift": Effect(
        ("av-offset-lite",),
        (
            *_PICTURE, *_MOTION, *_IDENTITY, *_AGREEMENT, "fid-lite0", "fvd-lite0", "ofm", "f-mse", "jitter", *_STEADY,
            "faceless",
        ),
    ),
    "frame drops": Effect(
        ("jitter", "flow-error", "tfeat-lite0"),
        (*_IDENTITY, "fid-lite0", "colour-drift", "av-offset-lite", "faceless"),
    ),
    "flicker": Effect(
        ("flicker", "f-mse", "psnr"),
        (
            "landmark-error", "rotation-error", *_IDENTITY, *_AGREEMENT, "colour-drift", "av-offset-lite", "faceless",
        ),
    ),
    "colour drift": Effect(
        ("colour-drift", "psnr", "l1"),
        ("landmark-error", "rotation-error", *_AGREEMENT, "flicker", "av-offset-lite", "faceless"),
    ),
    "frozen": Effect(
        ("landmark-error", "mouth-gain", "ofm", "f-mse", "flow-error", *_AGREEMENT, "fvd-lite0"),
        ("faceless",),
    ),
}  # fmt: skip


def find_other(path: Path) -> Other:
    """The first face of a clip.

    Raises:
        FaceError: its first frame shows none.
    """
    from vivant.media.video import open_clip
    from vivant.perception.faces import FaceFinder

    picture = next(iter(open_clip(path).frames))
    faces = FaceFinder(threads=1).find(picture)
    if not faces:
        raise FaceError(f"The first frame of {path} shows no face: use another clip.")
    return Other(picture, faces[0].landmarks)


def write_degraded(path: Path, other: Other, names: Sequence[str], folder: Path) -> None:
    """The clip ``path`` spoiled in each of these ways, as ``folder/<way>/<name>.mp4``; what is there stays."""
    from vivant.media.video import open_clip
    from vivant.media.writer import VideoWriter

    for name in names:
        target = folder / name.replace(" ", "_") / f"{path.stem}.mp4"
        if target.is_file():
            continue
        clip = DEGRADATIONS[name](open_clip(path), other)
        with VideoWriter(target, clip.fps, audio=clip.audio, quality=8) as writer:
            for picture in clip.frames:
                writer.write(picture)
