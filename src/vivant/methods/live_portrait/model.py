"""What is computed: the nets of a configuration, on one device, knowing no files.

Whatever the family, the interface is the same (B batch, K keypoints, O output size):
``appearance_feature_extractor``: image (B, 3, 256, 256) RGB in 0..1 to features (a tensor or a dictionary of
tensors).
``motion_extractor``: image to kp, exp (B, 3K), scale (B, 1), t (B, 3), pitch, yaw, roll (B, 66) logits or
(B, 1) degrees.
``warping_module``: features, kp_source, kp_driving (B, K, 3) to a dictionary with ``out``.
``spade_generator``: ``out`` to (B, 3, O, O) in 0..1.
``stitching_retargeting_module``: retarget_shoulder (B, 6K) to (B, 3K + 2), retarget_mouth (B, 3K + 2) and
retarget_eye (B, 3K + 3) to (B, 3K).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

from torch import nn

from vivant.methods.live_portrait.config import Config, PublishedConfig
from vivant.methods.live_portrait.published import SpadeGenerator, build_published, fuse_generator
from vivant.nn.fold import fold_norms


def build_modules(config: Config) -> dict[str, nn.Module]:
    """The five modules of ``config`` with random weights, keyed like the released checkpoint files."""
    if isinstance(config, PublishedConfig):
        return build_published(config)
    from vivant.methods.live_portrait.lite import build_lite

    return build_lite(config)


def optimize_for_inference(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies of ``modules`` that compute the same (up to rounding) with fewer operations and cannot be trained.

    Batch norms are folded into the convolutions before them; in the published generator also the spectral norms, the
    convolutions of SPADE that read the same map, and those of upsampled maps; in the lite one the norms of SPADE.
    The copies' keys are not the files'.
    """
    from vivant.methods.live_portrait.lite_inference import fold_spade

    fast = {name: copy.deepcopy(module).eval().requires_grad_(False) for name, module in modules.items()}
    for module in fast.values():
        if isinstance(module, SpadeGenerator):
            fuse_generator(module)
        fold_norms(module)
        fold_spade(module)
        module.requires_grad_(False)
    return fast
