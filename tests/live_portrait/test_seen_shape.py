"""The lite space takes lids, irises, brows and lips from the tracker; the published space has no names and does not."""

from __future__ import annotations

import numpy as np
import torch

from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import LITE_LANDMARKS, LITE_SPACE, PUBLISHED_SPACE
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.prepare import with_seen_shape


def crop_seen() -> FaceCrop:
    landmarks = np.random.default_rng(0).uniform(60, 200, (478, 3)).astype(np.float32)
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


def test_parts_have_the_shape_that_was_seen_and_nothing_else_moves() -> None:
    before, crop = motion(33), crop_seen()
    after = with_seen_shape(before, [crop], LITE_SPACE)
    x = after.keypoints()[0, :, :2] * 128
    seen = torch.tensor(crop.landmarks[list(LITE_LANDMARKS), :2])
    for rows, anchors in LITE_SPACE.seen_rows:
        ours, theirs = (p[list(rows)] - p[list(anchors)].mean(0) for p in (x, seen))
        assert torch.allclose(ours, theirs, atol=1e-3)
    moved = {row for rows, _ in LITE_SPACE.seen_rows for row in rows}
    others = [k for k in range(33) if k not in moved]
    assert len(others) == 9  # eye corners, skull and chin stay M's
    assert torch.equal(after.exp[:, others], before.exp[:, others])
    assert torch.equal(after.exp[..., 2], before.exp[..., 2])


def test_a_space_without_named_parts_is_left_alone() -> None:
    before = motion(21)
    assert with_seen_shape(before, [crop_seen()], PUBLISHED_SPACE) is before
