"""What drives a portrait, as methods receive it: channels on one timeline."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vivant.core.face import FaceCrop
from vivant.core.speech import Speech


@dataclass(frozen=True)
class Controls:
    """Everything that drives one portrait over F frames; a channel that nothing was given for is None.

    ``fps``: exact frames per second. ``count``: F. ``speech``: sound with the features that the method's
    ``config.speech_encoders`` name. ``driving``: F crops of the driver in one steady window, None where no face was
    found; may be iterated again, which reads the driver again. ``keypoints``: (F, 3, 2) float32 V-Kps, the eye on the
    left of the picture, the eye on the right and the nose tip, x right and y down in -1..1 of the source crop.
    ``pose``: (F, N, 3) float32 body keypoints in the method's layout, x and y in -1..1 of the source crop, then the
    confidence in 0..1.
    """

    fps: Fraction
    count: int
    speech: Speech | None = None
    driving: Iterable[FaceCrop | None] | None = None
    keypoints: np.ndarray | None = None
    pose: np.ndarray | None = None
