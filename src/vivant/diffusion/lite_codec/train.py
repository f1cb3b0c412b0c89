"""How the codec learns: pictures through a noisy bottleneck and back.

Terms: L1, the distance of EfficientNet-Lite0 features, a small divergence of the posterior from the standard normal
distribution, and, in the stage ``sharpen``, a patch critic (Esser et al. 2021, arXiv:2012.09841). The decoder also sees
latents with added noise, as diffusion leaves them.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.diffusion.lite_codec.config import CodecConfig
from vivant.diffusion.lite_codec.model import LiteCodec
from vivant.training.critics import PatchCritic
from vivant.training.features import PerceptualDistance
from vivant.training.losses import feature_matching, hinge_critic, hinge_generator
from vivant.training.protocol import Batch
from vivant.training.stage import Stage

SAMPLES = "vivant.data.pictures:PackedPictures"
_ZOOM = (0.6, 1.6)  # pixels of the picture for one of the square: small and large faces are learned alike
_JITTER = 0.15  # deviations of noise that the decoder must bear, at most
_MOMENTUM = 0.01
_LOSSES = {"pixel": 1.0, "perceptual": 0.35, "divergence": 2e-4}

STAGES: dict[str, Stage] = {
    "base": Stage(
        name="base", trains=("codec",), steps=30_000, batch=64, learning_rate=6e-4, weight_decay=1e-4, warmup=200,
        ema_decay=0.999, clip_norm=1.0, loss_weights=_LOSSES, sample_every=3000, checkpoint_every=3000,
    ),
    "sharpen": Stage(
        name="sharpen", trains=("codec.decoder",), steps=6_000, batch=64, learning_rate=2e-4, warmup=100,
        ema_decay=0.999, clip_norm=1.0, critics_from=0.0, critic_learning_rate=2e-4, sample_every=1000,
        checkpoint_every=2000, loss_weights={**_LOSSES, "adversarial": 0.01, "matching": 0.2},
    ),
}  # fmt: skip


class Objective:
    """The aim of both stages; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: CodecConfig, stage: Stage, device: torch.device) -> None:
        self.modules, self.stage, self._side = modules, stage, config.learns_on
        self.weights = {name: weight for name, weight in stage.loss_weights.items() if weight > 0}
        self.perceptual = PerceptualDistance(device) if "perceptual" in self.weights else None
        adversarial = "adversarial" in self.weights
        self.critics: dict[str, nn.Module] = {"whole": PatchCritic(blocks=3).to(device)} if adversarial else {}

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Random squares of random size, mirrored or not, in changed colours, and the noise of bottleneck and
        decoder."""
        image = raw["image"].float() / 255
        count, device = len(image), image.device

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *shape, generator=generator, device=device)

        side = self._side
        view = uniform(*_ZOOM) * (side / image.shape[-1])
        room = (1 - view).clamp_min(0)
        x, y = uniform(-1, 1) * room, uniform(-1, 1) * room
        flip = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        zero = torch.zeros_like(view)
        theta = torch.stack([view * flip, zero, x, zero, view, y], 1).view(-1, 2, 3)
        grid = F.affine_grid(theta, [count, 3, side, side], align_corners=False)
        image = F.grid_sample(image, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        gain, lift = uniform(0.75, 1.25, 3, 1, 1) * uniform(0.8, 1.2, 1, 1, 1), uniform(-0.1, 0.1, 3, 1, 1)
        image = (image * gain + lift).clamp(0, 1)
        shape = (self._codec.channels, side // self._codec.factor, side // self._codec.factor)
        noise = torch.randn(count, 2, *shape, generator=generator, device=device)
        return {"image": image, "sample": noise[:, 0], "jitter": noise[:, 1] * uniform(0, _JITTER, 1, 1, 1)}

    @property
    def _codec(self) -> LiteCodec:
        codec = self.modules["codec"]
        assert isinstance(codec, LiteCodec)
        return codec

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """Weighted terms, and the picture for the critic."""
        codec = self._codec
        mean, log_variance = (part.float() for part in codec.moments(batch["image"]))
        if codec.encoder.training:
            _observe(codec, mean)
        latents = mean + (0.5 * log_variance).exp() * batch["sample"]
        latents = latents + batch["jitter"] * codec.spread[:, None, None]
        image = codec.decoder(latents).float() / 2 + 0.5
        terms = {"pixel": (image - batch["image"]).abs().mean()}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(image, batch["image"])
        terms["divergence"] = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()
        if adversarial and self.critics:
            answer, made = self.critics["whole"](image)
            with torch.no_grad():
                real = self.critics["whole"](batch["image"])[1]
            terms |= {"adversarial": hinge_generator(answer), "matching": feature_matching(made, real)}
        return {k: self.weights[k] * v for k, v in terms.items() if k in self.weights}, {"image": image.detach()}

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """Hinge loss of the patch critic."""
        critic = self.critics["whole"]
        return {"whole": hinge_critic(critic(batch["image"])[0], critic(aux["image"])[0])}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: pictures, what the codec makes of them, the same from latents with a tenth of noise, and the mistakes
        eight times enlarged."""
        codec = modules["codec"]
        assert isinstance(codec, LiteCodec)
        latents = codec.encode(batch["image"])
        plain, noisy = codec.decode(latents).float(), codec.decode(latents + 0.1 * batch["sample"]).float()
        return torch.cat([batch["image"], plain, noisy, 0.5 + 4 * (plain - batch["image"])]).clamp(0, 1)


@torch.no_grad()
def _observe(codec: LiteCodec, mean: Tensor) -> None:
    """Follow the latents' mean and deviation."""
    codec.mean.lerp_(mean.detach().mean((0, 2, 3)), _MOMENTUM)
    codec.spread.lerp_(mean.detach().std((0, 2, 3)).clamp_min(1e-3), _MOMENTUM)
