"""Stage II's objective (paper section 3.3): stitching and retargeting MLPs learn while all else stands still.

  stitching: Delta = S(x_s, x_d); outside the head the picture must stay what the source's own keypoints give;
  eyes, lips: Delta = R(x_s; c_s, c_d) with a random target ratio c_d; outside the region the picture must stay, inside
  the ratio measured on the picture must be the target. The torch twin of our landmark net measures it, the same net
  that tells ratios when a picture is animated, and gradients reach the MLP through the picture. The motion extractor
  would not do: a small one may not see openings at all. Regions are those of the labelled landmarks.

Axis letters: B batch, K keypoints, H W pixels. Coordinates -1..1 of the crop.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.methods.live_portrait.algebra import shape_offsets
from vivant.methods.live_portrait.config import SEEN_LANDMARKS, Config
from vivant.methods.live_portrait.prepare import row_tensors
from vivant.methods.live_portrait.reconstruct import (
    Batch,
    distances,
    fit_input,
    keypoints,
    label_rows,
    motion_of,
    reshaped,
    rows_of,
)
from vivant.nn.geometry import grid_2d
from vivant.training.augment import AugmentConfig, PairAugment
from vivant.training.features import LandmarksInPicture
from vivant.training.randomness import rolled
from vivant.training.stage import Stage

NETS = {"stitching": "retarget_shoulder", "eyes": "retarget_eye", "lips": "retarget_mouth"}
LARGEST_RATIO = {"eyes": 0.5, "lips": 0.8}
# (upper, lower, one corner, other corner) mesh landmarks
OPENINGS = {"eyes": ((159, 145, 33, 133), (386, 374, 362, 263)), "lips": ((13, 14, 61, 291),)}
# where the picture may change: lids and irises; lips and chin
REGIONS = {
    "eyes": (159, 145, 33, 133, 160, 158, 386, 374, 263, 362, 387, 385, 468, 473),
    "lips": (61, 291, 13, 14, 0, 17, 81, 311, 178, 402, 152),
}
CHIN = (152,)


class RetargetingObjective:
    """One of the three MLPs; the stage's name says which."""

    critics: dict[str, nn.Module]

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.stage, self.critics = modules, stage, {}
        self.weights = stage.loss_weights
        self._augment, self._input = PairAugment(AugmentConfig(), device), config.input_size
        self._rows = [torch.tensor(points, device=device) for points in OPENINGS.get(stage.name, ())]
        self._seen = LandmarksInPicture(device) if self._rows else None
        self._shape_kp = row_tensors(config.space.seen_rows, device)
        self._shape_rows = label_rows(SEEN_LANDMARKS, device)
        self._region = rows_of(REGIONS.get(stage.name, CHIN), device)
        self._grid = grid_2d(config.output_size, config.output_size, device)

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Augmented pictures, a random target ratio (B, 1), and for stitching the driver of another person."""
        batch = fit_input(self._augment(raw, generator), self._input)
        count, device = batch["source_image"].shape[0], batch["source_image"].device
        batch["target"] = torch.rand(count, 1, device=device, generator=generator)
        if self.stage.name == "stitching":
            for name in ("driver_seen", "driver_landmarks"):
                batch[name] = rolled(batch[name])
        return batch

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """The stage's terms."""
        out = self.forward(batch, self.modules)
        terms = {
            "still": self.weights["still"] * ((out["image"] - out["own"]).abs() * out["keep"]).mean(),
            "size": self.weights["size"] * out["delta"].abs().mean(),
        }
        if self.stage.name != "stitching":
            reached = self._measure(out["image"], batch)
            terms["condition"] = self.weights["condition"] * (reached - out["target"]).abs().mean()
        return terms, {"image": out["image"].detach()}

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics in stage II."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: source, own reconstruction, result."""
        out = self.forward(batch, modules)
        size = batch["source_image"].shape[-2:]
        return torch.cat([batch["source_image"], *(F.interpolate(out[key], size=size) for key in ("own", "image"))])

    def forward(self, batch: Batch, modules: dict[str, nn.Module]) -> Batch:
        """Keypoint change, picture with it, picture without, the mask that must stay (B, 1, H, W), target ratio."""
        source = motion_of(modules, batch["source_image"])
        x_s = self._as_seen(keypoints(source["kp"], source), batch["source_landmarks"])
        with torch.no_grad():
            features = modules["appearance_feature_extractor"](batch["source_image"])
            own = self._render(modules, features, x_s, x_s)
        if self.stage.name == "stitching":
            return {**self._stitch(batch, modules, source, x_s, features), "own": own}
        with torch.no_grad():
            ratio = self._measure(batch["source_image"], batch)
        target = batch["target"] * LARGEST_RATIO[self.stage.name]
        asked = torch.cat([x_s.flatten(1), ratio, target], 1)
        delta = self._net(modules)(asked).float().unflatten(1, (-1, 3))
        image = self._render(modules, features, x_s, x_s + delta)
        return {"delta": delta, "image": image, "own": own, "keep": self._outside(batch), "target": target}

    def _stitch(
        self, batch: Batch, modules: dict[str, nn.Module], source: Batch, x_s: Tensor, features: Tensor
    ) -> Batch:
        """Another person's motion on the source, as absolute driving would put it."""
        x_d = keypoints(source["kp"], motion_of(modules, batch["driver_seen"]))
        x_d = self._as_seen(x_d, batch["driver_landmarks"])
        out = self._net(modules)(torch.cat([x_s.flatten(1), x_d.flatten(1)], 1)).float()
        delta = out[:, :-2].unflatten(1, (-1, 3)) + F.pad(out[:, -2:], (0, 1))[:, None]
        chin = batch["source_landmarks"].index_select(1, self._region)[..., 1:2]
        shoulders = (self._grid[..., 1] - chin - 0.12).mul(12).clamp(0, 1)
        return {"delta": delta, "image": self._render(modules, features, x_s, x_d + delta), "keep": shoulders[:, None]}

    def _as_seen(self, x: Tensor, labels: Tensor) -> Tensor:
        """Keypoints (B, K, 3) with lids, irises and lips where the labels have them, as inference sees them."""
        return reshaped(x, self._shape_kp, shape_offsets(labels, self._shape_rows)) if self._shape_kp else x

    def _net(self, modules: dict[str, nn.Module]) -> nn.Module:
        """The MLP that this stage trains, of ``modules``: the live one, or its running average for the sheet."""
        return modules["stitching_retargeting_module"].get_submodule(NETS[self.stage.name])

    @staticmethod
    def _render(modules: dict[str, nn.Module], features: Tensor, x_s: Tensor, x_d: Tensor) -> Tensor:
        return modules["spade_generator"](modules["warping_module"](features, x_s, x_d)["out"]).float()

    def _measure(self, image: Tensor, batch: Batch) -> Tensor:
        """Openings (B, 2) of eyes or (B, 1) of lips in the picture of a source's face."""
        assert self._seen is not None
        return ratios(self._seen(image, batch["source_landmarks"]), self._rows)

    def _outside(self, batch: Batch) -> Tensor:
        """(B, 1, H, W): 0 near the region's landmarks, 1 elsewhere."""
        points = batch["source_landmarks"].index_select(1, self._region)[..., :2]
        distance = (self._grid[None, None] - points[:, :, None, None]).square().sum(-1).amin(1)
        return (1 - torch.exp(-distance / 0.02))[:, None]


def ratios(points: Tensor, groups: list[Tensor]) -> Tensor:
    """Opening over width (B, N) of points (B, P, 2 or 3), for N groups of rows upper, lower, corner, corner."""
    found = []
    for rows in groups:
        upper, lower, left, right = points.index_select(1, rows).unbind(1)
        found.append(distances(upper, lower) / distances(left, right))
    return torch.stack(found, 1)
