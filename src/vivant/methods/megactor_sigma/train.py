"""How it learns: three stages as in the paper, with modalities decoupled in space and in the mix.

Axis letters: B batch, F frames, C latent channels, h w latent grid, H W pixels, T audio tokens of a frame.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import ConfigError
from vivant.core.facemesh import FACE_MIRROR
from vivant.diffusion.clips import latent_schedule
from vivant.diffusion.codec import load_codec
from vivant.diffusion.losses import variational_bound
from vivant.diffusion.samplers import Moment, Sampling, sample
from vivant.diffusion.schedule import timetable
from vivant.methods.megactor_sigma.config import Config
from vivant.methods.megactor_sigma.disguise import Chances, Draws, disguised
from vivant.methods.megactor_sigma.generate import audio_tokens
from vivant.methods.megactor_sigma.regions import (
    chosen_mask,
    eyes_and_mouth,
    latent_masks,
    region_boxes,
    shown,
    union,
)
from vivant.methods.megactor_sigma.weights import silence
from vivant.nn.transformer import BlockContext, Strength
from vivant.nn.video_dit import VideoDiT
from vivant.training.clip_arrays import pair_window
from vivant.training.latent_diffusion import check_window, kept, masked_error, noised
from vivant.training.stage import Stage

Batch = dict[str, Tensor]

SAMPLES = "vivant.training.clips:DrivenWindows"

_VISUAL = ("denoiser", "!denoiser.*temporal", "!denoiser.*attn2", "reference_net", "driven_encoder")
_MIXED = ("denoiser", "!denoiser.*temporal", "reference_net", "driven_encoder")
_MOTION = ("denoiser.*temporal",)
_ALL = ("denoiser", "reference_net", "driven_encoder")
_SETTINGS = {
    "visual": 0.1, "audio": 0.2, "unconditional": 0.1, "swap": 0.5, "style": 0.25, "size": 0.75, "colour": 0.25,
    "plain": 0.0, "noise_offset": 0.0, "min_snr": 0.0, "save_memory": 0.0,
}  # fmt: skip
_CHANCES = ("visual", "audio", "unconditional", "swap", "style", "size", "colour")
_ALONE = {"visual": 1.0, "audio": 0.0}
_PAPER: dict[str, Any] = {
    "learning_rate": 1e-5, "betas": (0.9, 0.999), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 1,
    "final_lr_fraction": 1.0, "ema_decay": 0.0, "checkpoint_every": 5000, "sample_every": 1000, "shard": "moments",
    "loss_weights": {"noise": 1.0, "bound": 1.0, "mouth": 1.0, "eyes": 1.0}, "steps": 30_000, "batch": 8,
}  # fmt: skip
_LITE: dict[str, Any] = {
    "betas": (0.9, 0.99), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 200, "ema_decay": 0.999,
    "loss_weights": {"noise": 1.0, "bound": 0.0, "mouth": 10.0, "eyes": 5.0}, "sample_every": 2000,
    "checkpoint_every": 5000,
}  # fmt: skip
_LITE_SETTINGS = {**_SETTINGS, "noise_offset": 0.05, "min_snr": 5.0}
_PAPER_SETTINGS = {**_SETTINGS, "save_memory": 1.0}

STAGES: dict[str, Stage] = {
    "visual": Stage(
        name="visual", trains=_VISUAL, steps=10_000, batch=64, learning_rate=6e-4, frames=1,
        settings={**_LITE_SETTINGS, **_ALONE}, **_LITE,
    ),
    "mixed": Stage(
        name="mixed", trains=_MIXED, steps=16_000, batch=64, learning_rate=5e-4, frames=1, settings=_LITE_SETTINGS,
        **_LITE,
    ),
    "motion": Stage(
        name="motion", trains=_MOTION, steps=6_000, batch=8, learning_rate=6e-4, frames=12, settings=_LITE_SETTINGS,
        **_LITE,
    ),
    "all": Stage(
        name="all", trains=_ALL, steps=10_000, batch=8, learning_rate=3e-4, frames=12, settings=_LITE_SETTINGS, **_LITE,
    ),
    "paper-visual": Stage(
        name="paper-visual", trains=_VISUAL, frames=1, settings={**_PAPER_SETTINGS, **_ALONE}, **_PAPER,
    ),
    "paper-mixed": Stage(name="paper-mixed", trains=_MIXED, frames=1, settings=_PAPER_SETTINGS, **_PAPER),
    "paper-motion": Stage(name="paper-motion", trains=_MOTION, frames=16, settings=_PAPER_SETTINGS, **_PAPER),
}  # fmt: skip
"""The paper's three stages: spatially decoupled visual training without speech, mixed training, the motion prior (only
temporal modules). ``paper-*`` have the paper's settings, the others those of ``lite``; ``all``, which trains everything
on windows, is not in the paper.

Settings: ``visual`` and ``audio`` are the shares of samples that only the driver or only speech drives, the rest is
driven by speech and the driver's eyes; clips without sound are visual samples. ``unconditional``: chance to lose
everything. ``swap``, ``style``, ``size``, ``colour``: :class:`.disguise.Chances`. ``plain`` 1 trains without
decoupling, for comparison: whole drivers beside speech, no masks. ``save_memory`` 1 computes activations
again in the backward pass. Loss weights ``mouth`` and ``eyes``: how often their boxes count."""


def initialise(modules: dict[str, nn.Module], config: Config, samples: Any = None) -> None:
    """A fresh start: the codec, which stays as it is, has its weights, and speech adds nothing yet."""
    silence(modules)
    if config.codec != "tiny":
        modules["codec"] = load_codec(config.codec)


class Objective:
    """The loss of one stage; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        if config.net.variance and config.prediction != "epsilon":
            raise ConfigError("A net that learns the variance predicts noise: set prediction to epsilon.")
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        self.critics: dict[str, nn.Module] = {}
        self.schedule = latent_schedule(config.schedule).to(device)
        # made here: a captured step may not copy numbers from the host
        self._mirror = torch.tensor([-1.0, 1.0], device=device)
        self._swap = torch.tensor(FACE_MIRROR, device=device)
        self._which = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], device=device)
        self.settings = found = stage.settings_over(_SETTINGS, _CHANCES)
        if found["visual"] + found["audio"] > 1:
            raise ConfigError(f"Stage '{stage.name}': the shares visual and audio are more than 1 together.")
        self.chances = Chances(found["swap"], found["style"], found["size"], found["colour"])
        self._hears = found["visual"] < 1

    @property
    def _net(self) -> VideoDiT:
        net = self.modules["denoiser"]
        assert isinstance(net, VideoDiT)
        return net

    @torch.no_grad()
    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Latents, driving pictures and speech of a window; then noise, times, who drives and dropouts, all drawn here.

        ``raw``: of :class:`vivant.training.clips.DrivenWindows`, or a pair of
        :class:`vivant.data.dataset.FaceClips`, whose driver is a window of one frame.
        """
        raw = raw if "latents" in raw else self._pair(raw)
        frames, config = self.stage.frames, self.config
        check_window(raw, frames, latents=(config.net.channels, None, None), speech=(config.audio.numbers,))
        at = (raw["latents"].shape[1] - frames) // 2  # in the middle, so that its speech has a before and a behind
        clean = raw["latents"][:, at : at + frames].float()
        batch = {"clean": clean, "reference": raw["reference_latents"].float()}
        batch |= noised(clean, self.schedule, config.prediction, self.settings["noise_offset"], generator)
        draws = Draws(len(clean), self.device, generator)
        asked = kept(len(clean), 1, self.settings["unconditional"], generator, self.device)[:, 0]
        batch["keep"] = asked[:, None].expand(-1, frames)
        batch["speech"] = self._speech(raw["speech"].float(), at)
        shown = {name: raw[name][:, at : at + frames] for name in ("points", "picture", "heard")}
        batch |= self._driven({**shown, "flip": raw["flip"]}, clean.shape[-1], asked, draws)
        return batch

    def _pair(self, raw: Batch) -> Batch:
        """Pairs of pictures as windows of one frame without sound."""
        found, audio = pair_window(raw, self.modules["codec"], self.config.output_size, self.device), self.config.audio
        found["speech"] = torch.zeros(len(found["latents"]), 1, audio.steps, audio.numbers, device=self.device)
        return found

    def _speech(self, speech: Tensor, at: int) -> Tensor:
        """Audio tokens (B, F, T, width) of the stage's frames, which begin at frame ``at`` of the features
        (B, frames, steps, D); beyond these the first and last frame repeat."""
        reach = self.config.audio.reach
        first, last = (speech[:, row : row + 1].expand(-1, reach, -1, -1) for row in (0, speech.shape[1] - 1))
        padded = torch.cat([first, speech, last], 1)
        span = range(at, at + self.stage.frames)
        heard = torch.stack([padded[:, i : i + 2 * reach + 1].flatten(1, 2) for i in span], 1)
        return audio_tokens(heard, self.config.audio)

    def _driven(self, raw: Batch, side: int, asked: Tensor, draws: Draws) -> Batch:
        """Who drives, what the net sees of the driver, and where it counts.

        Keys: ``driven`` (B, F, 3, H, W), ``drives`` (B,), ``masks`` (B, F, 2, h, w) of attention, ``keep_audio`` (B,),
        ``weight`` (B, F, 1, h, w) of the loss.
        """
        flip = raw["flip"][:, None, None, None]
        points, frames = raw["points"].float(), raw["points"].shape[1]
        points = torch.where(flip > 0, (points * self._mirror).index_select(2, self._swap), points)
        pictures = raw["picture"].float() / 255
        pictures = torch.where(flip[..., None] > 0, pictures.flip(-1), pictures)
        hears, eyes, mouth = self._who_drives(raw["heard"][:, 0], draws)
        chosen = eyes_and_mouth(eyes, mouth)[:, None].expand(-1, frames, -1)
        pictures, moved = disguised(pictures, points, self.chances, draws)
        own, boxes = region_boxes(points), self._patches(region_boxes(moved, draws.uniform(0.85, 1.3, 1, 1)), draws)
        together = draws.happens(1 / 3, 1, 1, 1) * (eyes * mouth)[:, None, None, None]
        whole = union(boxes, 2).expand_as(boxes)
        region = chosen_mask(torch.where(together > 0, whole, boxes), chosen, pictures.shape[-1])
        masks = latent_masks(boxes, own, chosen, side) * asked[:, None, None, None, None]
        plain = bool(self.settings["plain"])
        return {
            "driven": shown(pictures, region),
            "drives": eyes.maximum(mouth) * asked,
            "masks": torch.zeros_like(masks) if plain else masks,
            "keep_audio": hears * asked,
            "weight": self._weight(own, hears, eyes, mouth, side),
        }

    def _who_drives(self, heard: Tensor, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """Flags (B,): speech drives, the driver's eyes drive, its mouth drives.

        Visual samples show eyes, mouth or both (face dropout); mixed ones the eyes beside speech.
        """
        found, lot = self.settings, draws.uniform(0, 1)
        visual = ((lot < found["visual"]) | (heard < 0.5)).float()
        audio = (1 - visual) * (lot < found["visual"] + found["audio"]).float()
        mixed = 1 - visual - audio
        subset = self._which.index_select(0, (draws.uniform(0, 1) * 3).long().clamp(max=2))
        if found["plain"]:
            both = visual + mixed
            return audio + mixed, both, both
        return audio + mixed, visual * subset[:, 0] + mixed, visual * subset[:, 1]

    def _patches(self, boxes: Tensor, draws: Draws) -> Tensor:
        """Boxes (B, F, 3, 4) that follow the face, or stay around all its places in the window, as chance has it."""
        fixed = union(boxes, 1).expand_as(boxes)
        return torch.where(draws.happens(1 / 3, 1, 1, 1) > 0, fixed, boxes)

    def _weight(self, own: Tensor, hears: Tensor, eyes: Tensor, mouth: Tensor, side: int) -> Tensor:
        """Where the error counts, (B, F, 1, h, w): everywhere, but not in a mouth that nothing decides, which is one of
        samples whose eyes alone are driven, without speech."""
        weights, one = self.stage.loss_weights, torch.ones_like(own[..., 0, 0])
        nothing = torch.zeros_like(one)
        in_eyes = chosen_mask(own, eyes_and_mouth(one, nothing), side)
        in_mouth = chosen_mask(own, eyes_and_mouth(nothing, one), side)
        found = 1 + (weights.get("eyes", 1.0) - 1) * in_eyes + (weights.get("mouth", 1.0) - 1) * in_mouth
        if self.settings["plain"]:
            return found
        undecided = (eyes * (1 - mouth) * (1 - hears))[:, None, None, None, None]
        return found * (1 - undecided * (in_mouth > 0).to(found.dtype))

    def contexts(self, batch: Batch) -> dict[str, BlockContext]:
        """What the blocks look at: unconditional samples see no reference."""
        save = bool(self.settings["save_memory"])
        bank = self.modules["reference_net"](batch["reference"], save_memory=save)
        found = self._net.project(bank, batch["speech"] if self._hears else None)
        return {path: seen._replace(keep=batch["keep"]) for path, seen in found.items()}

    def added(self, batch: Batch) -> Tensor:
        """What is concatenated to the noise, (B, F, extra + 2, h, w): driven features, perhaps the reference, masks."""
        features = self.modules["driven_encoder"](batch["driven"])
        parts = [features * batch["drives"][:, None, None, None, None].to(features.dtype)]
        if self.config.reference_input:
            latent = batch["reference"] * batch["keep"][:, :1, None, None]
            parts.append(latent[:, None].expand(-1, features.shape[1], -1, -1, -1).to(features.dtype))
        return torch.cat([*parts, batch["masks"].to(features.dtype)], 2)

    def answer(self, batch: Batch, noisy: Tensor, time: Tensor, known: tuple[Any, Tensor]) -> Tensor:
        """The net's answer with the variance, where there is one."""
        frames = noisy.shape[1]
        strength = Strength(context=batch["keep_audio"].repeat_interleave(frames)[:, None, None])
        return self._net(
            noisy, time, *known, strength=strength, save_memory=bool(self.settings["save_memory"]),
            temporal=self.stage.frames > 1, variance=True,
        )  # fmt: skip

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """The masked error of the prediction, and the variational bound where the variance is learned."""
        known = (self.contexts(batch), self.added(batch))
        answer = self.answer(batch, batch["noisy"], batch["time"], known)
        weights, weight = self.stage.loss_weights, batch["weight"]
        channels = self.config.net.channels
        error = masked_error(
            answer[:, :, :channels], batch, self.schedule, self.config.prediction, weight, self.settings["min_snr"]
        )
        terms = {"noise": weights.get("noise", 1.0) * error}
        if self.config.net.variance and weights.get("bound", 1.0) > 0:
            fraction = (answer[:, :, channels:].float() + 1) / 2
            bound = variational_bound(
                self.schedule, batch["clean"], batch["noisy"], batch["time"], answer[:, :, :channels], fraction, None,
                weight,
            )  # fmt: skip
            terms["bound"] = weights.get("bound", 1.0) * bound.mean()
        return terms, {}

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: reference, what the net sees of the driver, target, and eight steps from noise, all of each window's
        middle frame."""
        codec, middle = self.modules["codec"], batch["clean"].shape[1] // 2
        full = {**batch, "keep": torch.ones_like(batch["keep"])}
        live, self.modules = self.modules, {**self.modules, **modules}
        try:
            known = (self.contexts(full), self.added(full))

            def predict(x: Tensor, moment: Moment) -> Tensor:
                time = torch.tensor(moment.timestep, device=x.device)
                return self.answer(full, x, time, known)[:, :, : self.config.net.channels]

            table = timetable(latent_schedule(self.config.schedule), 8)
            noise = torch.randn_like(batch["clean"])
            made = sample(predict, noise, Sampling(table, "dpm-solver", self.config.prediction))
        finally:
            self.modules = live
        latents = torch.cat([batch["reference"], batch["clean"][:, middle], made[:, middle]])
        pictures = codec.decode(latents.to(next(codec.parameters()).dtype)).float()  # type: ignore[operator]
        first, target, result = pictures.chunk(3)
        seen = F.interpolate(batch["driven"][:, middle], size=first.shape[-2:], mode="bilinear")
        return torch.cat([first, seen, target, result]).clamp(0, 1)
