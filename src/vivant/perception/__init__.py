"""Adapters that see: faces, tracks, landmarks, head pose, identity, and differentiable twins of nets."""

from vivant.perception.mesh import BLENDSHAPE_NAMES

__all__ = ["BLENDSHAPE_NAMES"]
