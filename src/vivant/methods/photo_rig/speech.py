"""A mouth that moves with a voice, by one linear map from the sound's spectrum around each frame.

No words are recognised and nothing is a net: log-mel energies of 0.44 s around a frame, in 16 bands, with the mean of
the voice taken away (so that loudness and microphone matter little), times a table. The table was fitted by ridge
regression to people who were filmed speaking (``tools/fit_speech_mouth.py``); what is shown is the mean of all mouths
that sound like this.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter1d, maximum_filter1d

from vivant.core.speech import Speech
from vivant.rig.motion import EXPRESSION_NAMES
from vivant.rig.track import MOUTH_GAIN
from vivant.rig.visemes import resting_mouth
from vivant.weights.assets import asset

TABLE = "photo_rig/speech_mouth.safetensors"
BANDS, STEPS, AROUND = 16, 2, 10  # bands of a step, steps of a frame, steps before and after the frame
_BLOCK = 1500  # frames at once: features of long sounds are computed when they are read
_SURE = 0.5  # voiced frames tell the mean of the voice
_HUSH = 5  # frames over which the mouth comes to rest when nobody speaks


def spoken_expression(speech: Speech, still: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """(F, E) float32 to add to the expression ``still`` (E,) of a portrait that says ``speech``.

    While somebody speaks, the still's own open mouth is closed first, or it would stand open in every pause.
    """
    table, count = _table(), len(speech)
    mean = voice_mean(speech)
    motion = np.zeros((count, len(EXPRESSION_NAMES)), np.float32)
    rows = [EXPRESSION_NAMES.index(name) for name in table["units"]]
    if mean is not None:
        for first in range(0, count, _BLOCK):
            end = min(first + _BLOCK, count)
            seen = (spectra_around(speech, first, end) - np.tile(mean, STEPS + 2 * AROUND)) / table["spread"]
            motion[first:end, rows] = seen @ table["weights"] + table["offset"]
    talking = _talking(speech.voiced)[:, None]
    return (motion * (strength * MOUTH_GAIN) + resting_mouth(still)) * talking


def spectra_around(speech: Speech, first: int, end: int) -> np.ndarray:
    """(end - first, (STEPS + 2 AROUND) BANDS) mel energies around each frame, edges repeated."""
    frames = -(-AROUND // STEPS)
    low, high = max(0, first - frames), min(len(speech), end + frames)
    steps = banded(speech.features["mel"][low:high])
    before = AROUND - (first - low) * STEPS
    after = AROUND - (high - end) * STEPS
    steps = np.pad(steps, ((max(before, 0), max(after, 0)), (0, 0)), mode="edge")[max(-before, 0) :]
    starts = np.arange(end - first)[:, None] * STEPS + np.arange(STEPS + 2 * AROUND)
    return steps[starts].reshape(end - first, -1)


def banded(mel: np.ndarray) -> np.ndarray:
    """(F STEPS, BANDS) of mel energies (F, T, 80): neighbouring steps and bands averaged."""
    count, steps, bands = mel.shape
    parts = mel.reshape(count, STEPS, steps // STEPS, BANDS, bands // BANDS)
    mean: np.ndarray = parts.mean((2, 4)).reshape(count * STEPS, BANDS)
    return mean


def voice_mean(speech: Speech) -> np.ndarray | None:
    """(BANDS,) mean energies of the voiced frames; None where nobody speaks."""
    total, frames = np.zeros(BANDS), 0
    for first in range(0, len(speech), _BLOCK):
        part = slice(first, min(first + _BLOCK, len(speech)))
        voiced = speech.voiced[part] > _SURE
        if voiced.any():
            steps = banded(speech.features["mel"][part]).reshape(-1, STEPS, BANDS).mean(1)
            total, frames = total + steps[voiced].sum(0), frames + int(voiced.sum())
    return total / frames if frames else None


def _talking(voiced: np.ndarray) -> np.ndarray:
    """(F,) float32 1 where somebody speaks, 0 in silence, with soft edges."""
    wide = maximum_filter1d((voiced > _SURE).astype(np.float32), 2 * _HUSH + 1)
    soft: np.ndarray = gaussian_filter1d(wide, _HUSH / 2)
    return soft


@cache
def _table() -> dict[str, np.ndarray]:
    from safetensors import safe_open

    with safe_open(asset(TABLE), framework="np") as file:
        table = {key: file.get_tensor(key).astype(np.float64) for key in ("weights", "offset", "spread")}
        table["units"] = np.array(file.metadata()["units"].split(","))
    return table
