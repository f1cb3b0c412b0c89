"""The lite space takes its irises from the tracker; the published space, which does not name them, does not."""

from __future__ import annotations

import numpy as np
import torch

from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import LITE_SPACE, PUBLISHED_SPACE
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.prepare import with_seen_irises


def crop_looking(aside: float) -> FaceCrop:
    landmarks = np.zeros((478, 3), np.float32)
    for iris, one, other, x in ((468, 33, 133, 90.0), (473, 362, 263, 166.0)):
        landmarks[one, :2], landmarks[other, :2] = (x - 14, 100), (x + 14, 100)
        landmarks[iris, :2] = (x + aside, 99)
    return FaceCrop(np.zeros((256, 256, 3), np.uint8), landmarks, np.eye(2, 3), (256, 256))


def motion(keypoints: int) -> Motion:
    generator = torch.Generator().manual_seed(0)
    return Motion(
        exp=0.02 * torch.randn(1, keypoints, 3, generator=generator),
        rotation=torch.eye(3)[None],
        scale=torch.full((1, 1), 1.2),
        translation=torch.tensor([[0.1, -0.1, 0.0]]),
        canonical=torch.randn(1, keypoints, 3, generator=generator),
        eyes=torch.zeros(1, 2),
        lip=torch.zeros(1, 1),
    )


def test_irises_stand_where_they_were_seen_and_nothing_else_moves() -> None:
    before = motion(33)
    after = with_seen_irises(before, [crop_looking(5.0)], LITE_SPACE)
    irises, one, other = (list(pair) for pair in LITE_SPACE.gaze_rows)
    x = after.keypoints()[0, :, :2]
    offsets = (x[irises] - (x[one] + x[other]) / 2) * 128
    assert torch.allclose(offsets, torch.tensor([[5.0, -1.0], [5.0, -1.0]]), atol=1e-3)
    others = [k for k in range(33) if k not in irises]
    assert torch.equal(after.exp[:, others], before.exp[:, others])


def test_a_space_without_named_irises_is_left_alone() -> None:
    before = motion(21)
    assert with_seen_irises(before, [crop_looking(5.0)], PUBLISHED_SPACE) is before
