"""Stage II's objective (paper section 3.3): stitching and retargeting MLPs learn while all else stands still.

  stitching: Delta = S(x_s, x_d); outside the head the picture must stay what the source's own keypoints give;
  eyes, lips: Delta = R(x_s; c_s, c_d) with a random target ratio c_d; outside the region the picture must stay, inside
  the ratio measured on the picture must be the target. The ratio is measured by the frozen motion extractor, whose
  keypoints are named landmarks (lite), so gradients reach the MLP through the picture.

Axis letters: B batch, K keypoints, H W pixels. Coordinates -1..1 of the crop.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.config import Config
from vivant.methods.live_portrait.stage_one import Batch, keypoints, motion_of
from vivant.nn.geometry import grid_2d
from vivant.training.augment import AugmentConfig, PairAugment
from vivant.training.stage import Stage

NETS = {"stitching": "retarget_shoulder", "eyes": "retarget_eye", "lips": "retarget_mouth"}
LARGEST_RATIO = {"eyes": 0.5, "lips": 0.8}
# (upper, lower, one corner, other corner) mesh landmarks
EYES = ((159, 145, 33, 133), (386, 374, 362, 263))
LIPS = ((13, 14, 61, 291),)


class RetargetingObjective:
    """One of the three MLPs; the stage's name says which."""

    critics: dict[str, nn.Module]

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.stage, self.critics = modules, stage, {}
        self.net = modules["stitching_retargeting_module"][NETS[stage.name]]  # type: ignore[index]
        self.weights = stage.loss_weights
        self._augment = PairAugment(AugmentConfig(), device)
        landmarks = config.space.landmarks
        if not landmarks:
            raise ConfigError(
                f"Stage '{stage.name}' measures openings on named keypoints, which the preset does not have: use lite."
            )
        self._ratios = {
            name: [torch.tensor([landmarks.index(p) for p in points], device=device) for points in groups]
            for name, groups in (("eyes", EYES), ("lips", LIPS))
        }
        self._chin = landmarks.index(152)
        self._region = torch.tensor(config.space.eyes if stage.name == "eyes" else config.space.lips, device=device)
        self._grid = grid_2d(config.output_size, config.output_size, device)

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Augmented pictures, a random target ratio (B, 1), and for stitching the driver of another person."""
        batch = self._augment(raw, generator)
        count, device = batch["source_image"].shape[0], batch["source_image"].device
        batch["target"] = torch.rand(count, 1, device=device, generator=generator)
        if self.stage.name == "stitching":
            batch["driver_seen"] = batch["driver_seen"].roll(1, 0)
        return batch

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """The stage's terms."""
        out = self.forward(batch, self.modules)
        terms = {
            "still": self.weights["still"] * ((out["image"] - out["own"]).abs() * out["keep"]).mean(),
            "size": self.weights["size"] * out["delta"].abs().mean(),
        }
        if self.stage.name != "stitching":
            reached = self._measure(keypoints(out["own_kp"], motion_of(self.modules, out["image"])))
            terms["condition"] = self.weights["condition"] * (reached - out["target"]).abs().mean()
        return terms, {"image": out["image"].detach()}

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics in stage II."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: source, own reconstruction, result."""
        out = self.forward(batch, modules)
        return torch.cat([batch["source_image"], out["own"], out["image"]])

    def forward(self, batch: Batch, modules: dict[str, nn.Module]) -> Batch:
        """Keypoint change, picture with it, picture without, the mask that must stay (B, 1, H, W), target ratio."""
        source = motion_of(modules, batch["source_image"])
        x_s = keypoints(source["kp"], source)
        with torch.no_grad():
            features = modules["appearance_feature_extractor"](batch["source_image"])
            own = self._render(modules, features, x_s, x_s)
        if self.stage.name == "stitching":
            return {**self._stitch(batch, modules, source, x_s, features), "own": own}
        ratio = self._measure(x_s)
        target = batch["target"] * LARGEST_RATIO[self.stage.name]
        delta = self.net(torch.cat([x_s.flatten(1), ratio, target], 1)).float().unflatten(1, (-1, 3))
        image = self._render(modules, features, x_s, x_s + delta)
        return {
            "delta": delta, "image": image, "own": own, "keep": self._outside(x_s), "target": target,
            "own_kp": source["kp"],
        }  # fmt: skip

    def _stitch(
        self, batch: Batch, modules: dict[str, nn.Module], source: Batch, x_s: Tensor, features: Tensor
    ) -> Batch:
        """Another person's motion on the source, as absolute driving would put it."""
        x_d = keypoints(source["kp"], motion_of(modules, batch["driver_seen"]))
        out = self.net(torch.cat([x_s.flatten(1), x_d.flatten(1)], 1)).float()
        delta = out[:, :-2].unflatten(1, (-1, 3)) + F.pad(out[:, -2:], (0, 1))[:, None]
        shoulders = (self._grid[..., 1][None] - x_s[:, self._chin, 1, None, None] - 0.12).mul(12).clamp(0, 1)
        return {"delta": delta, "image": self._render(modules, features, x_s, x_d + delta), "keep": shoulders[:, None]}

    @staticmethod
    def _render(modules: dict[str, nn.Module], features: Tensor, x_s: Tensor, x_d: Tensor) -> Tensor:
        return modules["spade_generator"](modules["warping_module"](features, x_s, x_d)["out"]).float()

    def _measure(self, x: Tensor) -> Tensor:
        """Opening over width, (B, 2) for eyes and (B, 1) for lips, of keypoints (B, K, 3)."""
        ratios = []
        for rows in self._ratios[self.stage.name]:
            upper, lower, left, right = x.index_select(1, rows)[..., :2].unbind(1)
            width = (left - right).square().sum(-1).add(1e-8).sqrt()
            ratios.append((upper - lower).square().sum(-1).add(1e-8).sqrt() / width)
        return torch.stack(ratios, 1)

    def _outside(self, x_s: Tensor) -> Tensor:
        """(B, 1, H, W): 0 near the region's keypoints, 1 elsewhere."""
        points = x_s.index_select(1, self._region)[..., :2]
        distance = (self._grid[None, None] - points[:, :, None, None]).square().sum(-1).amin(1)
        return (1 - torch.exp(-distance / 0.02))[:, None]
