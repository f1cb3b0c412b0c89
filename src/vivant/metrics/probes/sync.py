"""Are lips in step with the sound: the published SyncNet, and our own scorer under its own names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from vivant.core.clip import Audio, Clip
from vivant.core.errors import FaceError, MediaError, WeightsError
from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.probes.sound import RATE, sound_of
from vivant.metrics.view import Block

_OURS = "Vivant's own sync net (lower faces of 96 px, log-mel); not SyncNet"
_THEIRS = "SyncNet (faces of 224 px cut by our landmarks, MFCC)"
_CURVE = (
    "25 frames a second, 16 kHz; distance of video windows of 5 frames to sound windows up to 15 frames away, averaged"
    "; beyond the clip's ends they are zeros, as in the published code, so clips of a second or less mean little"
)
_C = "median of the curve less its minimum. {}; {}"
_D = "minimum of the curve. {}; {}"
_OFFSET = "frames by which the sound is early, where the curve is least; 0 in step. {}; {}"
_SOURCE = "Chung and Zisserman 2016, sections 4.1 and 4.2"


def _metrics(suffix: str, title: str, net: str, weights: tuple[str, ...], version: int) -> tuple[Metric, ...]:
    common: dict[str, Any] = {"needs": ("sound", "face"), "level": "clip", "weights": weights, "of_truth": True,
                              "version": version}  # fmt: skip
    return (
        Metric(f"sync-c{suffix}", f"Sync-C{title}", "", (0, INFINITE), "higher", _C.format(net, _CURVE), _SOURCE,
               **common),
        Metric(f"sync-d{suffix}", f"Sync-D{title}", "", (0, INFINITE), "lower", _D.format(net, _CURVE), _SOURCE,
               **common),
        Metric(f"av-offset{suffix}", f"AV offset{title}", "frames of 25 a second", (-15, 15), "near 0",
               _OFFSET.format(net, _CURVE), _SOURCE, digits=2, **common),
    )  # fmt: skip


METRICS = (*_metrics("", " (SyncNet)", _THEIRS, ("syncnet",), 2), *_metrics("-lite", " (lite)", _OURS, (), 1))
_KINDS = {"published": "", "lite": "-lite"}


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """SyncNet's metrics without its file; ours if the bundled net is missing."""
    found: dict[str, str] = {}
    for kind, suffix in _KINDS.items():
        mine = [name for name in names if name in _names(suffix)]
        reason = (lab.store.lacks("syncnet") if kind == "published" else _lacks_ours(lab)) if mine else None
        found |= dict.fromkeys(mine, reason) if reason else {}
    return found


def _names(suffix: str) -> tuple[str, ...]:
    return tuple(f"{name}{suffix}" for name in ("sync-c", "sync-d", "av-offset"))


def _lacks_ours(lab: Lab) -> str | None:
    try:
        _scorer(lab, "lite")
    except WeightsError as error:
        return str(error)
    return None


def _scorer(lab: Lab, kind: str) -> Any:
    from vivant.metrics.sync_scorer import sync_scorer

    weights = lab.store.find("syncnet") if kind == "published" else None
    return lab.net(f"sync {kind}", partial(sync_scorer, kind, weights, lab.device))


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Sync(lab, [kind for kind, suffix in _KINDS.items() if set(names) & set(_names(suffix))], case)


@dataclass(frozen=True)
class _Part:
    """Frames of a clip from ``first`` on, as iterable as it is."""

    frames: Iterable[np.ndarray]
    first: int
    count: int

    def __iter__(self) -> Iterator[np.ndarray]:
        return islice(self.frames, self.first, self.first + self.count)


class _Sync:
    def __init__(self, lab: Lab, kinds: list[str], case: Case) -> None:
        self._lab, self._kinds, self._case = lab, kinds, case
        self._frames = 0

    def see(self, block: Block) -> None:
        """Scorers read clips themselves, because faces are cut another way; only the length matters."""
        self._frames += len(block)

    def finish(self) -> Findings:
        found = Findings()
        for role in self._case.judged():
            try:
                self._score(role, found)
            except (MediaError, FaceError) as error:
                if role == "made":
                    names = [name for kind in self._kinds for name in _names(_KINDS[kind])]
                    found.missing |= dict.fromkeys(names, str(error).rstrip("."))
        return found

    def _score(self, role: str, found: Findings) -> None:
        from vivant.media.video import open_clip
        from vivant.metrics.sync_crops import find_speaker

        view, path = self._case.view, Path(getattr(self._case.subject, role))
        if view.stride != 1:
            raise MediaError("sync is measured on every frame: leave the stride at 1")
        samples = sound_of(self._case, role)
        if samples is None:
            raise MediaError("there is no sound")
        clip = open_clip(path, view.fps)
        frames = _Part(clip.frames, view.first, self._frames)
        part = Clip(frames, clip.fps, clip.size, self._frames)
        from vivant.media.video import at_rate
        from vivant.metrics.sync import FPS

        track = find_speaker(at_rate(part, FPS).frames)
        for kind in self._kinds:
            result = _scorer(self._lab, kind).score(part, Audio(samples[:, None], RATE), track)
            values = result.confidence, result.distance, result.offset
            for name, value in zip(_names(_KINDS[kind]), values):
                found.set(role, name, value)
