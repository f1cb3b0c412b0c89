"""Stage I's objective (paper section 3.2): F, M, W, G learn from pairs of frames of one person.

Terms follow the paper where it names them. The lite preset adds direct supervision by labels (every keypoint is a named
landmark, the flow must carry landmark to landmark), because its training is minutes, not days.

Axis letters: B batch, K keypoints, P labelled landmarks, C channels, H W pixels. Coordinates -1..1 of the crop.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.algebra import shape_offsets
from vivant.methods.live_portrait.config import GAZE_LANDMARKS, SEEN_LANDMARKS, Config
from vivant.methods.live_portrait.prepare import row_tensors
from vivant.methods.live_portrait.reconstruct import (
    Batch,
    Outputs,
    distances,
    fit_input,
    forward,
    keypoints,
    label_rows,
    motion_of,
    rows_of,
)
from vivant.methods.live_portrait.trust import Trust, depth_weight
from vivant.nn.geometry import sample_2d
from vivant.training.augment import AugmentConfig, PairAugment
from vivant.training.critics import PatchCritic
from vivant.training.features import IdentityDistance, LandmarksInPicture, PerceptualDistance, cut_square
from vivant.training.losses import (
    deformation_prior,
    equivariance,
    feature_matching,
    head_pose,
    hinge_critic,
    hinge_generator,
    keypoint_prior,
    wing,
)
from vivant.training.stage import Stage
from vivant.training.transforms import RandomWarp

# what the cascaded perceptual term looks at beside the whole picture, by motion space: the paper's, and lite's
REGIONS = {"published": ("face", "lips"), "lite": ("lips", "left_eye", "right_eye")}
# landmarks that guide keypoints 11 to 20 of the published layout (the paper says 10 points, not which)
PUBLISHED_GUIDES = {
    11: 33, 12: 133, 13: 159, 14: 61, 15: 263, 16: 386, 17: 291, 18: 362, 19: 14, 20: 13,
}  # fmt: skip
_SETTINGS = {"own_shape": 0.0}
"""``own_shape``: chance of a sample that W gets lids, irises, brows and lips as M sees them, not as labelled, so that
its picture teaches M where they are. Only where keypoints are named landmarks."""


class BaseObjective:
    """Stage I, with or without critics.

    Raises:
        ConfigError: the stage has an unknown setting, or a chance outside 0 to 1.
    """

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        self.weights = {name: weight for name, weight in stage.loss_weights.items() if weight > 0}
        self.lite = config.family == "lite"
        self._own_shape = stage.settings_over(_SETTINGS)["own_shape"]
        if not 0 <= self._own_shape <= 1:
            raise ConfigError(f"Stage '{stage.name}': own_shape is {self._own_shape}, give a chance from 0 to 1.")
        self._augment = PairAugment(AugmentConfig(), device)
        self.perceptual = PerceptualDistance(device)
        self.identity = IdentityDistance(device) if "identity" in self.weights else None
        self.seen = LandmarksInPicture(device) if "seen" in self.weights else None
        self.warp = RandomWarp(device=device) if "equivariance" in self.weights else None
        adversarial = "adversarial" in self.weights
        self.critics: dict[str, nn.Module] = (
            {name: PatchCritic(base=32).to(device) for name in ("whole", "face", "lips")} if adversarial else {}
        )
        guides = config.space.landmarks or tuple(PUBLISHED_GUIDES.values())
        self._guides = rows_of(guides, device)
        self._guided = torch.tensor(range(len(guides)) if self.lite else list(PUBLISHED_GUIDES), device=device)
        self._lips = rows_of((61, 291, 0, 17), device)
        self._eyes = [rows_of(pair, device) for pair in ((33, 133), (362, 263))]
        gaps = ((13, 81, 311, 159, 386), (14, 178, 402, 145, 374))
        self._gap_rows = [rows_of(points, device) for points in gaps]
        self._gaze_rows = label_rows(GAZE_LANDMARKS, device)
        self._shape_rows = label_rows(SEEN_LANDMARKS, device)
        self._shape_kp = row_tensors(config.space.seen_rows, device)
        self._gaze_kp = row_tensors(config.space.gaze_rows, device)
        self._gaze_points = torch.cat([moved for moved, _ in self._gaze_rows])
        if self.lite:
            self._gap_kp = [torch.tensor([guides.index(p) for p in points], device=device) for points in gaps]
        self._trust = Trust(device)
        self._down = torch.tensor([[0.0, 1.0]], device=device)

    # -- protocol -------------------------------------------------------------------------------------------------

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Augmented pictures and labels, and how far each landmark is to be trusted (B, P)."""
        batch = fit_input(self._augment(raw, generator), self.config.input_size)
        batch["trust"] = self._trust.of(batch)
        for name in ("source", "driver"):
            batch[f"{name}_irises"] = shape_offsets(batch[f"{name}_landmarks"], self._gaze_rows)
            batch[f"{name}_shape"] = shape_offsets(batch[f"{name}_landmarks"], self._shape_rows)
        if self._own_shape:  # drawn last: without it a step draws what it always drew
            scale = batch["source_scale"]
            batch["own_shape"] = torch.rand(len(scale), device=scale.device, generator=generator) < self._own_shape
        return batch

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """Weighted terms, and the pictures the critics judge."""
        out = self.forward(batch)
        terms = {}
        for name, weight in self.weights.items():
            if name in ("adversarial", "feature_matching") and not adversarial:
                continue
            terms[name] = weight * getattr(self, f"_{name}")(batch, out)
        return terms, {"image": out["image"].detach()}

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """Hinge losses of the three critics (whole picture, face, lips)."""
        losses = {}
        for name, critic in self.critics.items():
            real, _ = critic(self._view(self._target(batch, aux), batch, name))
            fake, _ = critic(self._view(aux["image"], batch, name))
            losses[name] = hinge_critic(real.float(), fake.float())
        return losses

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: source, driver, result, warped source."""
        told = {name: value for name, value in batch.items() if name != "own_shape"}  # as inference shows it
        rows = forward(modules, told, self.lite, self._shape_kp)
        keys = ("image", "copied") if self.lite else ("image",)
        results = [F.interpolate(rows[key].float(), size=batch["source_image"].shape[-2:]) for key in keys]
        return torch.cat([batch["source_image"], batch["driver_image"], *results])

    def forward(self, batch: Batch) -> Outputs:
        """Everything the terms look at."""
        return forward(self.modules, batch, self.lite, self._shape_kp)

    # -- terms: each returns a scalar before its weight ------------------------------------------------------------

    def _pixel(self, batch: Batch, out: Outputs) -> Tensor:
        return (out["image"] - self._target(batch, out)).abs().mean()

    def _copied(self, batch: Batch, out: Outputs) -> Tensor:
        return (out["copied"].float() - batch["driver_image"]).abs().mean()

    def _perceptual(self, batch: Batch, out: Outputs) -> Tensor:
        return self.perceptual(out["image"], self._target(batch, out))

    def _regions(self, batch: Batch, out: Outputs) -> Tensor:
        """The cascade: parts of the face, cut by true landmarks, enlarged, judged alike."""
        total = out["image"].new_zeros(())
        regions = REGIONS[self.config.family]
        for name in regions:
            ours, theirs = (self._view(image, batch, name) for image in (out["image"], self._target(batch, out)))
            total = total + 0.7 * self.perceptual(ours, theirs) + 3 * (ours - theirs).abs().mean()
        return total / len(regions) * 2

    def _keypoints(self, batch: Batch, out: Outputs) -> Tensor:
        """Guidance of all keypoints: with the source's canonical points, and the driver's with its own (half)."""
        trust = batch["trust"].index_select(1, self._guides)[..., None] * depth_weight(out["x_s"])
        source, driver = self._guide(batch, "source"), self._guide(batch, "driver")
        error = (out["x_s"] - source).abs() + (out["x_d"] - driver).abs() + 0.5 * (out["x_own"] - driver).abs()
        return (error * trust).mean()

    def _wing(self, batch: Batch, out: Outputs) -> Tensor:
        """L_guide of the paper: Wing loss on ten landmarks, in 0..1 of the picture."""
        total = out["x_s"].new_zeros(())
        for x, name in ((out["x_s"], "source"), (out["x_d"], "driver")):
            ours = x.index_select(1, self._guided)[..., :2]
            total = total + wing((ours + 1) / 2, (self._guide(batch, name)[..., :2] + 1) / 2)
        return total / 2

    def _rotation(self, batch: Batch, out: Outputs) -> Tensor:
        """Head rotation against perception, radians, mean of the angles."""
        return self._head_pose(batch, out) * (torch.pi / 180 / 3)

    def _head_pose(self, batch: Batch, out: Outputs) -> Tensor:
        """L_H in degrees, of both frames."""
        total = out["x_s"].new_zeros(())
        for motion, name in ((out["source"], "source"), (out["driver"], "driver")):
            seen = torch.rad2deg(batch[f"{name}_rotation"])
            total = total + head_pose(motion["angles"].unbind(1), seen.unbind(1))
        return total

    def _placement(self, batch: Batch, out: Outputs) -> Tensor:
        total = out["x_s"].new_zeros(())
        for motion, name in ((out["source"], "source"), (out["driver"], "driver")):
            size = (motion["scale"][:, 0].log() - batch[f"{name}_scale"].log()).abs().mean()
            total = total + (motion["t"][:, :2] - batch[f"{name}_translation"]).abs().mean() + 0.5 * size
        return total

    def _canonical(self, batch: Batch, out: Outputs) -> Tensor:
        wanted = batch["neutral"].index_select(1, self._guides)
        return (out["source"]["kp"] - wanted).abs().mean() + (out["driver"]["kp"] - wanted).abs().mean()

    def _gaps(self, batch: Batch, out: Outputs) -> Tensor:
        """Openings of lips and lids of the keypoints against the labels: small distances that keypoint errors hide."""
        total = out["x_s"].new_zeros(())
        for x, name in ((out["x_s"], "source"), (out["x_d"], "driver")):
            labels = batch[f"{name}_landmarks"]
            wanted = distances(labels.index_select(1, self._gap_rows[0]), labels.index_select(1, self._gap_rows[1]))
            ours = distances(x.index_select(1, self._gap_kp[0]), x.index_select(1, self._gap_kp[1]))
            total = total + (ours - wanted).abs().mean()
        return total

    def _gaze(self, batch: Batch, out: Outputs) -> Tensor:
        """Irises relative to the corners of their eyes, of the keypoints and of the flow: the head's own motion hides
        them from the other terms."""
        seen = batch["trust"].index_select(1, self._gaze_points)[..., None] / 2.5
        total = out["x_s"].new_zeros(())
        for x, name in ((out["x_s"], "source"), (out["x_d"], "driver"), (out["x_own"], "driver")):
            total = total + ((shape_offsets(x, self._gaze_kp) - batch[f"{name}_irises"]).abs() * seen).mean()
        carried = shape_offsets(self._flow_at_landmarks(batch, out), self._gaze_rows)
        return total + 2 * ((carried - batch["source_irises"]).abs() * seen).mean()

    def _flow(self, batch: Batch, out: Outputs) -> Tensor:
        """Read at each true landmark of the driver, the flow must point to the same landmark of the source."""
        error = (self._flow_at_landmarks(batch, out) - batch["source_landmarks"][..., :2]).abs()
        return (error * batch["trust"][..., None]).mean()

    @staticmethod
    def _flow_at_landmarks(batch: Batch, out: Outputs) -> Tensor:
        """(B, P, 2): where the flow sends the driver's true landmarks."""
        where = batch["driver_landmarks"][:, :, None, :2]
        return sample_2d(out["flow"].permute(0, 3, 1, 2), where)[..., 0].transpose(1, 2)

    def _expression(self, batch: Batch, out: Outputs) -> Tensor:
        """L_Delta: expressions stay small, mean of a coordinate."""
        return (deformation_prior(out["source"]["exp"]) + deformation_prior(out["driver"]["exp"])) / 3

    def _prior(self, batch: Batch, out: Outputs) -> Tensor:
        return keypoint_prior(out["x_d"])

    def _equivariance(self, batch: Batch, out: Outputs) -> Tensor:
        """Keypoints of a warped picture are the warped keypoints (affine and thin-plate spline)."""
        assert self.warp is not None
        warp = self.warp.draw(batch["driver_image"].shape[0])
        warped = motion_of(self.modules, warp.image(batch["driver_image"]))
        found = keypoints(out["source"]["kp"], warped)
        return equivariance(out["x_d"][..., :2], found[..., :2], warp.points)

    def _identity(self, batch: Batch, out: Outputs) -> Tensor:
        assert self.identity is not None
        scale = batch["driver_scale"]
        centre = batch["driver_translation"] + 0.1 * scale[:, None] * self._down
        return self.identity(out["image"], self._target(batch, out), centre, 0.62 * scale)

    def _seen(self, batch: Batch, out: Outputs) -> Tensor:
        """Where the tracker would find the landmarks of the result, and where it finds those of the driver: a picture
        can be close to its target and still look as if the head nodded."""
        assert self.seen is not None
        return self.seen.difference(out["image"], self._target(batch, out), batch["driver_landmarks"])

    def _adversarial(self, batch: Batch, out: Outputs) -> Tensor:
        total = out["image"].new_zeros(())
        for name, critic in self.critics.items():
            total = total + hinge_generator(critic(self._view(out["image"], batch, name))[0].float())
        return total

    def _feature_matching(self, batch: Batch, out: Outputs) -> Tensor:
        total = out["image"].new_zeros(())
        for name, critic in self.critics.items():
            with torch.no_grad():
                real = critic(self._view(self._target(batch, out), batch, name))[1]
            total = total + feature_matching(critic(self._view(out["image"], batch, name))[1], real)
        return total

    # -- helpers --------------------------------------------------------------------------------------------------

    def _target(self, batch: Batch, out: Outputs) -> Tensor:
        """The driver's picture at the size of the result."""
        size = out["image"].shape[-2:]
        image = batch.get("driver_target", batch["driver_image"])
        return image if image.shape[-2:] == size else F.interpolate(image, size=size, mode="bilinear")

    def _guide(self, batch: Batch, name: str) -> Tensor:
        return batch[f"{name}_landmarks"].index_select(1, self._guides)

    def _view(self, image: Tensor, batch: Batch, region: str) -> Tensor:
        """What one critic or one cascade sees: the whole picture or a square by the driver's true landmarks."""
        if region == "whole":
            return image
        scale, points = batch["driver_scale"], batch["driver_landmarks"][..., :2]
        if region == "face":
            return cut_square(image, batch["driver_translation"] + 0.1 * scale[:, None] * self._down, 0.6 * scale, 160)
        if region == "lips":
            return cut_square(image, points.index_select(1, self._lips).mean(1), 0.28 * scale, 96)
        eye = self._eyes[0 if region == "left_eye" else 1]
        return cut_square(image, points.index_select(1, eye).mean(1), 0.15 * scale, 64)
