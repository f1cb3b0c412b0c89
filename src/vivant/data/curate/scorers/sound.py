"""Is there sound, is it good, and does somebody speak?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import FPS, SOUND_RATE

_FRAME = SOUND_RATE // FPS
_QUIET = 1e-4  # root mean square below which a frame counts as silence (-80 dB)


class Sound(Scorer):
    """Level, silence, clipping and noise of the clip's sound; looks at no frame."""

    name = "sound"
    frames = False
    measures: ClassVar[Mapping[str, str]] = {
        "present": "1 if there is sound that is not silent all the time, else 0",
        "level": "root mean square of the loudest half of the frames, decibels below full scale",
        "silence": "share of frames (1/25 s) with a root mean square below -80 dB",
        "clipped": "share of samples at 0.999 of full scale or more",
        "noise": "how far the quietest tenth of the frames is below the loudest tenth, decibels",
        "covered": "share of the clip's length that has sound at all",
    }

    def finish(self) -> Scores:
        """See ``measures``."""
        samples = self.view.hear()
        if samples is None or len(samples) < _FRAME:
            return {**dict.fromkeys(self.measures), "present": 0.0, "covered": 0.0}
        level = frame_levels(samples)
        loud = np.sort(level)[len(level) // 2 :]
        low, high = np.percentile(level, (10, 90))
        return rounded(
            {
                "present": float((level > _QUIET).any()),
                "level": _decibels(float(np.sqrt(np.mean(loud**2)))),
                "silence": float((level <= _QUIET).mean()),
                "clipped": float((np.abs(samples) >= 0.999).mean()),
                "noise": _decibels(float(high)) - _decibels(float(low)),
                "covered": min(1.0, len(samples) / SOUND_RATE / self.view.clip.seconds),
            }
        )


class Speech(Scorer):
    """How much of the clip is speech, by the voice activity net; looks at no frame."""

    name = "speech"
    frames = False
    measures: ClassVar[Mapping[str, str]] = {
        "share": "share of the clip in which somebody speaks",
        "sure": "mean probability of speech where there is any",
        "longest_pause": "longest stretch without speech, seconds",
    }

    def finish(self) -> Scores:
        """See ``measures``."""
        from vivant.perception.voice import CHUNK, VoiceDetector

        samples = self.view.hear()
        if samples is None or len(samples) < CHUNK:
            return {**dict.fromkeys(self.measures), "share": 0.0}
        sure = VoiceDetector().feed(samples, last=True)
        speaks = sure >= 0.5
        edges = np.flatnonzero(np.diff(np.concatenate([[True], speaks, [True]]).astype(int)))
        pauses = np.diff(edges)[::2]
        return rounded(
            {
                "share": float(speaks.mean()),
                "sure": float(sure[speaks].mean()) if speaks.any() else None,
                "longest_pause": float(pauses.max(initial=0)) * CHUNK / SOUND_RATE,
            }
        )


def frame_levels(samples: np.ndarray) -> np.ndarray:
    """(F,) root mean square of each whole 1/25 s of samples (N,) at 16 kHz."""
    frames = samples[: len(samples) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    levels: np.ndarray = np.sqrt(np.mean(frames**2, axis=1))
    return levels


def _decibels(value: float) -> float:
    return 20 * float(np.log10(max(value, 1e-6)))
