"""Runs a method on what a protocol picks; finished clips are kept, a broken one stops nothing."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vivant.core.clip import Audio, Clip
from vivant.core.errors import ConfigError, MediaError
from vivant.metrics.protocols.base import Drive, Pick
from vivant.metrics.subject import Subject
from vivant.metrics.view import View

if TYPE_CHECKING:
    from vivant.pipelines.load import Pipeline

QUALITY = 4
"""Constant rate factor of generated clips: what is measured is the method, hardly the codec."""


@dataclass
class Maker:
    """A loaded method and how it is asked. ``values``: options it has; ``drive``: what drives; ``view``: how results
    are read (only as many frames are made as are scored); ``out``: folder for ``generated`` and ``sources``."""

    pipe: Pipeline
    values: dict[str, Any]
    drive: Drive
    view: View
    out: Path
    failed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    frames: int = 0

    def settings(self) -> dict[str, Any]:
        """What fixes the results."""
        return {
            "method": self.pipe.spec.name,
            "preset": self.pipe.preset,
            "weights": weights_hash(self.pipe.weights_info),
            "device": self.pipe.device,
            "dtype": self.pipe.dtype,
            "seed": self.pipe.seed,
            "drive": self.drive,
            "options": asdict(self.pipe.options(self.values)),
            "length": [self.view.fps, self.view.first, self.view.frames, self.view.stride],
        }

    def make_all(self, picks: Sequence[Pick]) -> list[Subject]:
        """The results of all picks; what could not be made stands in ``failed``."""
        from tqdm import tqdm

        from vivant.metrics.suite import told_error

        found = []
        for pick in tqdm(picks, desc="vivant: generate", unit="clip", file=sys.stderr, disable=None):
            try:
                found.append(self.make(pick))
            except Exception as error:  # whatever a library raises: one clip stops no other
                self.failed[pick.id] = f"not generated: {told_error(error)}"
        return found

    def make(self, pick: Pick) -> Subject:
        """One result, made now or found from before."""
        subject = subject_of(pick, self.out / "generated" / "x.mp4", None)
        target = self.out / "generated" / f"{subject.key}.mp4"
        source = pick.portrait.path if pick.portrait else self.out / "sources" / f"{subject.key}.png"
        subject = subject_of(pick, target, source)
        mark = self._mark(pick)
        note = target.with_suffix(".made.json")
        if target.is_file() and _read_mark(note) == mark:
            return subject
        clip = self._clip(pick)
        if pick.portrait is None:
            write_first(clip, source)
        begin = time.perf_counter()
        target.parent.mkdir(parents=True, exist_ok=True)
        result = self.pipe.animate(source, **self._driven(clip), **self.values)
        result.save(target, quality=QUALITY, record=False)
        self.seconds += time.perf_counter() - begin
        self.frames += result.count or 0
        note.write_text(json.dumps({"mark": mark}) + "\n", encoding="utf-8")
        return subject

    def _mark(self, pick: Pick) -> str:
        given = Subject("", true=pick.clip.path, source=pick.portrait.path if pick.portrait else None).given()
        text = json.dumps([self.settings(), given], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def _clip(self, pick: Pick) -> Clip:
        from vivant.media.video import open_clip

        clip = open_clip(pick.clip.path, self.view.fps)
        view = self.view
        return clip if view.frames is None else shortened(clip, view.first + view.frames * view.stride)

    def _driven(self, clip: Clip) -> dict[str, Any]:
        able = self.pipe.spec.capabilities
        given: dict[str, Any] = {}
        if self.drive in ("video", "both", "pose"):
            given["driving"] = clip
        if self.drive in ("audio", "both"):
            if clip.audio is None:
                raise MediaError(f"the clip has no sound, so it cannot drive by {_BY[self.drive]}.")
            given["audio"] = clip.audio
        if self.drive == "audio" and able.keypoints:
            given["keypoints"] = clip
        return given


_BY = {"audio": "speech", "both": "picture and speech"}


def _read_mark(path: Path) -> str | None:
    """The mark beside a finished result."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["mark"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def subject_of(pick: Pick, made: Path, source: Path | None) -> Subject:
    """A pick's result as it is measured: against its own clip, or the driver of a portrait."""
    own = pick.portrait is None
    person = pick.clip.person if pick.portrait is None else pick.portrait.person
    return Subject(
        pick.id, made, true=pick.clip.path if own else None, driver=None if own else pick.clip.path, source=source,
        sound=None, text=pick.clip.text, group=pick.clip.group, person=person,
    )  # fmt: skip


def write_first(clip: Clip, path: Path) -> None:
    """The first frame of a clip as a PNG; a file that shows it already is not touched, so that results stay current."""
    from vivant.media.image import write_image

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{path.name}")
    write_image(part, next(iter(clip.frames)))
    if path.is_file() and path.read_bytes() == part.read_bytes():
        part.unlink()
    else:
        os.replace(part, path)


class _First:
    """The first frames of a clip, as iterable as it is."""

    def __init__(self, frames: Iterable[np.ndarray], count: int) -> None:
        self._frames, self._count = frames, count

    def __iter__(self) -> Iterator[np.ndarray]:
        return islice(self._frames, self._count)


def shortened(clip: Clip, count: int) -> Clip:
    """The first ``count`` frames of a clip and their sound."""
    audio = clip.audio
    if audio is not None:
        audio = Audio(audio.samples[: round(count / clip.fps * audio.rate)], audio.rate)
    known = None if clip.count is None else min(clip.count, count)
    return replace(clip, frames=_First(clip.frames, count), count=known, audio=audio)


def known_options(pipe: Pipeline, values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that the method has."""
    names = {item.name for item in fields(pipe.spec.part("config").Options)}
    return {name: value for name, value in values.items() if name in names}


def check_drive(pipe: Pipeline, drive: Drive) -> None:
    """Refuse a method that is not driven so.

    Raises:
        ConfigError: it lacks the capability.
    """
    able = pipe.spec.capabilities
    wanted = {"video": ("driving",), "audio": ("audio",), "both": ("driving", "audio"), "pose": ("pose",)}[drive]
    lacks = [name for name in wanted if not getattr(able, name)]
    if lacks:
        raise ConfigError(f"The method '{pipe.spec.name}' is not driven by {' and '.join(lacks)}: choose another one.")


def weights_hash(info: Any) -> str:
    """What fixes the weights: the SHA-256 of their files, or where random ones come from."""
    hashes = sorted(info.files.values())
    return " ".join(hashes) if hashes else str(info.source)


def parse_settings(words: Sequence[str] | None) -> dict[str, Any]:
    """``name=value`` words as options; values are read as YAML.

    Raises:
        ConfigError: no name, or a value that cannot be read.
    """
    import yaml

    found = {}
    for word in words or ():
        name, equals, value = word.partition("=")
        try:
            found[name.replace("-", "_")] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {word} cannot be read: write name=value.") from error
        if not name or not equals:
            raise ConfigError(f"--set {word} is no setting: write name=value.")
    return found
