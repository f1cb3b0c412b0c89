"""One pass of the nets over a pair of frames, as both stages of training need it, and what labels are compared with.

Axis letters: B batch, K keypoints, P labelled landmarks, N points, H W pixels. Coordinates -1..1 of the crop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.core.facemesh import TRAINING_POINTS
from vivant.methods.live_portrait.algebra import (
    Groups,
    decode_angles,
    rotation_matrix,
    take_shape,
    transform_keypoints,
)
from vivant.methods.live_portrait.config import Parts

Batch = dict[str, Tensor]
Outputs = dict[str, Any]
"""Tensors by name; under source and driver the motion of that frame."""


def motion_of(modules: dict[str, nn.Module], image: Tensor) -> Batch:
    """M's output decoded: kp, exp (B, K, 3), rotation (B, 3, 3), angles (B, 3) degrees, scale (B, 1), t (B, 3)."""
    raw = modules["motion_extractor"](image)
    angles = torch.stack([decode_angles(raw[name].float()) for name in ("pitch", "yaw", "roll")], 1)
    with torch.autocast(image.device.type, enabled=False):
        rotation = rotation_matrix(*angles.unbind(1))
    kp, exp = (raw[name].float().unflatten(1, (-1, 3)) for name in ("kp", "exp"))
    return {
        "kp": kp, "exp": exp, "rotation": rotation, "angles": angles,
        "scale": raw["scale"].float(), "t": raw["t"].float(),
    }  # fmt: skip


def keypoints(canonical: Tensor, motion: Batch) -> Tensor:
    """x = s (x_c R + delta) + t (paper equation 2) with canonical points of any person, in float32."""
    with torch.autocast(canonical.device.type, enabled=False):
        return transform_keypoints(canonical, motion["rotation"], motion["exp"], motion["scale"], motion["t"])


def rows_of(points: tuple[int, ...], device: torch.device) -> Tensor:
    """Rows of the labels that hold these mesh landmarks."""
    return torch.tensor([TRAINING_POINTS.index(p) for p in points], device=device)


def label_rows(parts: Parts, device: torch.device) -> Groups:
    """Rows of the labels that hold the points of ``parts`` and their anchors."""
    return [(rows_of(moved, device), rows_of(anchors, device)) for moved, anchors in parts]


def fit_input(batch: Batch, size: int) -> Batch:
    """Pictures larger than the nets' input are made smaller; the driver's is kept as ``driver_target``, because the
    decoder may paint finer than the input (paper: 256 in, 512 out).

    Raises:
        ConfigError: they are smaller.
    """
    side = batch["source_image"].shape[-1]
    if side < size:
        raise ConfigError(f"The data has frames of {side} px, the preset takes {size}: make the data anew that large.")
    if side == size:
        return batch
    names = ("source_image", "driver_image", "driver_seen")
    small = {n: F.interpolate(batch[n], (size, size), mode="bilinear", antialias=True) for n in names}
    return {**batch, **small, "driver_target": batch["driver_image"]}


def forward(modules: dict[str, nn.Module], batch: Batch, lite: bool, seen: Groups = ()) -> Outputs:
    """Reconstruct the driver frame from the source frame: x_s, x_d, x_own (B, K, 3), image, and W's and G's maps.

    ``seen``: keypoint rows of the parts whose labelled shape (``source_shape``, ``driver_shape``) replaces M's, but in
    samples where the batch's ``own_shape`` (B,) is true.
    """
    count = batch["source_image"].shape[0]
    both = motion_of(modules, torch.cat([batch["source_image"], batch["driver_seen"]]))
    source, driver = ({k: v[part] for k, v in both.items()} for part in (slice(None, count), slice(count, None)))
    x_s, x_d = keypoints(source["kp"], source), keypoints(source["kp"], driver)
    features = modules["appearance_feature_extractor"](batch["source_image"])
    shown = [x_s, x_d]
    if seen:  # the warp learns with lids, irises and lips where they are, as inference gives them (prepare.py)
        told = [reshaped(x, seen, batch[f"{name}_shape"]) for x, name in zip(shown, ("source", "driver"))]
        own = batch.get("own_shape")  # both frames of a sample alike: W moves by their difference
        shown = told if own is None else [torch.where(own[:, None, None], *pair) for pair in zip(shown, told)]
    warped = modules["warping_module"](features, *shown)
    out: Outputs = {"x_s": x_s, "x_d": x_d, "x_own": keypoints(driver["kp"], driver)}
    if lite:
        composed = modules["spade_generator"].compose(warped["out"])  # type: ignore[operator]
        out |= {**composed, "flow": warped["out"]["flow"]}
    else:
        out["image"] = modules["spade_generator"](warped["out"]).float()
    return {**out, "source": source, "driver": driver}


def reshaped(x: Tensor, groups: Groups, seen: Tensor) -> Tensor:
    """Keypoints (B, K, 3) whose parts have the offsets ``seen`` (B, N, 2) from their anchors."""
    one = torch.ones_like(x[:, :1, 0])  # at unit scale an expression moves a point by itself, so points fit too
    return take_shape(x, x, one, groups, seen)


def distances(a: Tensor, b: Tensor) -> Tensor:
    """(B, N, 2 or 3) twice -> (B, N) distances in the picture plane, differentiable at 0."""
    return (a[..., :2] - b[..., :2]).square().sum(-1).add(1e-8).sqrt()
