"""Adapters that see: face detection, tracking, dense landmarks, head pose, identity, and their differentiable twins."""

from vivant.perception.mesh import BLENDSHAPE_NAMES

__all__ = ["BLENDSHAPE_NAMES"]
