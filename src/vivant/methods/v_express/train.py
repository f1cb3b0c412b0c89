"""How it learns: three stages as in the paper (section 3.4), with conditional dropout and a weighted mouth.

Axis letters: B batch, F frames, C latent channels, h w latent grid, S feature vectors a frame hears.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from vivant.diffusion.clips import latent_schedule
from vivant.diffusion.codec import load_codec
from vivant.diffusion.samplers import Moment, Sampling, sample
from vivant.diffusion.schedule import timetable
from vivant.methods.v_express.config import Config
from vivant.methods.v_express.model import build_modules
from vivant.nn.geometry import box_mask
from vivant.nn.transformer import BlockContext
from vivant.nn.v_kps import draw_v_kps_smooth, draw_v_kps_whole
from vivant.nn.video_unet import VideoUNet
from vivant.training.clip_arrays import pair_window
from vivant.training.consistency import consistency_error, paired_times, teacher_of
from vivant.training.latent_diffusion import check_window, kept, noised, weighted_error
from vivant.training.stage import Stage

Batch = dict[str, Tensor]

SAMPLES = "vivant.training.clips:TalkingWindows"

AUDIO_PARTS = ("denoising_unet.*attentions.*.attn2", "denoising_unet.*attentions.*.norm2")
MOTION_PARTS = ("denoising_unet.*motion_modules",)
_PICTURES = (
    "reference_net", "v_kps_guider", "denoising_unet", "!denoising_unet.*motion_modules",
    "!denoising_unet.*attentions.*.attn2", "!denoising_unet.*attentions.*.norm2",
)  # fmt: skip
_SPEECH = ("audio_projection", *AUDIO_PARTS, *MOTION_PARTS)
_ALL = ("reference_net", "v_kps_guider", "denoising_unet", "audio_projection")
_FROZEN_END = "!reference_net.up_blocks.3"  # as released
_SETTINGS = {
    "unconditional": 0.1, "drop_keypoints": 0.5, "drop_reference": 0.2, "noise_offset": 0.05, "min_snr": 5.0,
    "drop_mode": 0.0, "save_memory": 0.0, "teacher_guidance": 0.0,
}  # fmt: skip
_DISTILLED = {
    **_SETTINGS, "unconditional": 0.0, "drop_keypoints": 0.0, "drop_reference": 0.0, "noise_offset": 0.0,
    "teacher_guidance": 2.5,
}  # fmt: skip
_PAPER: dict[str, Any] = {
    "learning_rate": 1e-6, "betas": (0.9, 0.999), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 1,
    "final_lr_fraction": 1.0, "ema_decay": 0.0, "checkpoint_every": 5000, "sample_every": 1000,
    "shard": "moments", "loss_weights": {"velocity": 1.0, "mouth": 100.0},
}  # fmt: skip
_LITE: dict[str, Any] = {
    "betas": (0.9, 0.99), "weight_decay": 1e-2, "clip_norm": 1.0, "warmup": 200, "ema_decay": 0.999,
    "loss_weights": {"velocity": 1.0, "mouth": 10.0}, "sample_every": 2000, "checkpoint_every": 5000,
}  # fmt: skip

STAGES: dict[str, Stage] = {
    "pictures": Stage(
        name="pictures", trains=_PICTURES, steps=20_000, batch=64, learning_rate=1e-3, frames=1,
        settings={**_SETTINGS, "drop_keypoints": 0.0, "drop_reference": 0.0}, **_LITE,
    ),
    "speech": Stage(
        name="speech", trains=_SPEECH, steps=20_000, batch=8, learning_rate=1e-3, frames=12, settings=_SETTINGS,
        **_LITE,
    ),
    "all": Stage(
        name="all", trains=_ALL, steps=20_000, batch=8, learning_rate=4e-4, frames=12, settings=_SETTINGS, **_LITE,
    ),
    "paper-pictures": Stage(
        name="paper-pictures", trains=(*_PICTURES, _FROZEN_END), steps=40_000, batch=64, accumulate=1, frames=1,
        settings={**_SETTINGS, "drop_keypoints": 0.0, "drop_reference": 0.0}, **_PAPER,
    ),
    "paper-speech": Stage(
        name="paper-speech", trains=_SPEECH, steps=135_000, batch=8, frames=12,
        settings={**_SETTINGS, "save_memory": 1.0}, **_PAPER,
    ),
    "paper-all": Stage(
        name="paper-all", trains=(*_ALL, _FROZEN_END), steps=100_000, batch=8, frames=12,
        settings={**_SETTINGS, "save_memory": 1.0}, **_PAPER,
    ),
    "few-steps": Stage(
        name="few-steps", trains=("denoising_unet",), steps=4_000, batch=8, learning_rate=1e-4, frames=12,
        settings=_DISTILLED, **_LITE,
    ),
    "paper-few-steps": Stage(
        name="paper-few-steps", trains=("denoising_unet",), steps=6_000, batch=8, frames=12, lora_rank=64,
        settings={**_DISTILLED, "save_memory": 1.0}, **{**_PAPER, "learning_rate": 1e-4},
    ),
    "attributes": Stage(
        name="attributes", trains=("attribute_tokens", "denoising_unet.*_attributes"), steps=10_000, batch=8,
        learning_rate=1e-4, frames=12, settings=_SETTINGS, **_LITE,
    ),
}  # fmt: skip
"""``pictures``, ``speech`` and ``all`` are the paper's stages I, II and III with the settings of ``lite``; the stages
with ``paper-`` have the released settings with the paper's dropouts; ``attributes`` trains the new attention alone;
``few-steps`` distils what the nets can do into few steps without guidance, ``paper-few-steps`` into low-rank additions.

Settings: ``drop_keypoints`` and ``drop_reference`` are the chances of a frame to lose its V-Kps or its reference;
``drop_mode`` 0 draws one reference mask for all blocks (paper), 1 draws V-Kps for whole clips and the reference for
each block anew, as the released code does. ``save_memory`` 1 computes activations again in the backward pass.
``teacher_guidance`` above 0 distils (:mod:`vivant.training.consistency`) from a teacher guided at this scale."""


def finetune(config: Config, group: str) -> dict[str, Any]:
    """The recipe for one person's recording, whose clips are of ``group``: low-rank additions to all attentions."""
    samples = {
        "length": 12 if config.codec != "tiny" else 4, "codec": config.codec, "size": config.output_size,
        "encoder": config.speech_encoders[0], "numbers": config.audio.inputs,
    }  # fmt: skip
    stage = {
        "name": "finetune", "from": "all", "steps": 1000, "batch": 4, "frames": samples["length"], "lora_rank": 16,
        "learning_rate": 1e-4, "warmup": 50, "ema_decay": 0.0, "mix": {group: 1.0}, "sample_every": 250,
        "checkpoint_every": 500, "settings": {"save_memory": 1.0 if config.codec == "sd" else 0.0},
    }  # fmt: skip
    return {"samples": samples, "stages": [stage]}


def configured(config: Config, samples: Mapping[str, Any]) -> Config:
    """The configuration for a recipe's ``samples``: the net has the attributes that the data are labelled with."""
    return replace(config, attributes=tuple(samples.get("attributes", config.attributes)))


def extended(modules: dict[str, nn.Module], config: Config) -> dict[str, nn.Module]:
    """The nets of ``config`` with the weights of ``modules``, which know other attributes or none: an attention on
    attributes that is new begins at zero, so nothing changes before it is trained."""
    found = build_modules(config)
    for name, module in modules.items():
        if name in found:
            known = {key: value for key, value in module.state_dict().items() if "attributes" not in key}
            found[name].load_state_dict(found[name].state_dict() | known)
    return found


def initialise(modules: dict[str, nn.Module], config: Config, samples: Any = None) -> None:
    """A fresh start: the codec, which stays as it is, has its weights."""
    if config.codec != "tiny":
        modules["codec"] = load_codec(config.codec)


class Objective:
    """The loss of one stage; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        self.critics: dict[str, nn.Module] = {}
        self.schedule = latent_schedule(config.schedule).to(device)
        # made here: a captured step may not copy numbers from the host
        self._mirror = torch.tensor([-1.0, 1.0], device=device)
        self._swap = torch.tensor([1, 0, 2], device=device)
        self.settings = stage.settings_over(_SETTINGS, ("unconditional", "drop_keypoints", "drop_reference"))
        guided = self.settings["teacher_guidance"] > 0
        self.teacher = teacher_of(self._unet, config.prediction) if guided else None

    @property
    def _unet(self) -> VideoUNet:
        unet = self.modules["denoising_unet"]
        assert isinstance(unet, VideoUNet)
        return unet

    @torch.no_grad()
    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Latents, V-Kps, mouths and speech of a window; then noise, times and dropouts, all drawn here.

        ``raw``: of :class:`vivant.data.windows.ClipWindows`, or a pair of :class:`vivant.data.dataset.FaceClips`, whose
        driver is a window of one frame.
        """
        batch = self._window(raw if "latents" in raw else self._pair(raw))
        count, frames, chances = len(batch["clean"]), batch["clean"].shape[1], self.settings
        if self.teacher is None:
            batch |= noised(batch["clean"], self.schedule, self.config.prediction, chances["noise_offset"], generator)
        else:
            batch |= paired_times(batch["clean"], self.schedule, chances["noise_offset"], generator)
        asked = kept(count, 1, chances["unconditional"], generator, self.device)
        whole_clip = bool(chances["drop_mode"])
        points = kept(count, 1 if whole_clip else frames, chances["drop_keypoints"], generator, self.device)
        masks = len(self.config.denoiser.paths) if whole_clip else 1
        reference = kept(count, masks * frames, chances["drop_reference"], generator, self.device)
        batch["keep_keypoints"] = (points * asked).expand(count, frames)
        batch["keep_reference"] = reference.view(count, masks, frames) * asked[..., None]
        batch["keep_audio"] = batch["heard"] * asked
        return batch

    def _pair(self, raw: Batch) -> Batch:
        """Pairs of pictures as windows of one frame without sound."""
        found, audio = pair_window(raw, self.modules["codec"], self.config.output_size, self.device), self.config.audio
        found["speech"] = torch.zeros(len(found["latents"]), 1, audio.steps, audio.inputs, device=self.device)
        return found

    def _window(self, raw: Batch) -> Batch:
        """The stage's frames of a window, with what a mirrored picture changes."""
        frames, reach, side = self.stage.frames, self.config.audio.reach, self.config.output_size // 8
        check_window(raw, frames, latents=(self.config.unet.channels, side, side), speech=(self.config.audio.inputs,))
        at = (raw["latents"].shape[1] - frames) // 2  # in the middle: longer samples give a before and a behind
        span = slice(at, at + frames)
        flip = raw["flip"][:, None]
        points = raw["v_kps"][:, span]
        mirrored = (points * self._mirror).index_select(2, self._swap)
        box = raw["mouth"][:, span]
        other = torch.stack([-box[..., 2], box[..., 1], -box[..., 0], box[..., 3]], -1)
        padded = F.pad(raw["speech"].float(), (0, 0, 0, 0, reach, reach))
        heard = torch.stack([padded[:, i : i + 2 * reach + 1].flatten(1, 2) for i in range(at, at + frames)], 1)
        batch = {
            "clean": raw["latents"][:, span].float(),
            "reference": raw["reference_latents"].float(),
            "v_kps": torch.where(flip[..., None, None] > 0, mirrored, points),
            "mouth": torch.where(flip[..., None] > 0, other, box),
            "speech": heard,
            "heard": raw["heard"][:, span],
        }
        if "attributes" in raw:
            batch["attributes"] = raw["attributes"][:, 0]  # of the whole clip
        return batch

    def contexts(self, batch: Batch) -> dict[str, BlockContext]:
        """What the blocks look at, with frames whose reference is dropped."""
        frames = batch["speech"].shape[1]
        tokens = self.modules["audio_projection"](batch["speech"].flatten(0, 1)).unflatten(0, (-1, frames))
        tokens = tokens * batch["keep_audio"][..., None, None].to(tokens.dtype)
        attributes = None
        if "attribute_tokens" in self.modules:
            values = batch.get("attributes", batch["clean"].new_zeros(len(tokens), len(self.config.attributes)))
            attributes = self.modules["attribute_tokens"](values)
        found = self._unet.project(self.modules["reference_net"](batch["reference"]), tokens, attributes)
        keep = batch["keep_reference"]
        last = keep.shape[1] - 1
        return {path: seen._replace(keep=keep[:, min(i, last)]) for i, (path, seen) in enumerate(found.items())}

    def features(self, batch: Batch) -> Tensor:
        """Features (B, F, C, h, w) of the drawn V-Kps, zero where they are dropped."""
        size = self.config.output_size
        draw = draw_v_kps_whole if self.config.family == "published" else draw_v_kps_smooth  # as when frames are made
        found: Tensor = self.modules["v_kps_guider"](draw(batch["v_kps"], size, size / 512))
        return found * batch["keep_keypoints"][:, :, None, None, None].to(found.dtype)

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """The weighted error of the prediction, or of the student's consistency."""
        save, weights = bool(self.settings["save_memory"]), self.stage.loss_weights
        contexts, added = self.contexts(batch), self.features(batch)
        motion = self.stage.frames > 1  # single pictures have none to learn (both papers' first stage)
        mask, weight = box_mask(batch["mouth"], batch["noisy"].shape[-1]), weights.get("mouth", 1.0)

        def net(x: Tensor, time: Tensor) -> Tensor:
            found: Tensor = self._unet(x, time, contexts, added, save_memory=save, motion=motion)
            return found

        def both(x: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
            assert self.teacher is not None
            rows, times = torch.cat([x, x]), torch.cat([time, time])
            free, asked = self.teacher(rows, times, contexts, added, free=len(x), motion=motion).chunk(2)
            return free, asked

        kind, settings = self.config.prediction, self.settings
        if self.teacher is None:
            answer = net(batch["noisy"], batch["time"])
            error = weighted_error(answer, batch, self.schedule, kind, mask, weight, settings["min_snr"])
        else:
            scale = settings["teacher_guidance"]
            error = consistency_error(net, both, batch, self.schedule, kind, scale, mask, weight)
        return {"velocity": weights.get("velocity", 1.0) * error}, {}

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
        """Rows: reference, target, and four steps from noise, all of each window's middle frame."""
        codec, middle = self.modules["codec"], batch["clean"].shape[1] // 2
        full = {**batch, "keep_reference": torch.ones_like(batch["keep_reference"])}
        full |= {"keep_keypoints": torch.ones_like(batch["keep_keypoints"]), "keep_audio": batch["heard"]}
        live, self.modules = self.modules, {**self.modules, **modules}
        try:
            contexts, added = self.contexts(full), self.features(full)
            unet = self._unet

            def predict(x: Tensor, moment: Moment) -> Tensor:
                time = torch.tensor(moment.timestep, device=x.device)
                return unet(x, time, contexts, added, motion=self.stage.frames > 1)

            made = sample(predict, torch.randn_like(batch["clean"]), self._sampling())
        finally:
            self.modules = live
        latents = torch.cat([batch["reference"], batch["clean"][:, middle], made[:, middle]])
        found: Tensor = codec.decode(latents.to(next(codec.parameters()).dtype))  # type: ignore[operator]
        return found.float().clamp(0, 1)
