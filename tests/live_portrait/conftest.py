"""What the tests of LivePortrait share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vivant.core.facemesh import TRAINING_POINTS


@pytest.fixture(scope="module")
def face(portrait):
    """A picture (1, 3, 256, 256) in 0..1, its landmarks (1, P, 3) in -1..1 and all 478 (478, 3) in pixels."""
    from vivant.controls.crop import crop_face
    from vivant.perception.faces import FaceFinder

    view = crop_face(portrait, FaceFinder().find(portrait)[0], 1.8, -0.033, 256, True, "mesh")
    marks = view.landmarks.astype(np.float32)
    labels = np.hstack([marks[:, :2] / 128 - 1, marks[:, 2:] / 128])[list(TRAINING_POINTS)]
    image = torch.from_numpy(view.image).permute(2, 0, 1)[None] / 255
    return image, torch.from_numpy(labels)[None], marks
