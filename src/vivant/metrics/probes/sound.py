"""Does the head move with the voice: alignment of motion beats with onsets of sound."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from vivant.core.errors import MediaError
from vivant.metrics.beats import beat_alignment, motion_beats, onsets
from vivant.metrics.metric import Metric
from vivant.metrics.motion import rotation_angle
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.view import Block

RATE = 16_000
METRICS = (
    Metric("beat-alignment", "beat alignment", "", (0, 1), "as the truth",
           "mean over motion beats (minima of the head's smoothed angular speed) of exp(-t² / 2 s²), t to the nearest "
           "onset of sound (peaks of the mel spectrum's rise), s = 0.12 s",
           "Siyao et al. 2022 (Bailando), equation 12, for heads as in SadTalker; onsets are our own",
           ("sound", "face"), "clip", of_truth=True),
)  # fmt: skip


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """Nothing is ever missing."""
    return {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Beats(case)


def sound_of(case: Case, role: str) -> np.ndarray | None:
    """(N,) mono samples at 16 kHz from the first scored frame on: of the clip itself, or of the sound that was given
    for the generated one; None if there is none."""
    from vivant.media.audio import has_sound, read_audio

    own = getattr(case.subject, role)
    given = case.subject.sound if role == "made" else None
    path = own if given is None else given
    if not Path(path).is_file():
        return None
    try:
        if not has_sound(path):
            return None
    except MediaError:  # a still or an animation
        return None
    samples = read_audio(path, RATE, mono=True).samples[:, 0]
    return samples[round(case.view.first / float(case.fps * case.view.stride) * RATE) :]


class _Beats:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._turns: dict[str, list[np.ndarray | None]] = {role: [] for role in case.judged()}

    def see(self, block: Block) -> None:
        from vivant.perception.pose import head_pose

        for role, turns in self._turns.items():
            for face in block.faces(role):
                turns.append(None if face is None else head_pose(face.landmarks).rotation)

    def finish(self) -> Findings:
        found = Findings()
        for role, turns in self._turns.items():
            samples = sound_of(self._case, role)
            if samples is None:
                if role == "made":
                    found.missing["beat-alignment"] = "there is no sound"
                continue
            fps = float(self._case.fps)
            pairs = pairwise(turns)
            speed = [np.nan if a is None or b is None else rotation_angle(a, b) * fps for a, b in pairs]
            sound = samples[: round(len(turns) / fps * RATE)]
            value = beat_alignment(motion_beats(np.array(speed), fps), onsets(sound, RATE))
            found.set(role, "beat-alignment", value)
        return found
