"""How it learns: two stages as in the paper (section 3.3), pictures first, then the motion modules alone.

Axis letters: B batch, F frames, C latent channels, h w latent grid, D numbers of the picture encoder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.diffusion.clips import latent_schedule
from vivant.diffusion.codec import load_codec
from vivant.diffusion.picture_encoders import fill_picture_encoder
from vivant.diffusion.samplers import Moment, Sampling, sample
from vivant.diffusion.schedule import timetable
from vivant.methods.animate_anyone.config import Config
from vivant.methods.animate_anyone.model import guider_names, token_of
from vivant.nn.transformer import BlockContext
from vivant.nn.video_unet import VideoUNet
from vivant.training.consistency import consistency_error, paired_times, teacher_of
from vivant.training.latent_diffusion import check_window, kept, noised, weighted_error
from vivant.training.stage import Stage

Batch = dict[str, Tensor]

SAMPLES = "vivant.training.clips:PersonWindows"

MOTION_PARTS = ("denoising_unet.*motion_modules",)
_PICTURES = ("reference_unet", "pose_guider", "image_projection", "denoising_unet", "!denoising_unet.*motion_modules")
_PAPER_PICTURES = ("reference_unet", "!reference_unet.up_blocks.3", "pose_guider", "denoising_unet", _PICTURES[-1])
_SETTINGS = {
    "unconditional": 0.1, "noise_offset": 0.05, "min_snr": 5.0, "save_memory": 0.0, "no_reference": 0.0,
    "teacher_guidance": 0.0,
}  # fmt: skip
_DISTILLED = {**_SETTINGS, "unconditional": 0.0, "noise_offset": 0.0, "teacher_guidance": 2.5}
_PAPER: dict[str, Any] = {
    "learning_rate": 1e-5, "betas": (0.9, 0.999), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 1,
    "final_lr_fraction": 1.0, "ema_decay": 0.0, "checkpoint_every": 2000, "sample_every": 1000,
    "shard": "moments", "loss_weights": {"velocity": 1.0},
}  # fmt: skip
_LITE: dict[str, Any] = {
    "betas": (0.9, 0.99), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 200, "ema_decay": 0.999,
    "loss_weights": {"velocity": 1.0}, "sample_every": 2000, "checkpoint_every": 5000,
}  # fmt: skip

STAGES: dict[str, Stage] = {
    "pictures": Stage(
        name="pictures", trains=_PICTURES, steps=20_000, batch=64, learning_rate=1e-3, frames=1, settings=_SETTINGS,
        **_LITE,
    ),
    "motion": Stage(
        name="motion", trains=MOTION_PARTS, steps=10_000, batch=8, learning_rate=1e-3, frames=12, settings=_SETTINGS,
        **_LITE,
    ),
    "all": Stage(
        name="all", trains=(*_PICTURES[:-1],), steps=10_000, batch=8, learning_rate=4e-4, frames=12,
        settings=_SETTINGS, **_LITE,
    ),
    "paper-pictures": Stage(
        name="paper-pictures", trains=_PAPER_PICTURES, steps=30_000, batch=64, frames=1,
        settings={**_SETTINGS, "save_memory": 1.0}, **_PAPER,
    ),
    "paper-motion": Stage(
        name="paper-motion", trains=MOTION_PARTS, steps=10_000, batch=4, frames=24,
        settings={**_SETTINGS, "save_memory": 1.0}, **_PAPER,
    ),
    "few-steps": Stage(
        name="few-steps", trains=("denoising_unet",), steps=4_000, batch=8, learning_rate=1e-4, frames=12,
        settings=_DISTILLED, **_LITE,
    ),
    "paper-few-steps": Stage(
        name="paper-few-steps", trains=("denoising_unet",), steps=6_000, batch=4, frames=24, lora_rank=64,
        settings={**_DISTILLED, "save_memory": 1.0}, **{**_PAPER, "learning_rate": 1e-4},
    ),
}  # fmt: skip
"""``pictures`` and ``motion`` are the paper's two stages with the settings of ``lite``, ``all`` a third one that trains
everything on videos; the stages with ``paper-`` have the paper's settings. ``no_reference`` 1 trains without the
reference net, on the picture's token alone, for comparison. ``few-steps`` distils what the nets can do into few steps
without guidance, ``paper-few-steps`` into low-rank additions: ``teacher_guidance`` above 0 distils
(:mod:`vivant.training.consistency`) from a teacher guided at this scale."""


def initialise(modules: dict[str, nn.Module], config: Config, samples: Any = None) -> None:
    """A fresh start: codec and picture encoder, which stay as they are, have their weights."""
    if config.codec != "tiny":
        modules["codec"] = load_codec(config.codec)
        fill_picture_encoder(modules["image_encoder"])


class Objective:
    """The loss of one stage; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        self.critics: dict[str, nn.Module] = {}
        self.schedule = latent_schedule(config.schedule).to(device)
        self.settings = stage.settings_over(_SETTINGS, ("unconditional",))
        guided = self.settings["teacher_guidance"] > 0
        self.teacher = teacher_of(self._unet, config.prediction) if guided else None

    @property
    def _unet(self) -> VideoUNet:
        unet = self.modules["denoising_unet"]
        assert isinstance(unet, VideoUNet)
        return unet

    @property
    def _looks(self) -> int:
        """Numbers that the picture encoder gives."""
        return int(self.modules["image_encoder"].width)  # type: ignore[arg-type]

    @torch.no_grad()
    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Latents, drawings and the reference of a window; then noise, times and dropouts, all drawn here.

        ``raw``: of :class:`vivant.data.windows.ClipWindows`, or a pair of :class:`vivant.data.dataset.FaceClips`, whose
        driver is a window of one frame without a person.
        """
        raw = raw if "latents" in raw else self._pair(raw)
        frames, settings = self.stage.frames, self.settings
        check_window(raw, frames, latents=(self.config.unet.channels, None, None), reference_look=(self._looks,))
        batch = {
            "clean": raw["latents"][:, :frames].float(),
            "drawing": raw["drawing"][:, :frames].float() / 255,
            "reference": raw["reference_latents"].float(),
            "look": raw["reference_look"].float(),
        }
        if self.teacher is None:
            batch |= noised(batch["clean"], self.schedule, self.config.prediction, settings["noise_offset"], generator)
        else:
            batch |= paired_times(batch["clean"], self.schedule, settings["noise_offset"], generator)
        asked = kept(len(batch["clean"]), 1, settings["unconditional"], generator, self.device)
        batch["keep"] = asked.expand(-1, frames)
        return batch

    def _pair(self, raw: Batch) -> Batch:
        """Source and driver of the pairs of pictures as windows of one frame, encoded now."""
        size, found = (self.config.output_size,) * 2, {}
        for name, key in (("source", "reference_latents"), ("driver", "latents")):
            images = F.interpolate(raw[name].to(self.device).float() / 255, size=size, mode="bilinear", antialias=True)
            found[key] = self.modules["codec"].encode(images)  # type: ignore[operator]
            if name == "source":
                found["reference_look"] = self.modules["image_encoder"](images)
        found["latents"] = found["latents"][:, None]
        found["drawing"] = torch.zeros(len(found["latents"]), 1, 3, *size, device=self.device)
        return found

    def contexts(self, batch: Batch) -> dict[str, BlockContext]:
        """What the blocks look at: unconditional samples see no reference and a zero token."""
        token = token_of(self.modules, batch["look"])
        token = token * batch["keep"][:, :1, None].to(token.dtype)
        if self.settings["no_reference"]:
            return self._unet.project(None, token)
        found = self._unet.project(self.modules["reference_unet"](batch["reference"], token), token)
        return {path: seen._replace(keep=batch["keep"]) for path, seen in found.items()}

    def features(self, batch: Batch) -> Tensor:
        """Features (B, F, C, h, w) of the drawings."""
        parts = [self.modules[name](batch["drawing"]) for name in guider_names(self.config)]
        total: Tensor = sum(parts[1:], parts[0])
        return total

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """The weighted error of the prediction, or of the student's consistency."""
        save, settings, kind = bool(self.settings["save_memory"]), self.settings, self.config.prediction
        contexts, added = self.contexts(batch), self.features(batch)
        motion = self.stage.frames > 1  # single pictures have none to learn (both papers' first stage)

        def net(x: Tensor, time: Tensor) -> Tensor:
            found: Tensor = self._unet(x, time, contexts, added, save_memory=save, motion=motion)
            return found

        def both(x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
            assert self.teacher is not None
            rows, times, features = (torch.cat([given, given]) for given in (x, time, added))
            free, asked = self.teacher(rows, times, contexts, features, free=len(x), motion=motion).chunk(2)
            return free, asked

        if self.teacher is None:
            answer = net(batch["noisy"], batch["time"])
            error = weighted_error(answer, batch, self.schedule, kind, None, 1.0, settings["min_snr"])
        else:
            error = consistency_error(net, both, batch, self.schedule, kind, settings["teacher_guidance"])
        return {"velocity": self.stage.loss_weights.get("velocity", 1.0) * error}, {}

    def _sampling(self) -> Sampling:
        """Four steps, as the nets of this stage are sampled."""
        schedule = latent_schedule(self.config.schedule)
        if self.teacher is None:
            return Sampling(timetable(schedule, 4), "ddim", self.config.prediction)
        return Sampling(timetable(schedule, 4, "lcm"), "lcm", self.config.prediction)

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """Rows: reference, drawing, target, and four steps from noise, all of each window's middle frame."""
        codec, middle = self.modules["codec"], batch["clean"].shape[1] // 2
        full = {**batch, "keep": torch.ones_like(batch["keep"])}
        live, self.modules = self.modules, {**self.modules, **modules}
        try:
            contexts, added, unet = self.contexts(full), self.features(full), self._unet

            def predict(x: Tensor, moment: Moment) -> Tensor:
                time = torch.tensor(moment.timestep, device=x.device)
                return unet(x, time, contexts, added, motion=self.stage.frames > 1)

            made = sample(predict, torch.randn_like(batch["clean"]), self._sampling())
        finally:
            self.modules = live
        latents = torch.cat([batch["reference"], batch["clean"][:, middle], made[:, middle]])
        pictures = codec.decode(latents.to(next(codec.parameters()).dtype)).float()  # type: ignore[operator]
        first, target, result = pictures.chunk(3)
        return torch.cat([first, batch["drawing"][:, middle], target, result]).clamp(0, 1)
