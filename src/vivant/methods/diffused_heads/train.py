"""How it learns (paper section 3.4): one frame of a clip from its predecessors, another frame and the sound.

L = L_simple + 1e-4 L_vlb + 0.2 L_lip. The published code cuts the mouth where it is in the identity frame; here it is
the target's own (``lip_frame`` of the objective, "identity" for parity).

Axis letters: B batch, M motion frames, S side of the frames.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.diffusion.losses import uniform_times, variational_bound
from vivant.diffusion.samplers import guess
from vivant.diffusion.schedule import Schedule, cosine
from vivant.methods.diffused_heads.config import Config, Options
from vivant.methods.diffused_heads.generate import FrameChain, sampling_of
from vivant.methods.diffused_heads.guard import coarse, grey
from vivant.methods.diffused_heads.mistakes import mistaken, roughened
from vivant.methods.diffused_heads.unet import UNet
from vivant.training.protocol import Batch
from vivant.training.randomness import rolled
from vivant.training.stage import Stage

SAMPLES = "vivant.data.talking:TalkingFrames"
_GROWN = 5
"""Pixels that the mouth's box is grown by on each side, at 128 px."""
_MOST_WEIGHT = 5.0
"""Bound of SNR + 1, which weighs the error of a predicted picture as that of the velocity (after min-SNR)."""
_LORA = ("unet.*.qkv", "unet.*.proj_out", "unet.*.in_layers.2", "unet.*.out_layers.3")
"""Layers that low-rank additions change, where a recipe asks for them: attention is rare here, so convolutions, too."""
_LOSSES = {"simple": 1.0, "vlb": 1e-4, "lip": 0.2}
_LITE_LOSSES = {"simple": 1.0, "lip": 1.0, "moved": 0.5, "drift": 1.0}
"""``moved``: the identity frame moved by the net's flow, if it has one. ``drift`` is no term: how strong the
mistakes in motion frames are, 0 for none."""

STAGES: dict[str, Stage] = {
    "lite": Stage(
        name="lite", trains=("unet", "audio_encoder"), steps=24_000, batch=128, learning_rate=4e-4, warmup=300,
        betas=(0.9, 0.99), weight_decay=1e-3, clip_norm=1.0, ema_decay=0.9995, loss_weights=_LITE_LOSSES,
        sample_every=4000, checkpoint_every=4000, lora_on=_LORA,
    ),
    "paper": Stage(
        name="paper", trains=("unet", "audio_encoder"), steps=1_000_000, batch=80, learning_rate=5e-5, warmup=0,
        betas=(0.9, 0.999), weight_decay=0.0, clip_norm=0.0, ema_decay=0.9999, loss_weights=_LOSSES,
        sample_every=5000, checkpoint_every=5000, lora_on=_LORA,
    ),
}  # fmt: skip


class Objective:
    """The aim of every stage; see :class:`vivant.training.protocol.Objective`."""

    lip_frame = "target"

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        weights = dict(stage.loss_weights)
        self._drift = weights.pop("drift", 0.0)
        self.weights = {name: weight for name, weight in weights.items() if weight > 0}
        if "vlb" in self.weights and not config.learned_variance:
            raise ConfigError("The term vlb teaches a variance, and this preset has none: set its weight to 0.")
        schedule = cosine(dtype=torch.float32)
        self.schedule: Schedule = (schedule if config.prediction == "epsilon" else schedule.zero_snr()).to(device)
        self.critics: dict[str, nn.Module] = {}

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Pictures in -1..1, mirrored and coloured alike within a sample, mistakes in motion frames, times, noise."""
        config, count = self.config, len(raw["frame"])
        frame, identity, motion = (_scaled(raw[key]) for key in ("frame", "identity", "motion"))
        shrink = frame.shape[-1] // config.image_size
        if not shrink or frame.shape[-1] % config.image_size:
            raise ConfigError(
                f"The data has frames of {frame.shape[-1]} px, the preset draws {config.image_size}: pack it again."
            )
        frame, identity, motion = (_shrunk(pictures, shrink) for pictures in (frame, identity, motion))
        motion, audio = _last(motion, config.motion_frames, "motion"), _middle(raw["audio"], config.audio_reach)

        def uniform(low: float, high: float, *shape: int) -> Tensor:
            return low + (high - low) * torch.rand(count, *shape, generator=generator, device=self.device)

        mirrored = uniform(0, 1, 1, 1, 1) < 0.5
        gain, lift = 1 + 0.15 * uniform(-1, 1, 3, 1, 1), 0.1 * uniform(-1, 1, 3, 1, 1)

        def seen(pictures: Tensor) -> Tensor:
            axes = (slice(None), *[None] * (pictures.ndim - 4))
            flipped = torch.where(mirrored[axes], pictures.flip(-1), pictures)
            return (flipped * gain[axes] + lift[axes]).clamp(-1, 1)

        frame, identity, motion = seen(frame), seen(identity), seen(motion)
        shown = self._shown(motion, identity, generator) if config.motion_frames else frame[:, :0]
        flip = mirrored.flatten()
        return {
            "frame": frame,
            "identity": identity,
            "motion": shown,
            "audio": audio,
            "mouth": self._mirrored(raw["mouth"] / shrink, flip),
            "identity_mouth": self._mirrored(raw["identity_mouth"] / shrink, flip),
            "t": uniform_times(self.schedule, count, generator, self.device),
            "noise": torch.randn(frame.shape, generator=generator, device=self.device),
        }

    def _mirrored(self, box: Tensor, flip: Tensor) -> Tensor:
        sides = torch.stack(
            [self.config.image_size - box[:, 2], box[:, 1], self.config.image_size - box[:, 0], box[:, 3]], 1
        )
        return torch.where(flip[:, None], sides, box)

    def _shown(self, motion: Tensor, identity: Tensor, generator: Generator | None) -> Tensor:
        """Motion frames (B, M, 3, S, S) as the net sees them (B, channels, S, S), with mistakes if asked."""
        config = self.config
        if self._drift:
            motion = mistaken(motion, identity, self._drift, generator, rolled)
        shown = torch.cat([grey(m) if config.grey_motion else m for m in motion.unbind(1)], 1)
        if self._drift:
            return roughened(shown, config.motion_coarse, self._drift, generator)
        return coarse(shown, config.motion_coarse)

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """Weighted terms of one step."""
        unet, schedule, kind = self._unet, self.schedule, self.config.prediction
        clean, noise, t = batch["frame"], batch["noise"], batch["t"]
        noisy = schedule.add_noise(clean, noise, t)
        sound = self._embedded(self.modules, batch)
        given = (noisy, t, batch["motion"], batch["identity"], sound)
        answer, moved = unet.with_moved(*given) if unet.warps else (unet(*given), None)
        answer = answer.float()
        answer, variance = answer.chunk(2, 1) if self.config.learned_variance else (answer, None)
        error = (answer - schedule.target(kind, clean, noise, t)).square()
        if kind == "sample":
            error = error * (schedule.snr(t) + 1).clamp(max=_MOST_WEIGHT).view(-1, 1, 1, 1)
        terms = {"simple": error.mean(), "lip": self._lip(error, batch)}
        if moved is not None:
            terms["moved"] = (moved.float() - clean).square().mean()
        if variance is not None and "vlb" in self.weights:
            signal, spread = schedule.rates(t, clean)
            told = {
                "epsilon": answer,
                "v": signal * answer + spread * noisy,
                "sample": (noisy - signal * answer) / spread.clamp_min(1e-4),
            }[kind]
            terms["vlb"] = variational_bound(schedule, clean, noisy, t, told, (variance + 1) / 2).mean()
        return {name: self.weights[name] * value for name, value in terms.items() if name in self.weights}, {}

    @property
    def _unet(self) -> UNet:
        unet = self.modules["unet"]
        assert isinstance(unet, UNet)
        return unet

    def _embedded(self, modules: dict[str, nn.Module], batch: Batch) -> Tensor:
        """Audio embeddings (B, 2R + 1, W); those of the window encoder come ready with the data."""
        audio = batch["audio"]
        return audio[..., 0, :] if self.config.encoder == "window" else modules["audio_encoder"](audio)

    def _lip(self, error: Tensor, batch: Batch) -> Tensor:
        """Mean over the batch of the mean error within each mouth's box, floor and ceil, grown."""
        box = batch["mouth" if self.lip_frame == "target" else "identity_mouth"]
        return lip_loss(error, box, _GROWN * self.config.image_size / 128)

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: identity frames, frames, what is drawn from the true predecessors, and x_0 as seen at the batch's
        times."""
        config, unet = self.config, modules["unet"]
        assert isinstance(unet, UNet)
        options = Options(steps=min(config.steps, 25), sampler="ddim")
        sampling = sampling_of(replace(config, sampler="ddim"), options)
        kind = self.device.type
        chain = FrameChain(unet, sampling, self.device, lambda: torch.autocast(kind, enabled=False))
        chain.captures = False
        sound = self._embedded(modules, batch)
        drawn = chain(batch["motion"], batch["identity"], sound.float(), batch["noise"][None])
        noisy = self.schedule.add_noise(batch["frame"], batch["noise"], batch["t"])
        answer = unet(noisy, batch["t"], batch["motion"], batch["identity"], sound).float()[:, :3]
        levels = [max(1e-8, float(self.schedule.alpha_bar[t])) for t in batch["t"].tolist()]
        seen = [
            guess(config.prediction, a[None], x[None], level, clip=1.0).x0
            for a, x, level in zip(answer, noisy, levels)
        ]  # fmt: skip
        return torch.cat([batch["identity"], batch["frame"], drawn, *seen]) / 2 + 0.5


def lip_loss(error: Tensor, box: Tensor, grown: float) -> Tensor:
    """Squared error (B, C, S, S) averaged over each box (B, 4), x0 y0 x1 y1 in pixels, floor and ceil, ``grown`` on
    each side and cut at the border; then over the batch."""
    side = error.shape[-1]
    low = (box[:, :2].floor() - grown).clamp(0, side)
    high = (box[:, 2:].ceil() + grown).clamp(0, side)
    place = torch.arange(side, device=error.device)
    inside = (place >= low[..., None]) & (place < high[..., None])
    mask = (inside[:, 1, :, None] & inside[:, 0, None, :]).to(error.dtype)[:, None]
    return ((error * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * error.shape[1]).clamp_min(1)).mean()


def _scaled(pictures: Tensor) -> Tensor:
    return pictures.float() / 127.5 - 1


def _shrunk(pictures: Tensor, factor: int) -> Tensor:
    """Averages of factor x factor pixels of (..., 3, S, S)."""
    if factor == 1:
        return pictures
    return F.avg_pool2d(pictures.flatten(0, -4), factor).unflatten(0, pictures.shape[:-3])


def _last(motion: Tensor, count: int, what: str) -> Tensor:
    if motion.shape[1] < count:
        raise ConfigError(
            f"The data gathers {motion.shape[1]} motion frames, the preset wants {count}: "
            f"set samples: {{{what}: {count}}} in the recipe."
        )
    return motion[:, motion.shape[1] - count :]


def _middle(audio: Tensor, reach: int) -> Tensor:
    has = audio.shape[1] // 2
    if has < reach:
        raise ConfigError(
            f"The data gathers {has} frames of sound on each side, the preset wants {reach}: "
            f"set samples: {{reach: {reach}}} in the recipe."
        )
    return audio[:, has - reach : has + reach + 1]
