"""What is done to motion after the net has drawn it: strengths, the mouth's rest where nobody speaks, a soft start."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from vivant.core.face_motion import CHIN, LIPS, MOVED, PARTS
from vivant.core.speech import Speech
from vivant.methods.speech_portrait.config import Options
from vivant.methods.speech_portrait.prepare import eye_points

MOUTH = [2 * MOVED.index(p) + axis for p in (*LIPS, CHIN) for axis in (0, 1)]
"""Numbers of lips and chin."""
_EYES = [2 * row + axis for row in eye_points() for axis in (0, 1)]
_HEAD = [k for name in ("angles", "shift", "zoom") for k in range(PARTS[name].start, PARTS[name].stop)]
_SURE = 0.5
_HUSH = 5
"""Frames before and after a voice in which the mouth still moves."""
_START = 10
"""Frames in which the head leaves the portrait's own pose."""
_LIMITS = {"angles": 25.0, "shift": 4.0, "zoom": 0.25}


class Finish:
    """Finishes rows of one run, block by block."""

    def __init__(self, options: Options) -> None:
        self._options = options

    def __call__(self, rows: np.ndarray, speech: Speech, at: int, first: int) -> np.ndarray:
        """Rows (F, C) of the frames that stand in ``speech`` from ``at`` on and have the numbers ``first`` on in the
        run."""
        options, rows = self._options, rows.copy()
        rows[:, MOUTH] *= options.strength_mouth
        rows[:, _EYES] *= options.strength_brow
        rows[:, _HEAD] *= options.strength_head
        lids = rows[:, PARTS["lids"]]
        rows[:, PARTS["lids"]] = np.clip(1 - options.strength_blink * (1 - lids), 0, 1.3)
        for name, limit in _LIMITS.items():
            rows[:, PARTS[name]] = np.clip(rows[:, PARTS[name]], -limit, limit)
        if options.hush:
            rows[:, MOUTH] *= talking(speech.voiced, at, at + len(rows))[:, None]
        since = np.clip((first + np.arange(len(rows))) / _START, 0, 1)
        rows[:, _HEAD] *= (since * since * (3 - 2 * since))[:, None]
        return rows


def talking(voiced: np.ndarray, first: int, end: int) -> np.ndarray:
    """(end - first,) 1 where somebody speaks, 0 in silence, with soft edges; of what is known around the frames."""
    margin = 3 * _HUSH
    low, high = max(0, first - margin), min(len(voiced), end + margin)
    wide = maximum_filter1d((np.asarray(voiced[low:high]) > _SURE).astype(np.float32), 2 * _HUSH + 1, mode="nearest")
    soft: np.ndarray = gaussian_filter1d(wide, _HUSH / 2, mode="nearest")[first - low : end - low]
    return soft
