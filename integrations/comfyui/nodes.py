"""Nodes for ComfyUI by its V3 API: load a method, animate a portrait, edit a still.

ComfyUI's types: IMAGE (B, H, W, 3) float32 in 0..1; AUDIO {"waveform": (B, C, N) float32, "sample_rate": int}; VIDEO
has ``get_components()`` with images, audio and frame_rate. A problem with an input is raised as Vivant's one sentence,
which ComfyUI shows at the node.
"""

from __future__ import annotations

import json
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from comfy_api.latest import ComfyAPISync, ComfyExtension, InputImpl, Types, io

from vivant.core.clip import Audio, Clip
from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, all_methods, get_method
from vivant.pipelines.progress import listening

Pipeline = io.Custom("VIVANT_PIPELINE")
Motion = io.Custom("VIVANT_MOTION")
CATEGORY = "vivant"


def to_frames(images: torch.Tensor) -> np.ndarray:
    """IMAGE -> (F, H, W, 3) uint8 RGB; an alpha channel is left out."""
    pixels = (images[..., :3].detach().float().clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    return np.ascontiguousarray(pixels.cpu().numpy())


def to_images(frames: list[np.ndarray]) -> torch.Tensor:
    """Frames (H, W, 3) uint8 -> IMAGE, filled one by one, so that nothing is held twice."""
    images = torch.empty((len(frames), *frames[0].shape), dtype=torch.float32)
    for index, frame in enumerate(frames):
        images[index] = torch.from_numpy(frame).float() / 255
    return images


def to_audio(sound: dict[str, Any] | None) -> Audio | None:
    """AUDIO -> sound; of a batch the first."""
    if sound is None:
        return None
    return Audio(sound["waveform"][0].detach().float().cpu().numpy().T.copy(), int(sound["sample_rate"]))


def from_audio(audio: Audio | None) -> dict[str, Any] | None:
    """Sound -> AUDIO."""
    if audio is None:
        return None
    return {"waveform": torch.from_numpy(audio.samples.T.copy())[None], "sample_rate": audio.rate}


def driver_of(video: Any, images: torch.Tensor | None, fps: float) -> Clip | None:
    """What drives, from a VIDEO or from IMAGEs at ``fps``."""
    if video is not None:
        parts = video.get_components()
        images, rate, audio = parts.images, Fraction(parts.frame_rate), to_audio(parts.audio)
    else:
        rate, audio = Fraction(fps).limit_denominator(1001), None
    if images is None:
        return None
    frames = to_frames(images)
    return Clip(list(frames), rate, (frames.shape[1], frames.shape[2]), len(frames), audio)


def tell(what: str, done: int, total: int | None) -> None:
    """Show progress at the node."""
    if total:
        ComfyAPISync().execution.set_progress(value=done, max_value=total)


class VivantLoad(io.ComfyNode):
    """A method in memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Every method with each of its presets, from the registry."""
        default = f"{DEFAULT_METHOD}: {get_method().default_preset}"
        choices = [f"{spec.name}: {preset}" for spec in all_methods().values() for preset in spec.presets]
        return io.Schema(
            node_id="VivantLoad",
            display_name="Vivant: load method",
            category=CATEGORY,
            description="Keeps a method in memory. Published presets must be downloaded first: vivant download.",
            inputs=[
                io.Combo.Input("method", options=choices, default=default, tooltip="method: preset"),
                io.Combo.Input("device", options=["auto", "cpu", "cuda", "mps"], default="auto"),
                io.Combo.Input("dtype", options=["auto", "fp32", "fp16", "bf16"], default="auto"),
            ],
            outputs=[Pipeline.Output(display_name="pipeline")],
        )

    @classmethod
    def execute(cls, method: str, device: str, dtype: str) -> io.NodeOutput:
        """Load it; ComfyUI keeps the output while the inputs stay the same."""
        from vivant.pipelines.load import load

        name, _, preset = method.partition(": ")
        return io.NodeOutput(load(name, preset=preset, device=device, dtype=dtype))


class VivantAnimate(io.ComfyNode):
    """A portrait follows a driver."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """What drives is optional, since methods differ; one of the four, or text, must be given."""
        return io.Schema(
            node_id="VivantAnimate",
            display_name="Vivant: animate",
            category=CATEGORY,
            description="A portrait follows a video, pictures, speech or kept motion.",
            inputs=[
                Pipeline.Input("pipeline"),
                io.Image.Input("portrait", tooltip="the first picture of a batch is used"),
                io.Video.Input("driving_video", optional=True),
                io.Image.Input("driving_images", optional=True, tooltip="frames, at the rate fps"),
                io.Audio.Input("audio", optional=True, tooltip="speech, for methods that hear"),
                Motion.Input("motion", optional=True, tooltip="kept by another animate node"),
                io.Float.Input("fps", default=25.0, min=1.0, max=120.0, step=0.01, tooltip="rate of driving_images"),
                io.Float.Input("strength", default=1.0, min=0.0, max=3.0, step=0.05, tooltip="of the motion"),
                io.String.Input("face", default="largest", tooltip="largest, all, or an index, 0 the largest"),
                io.Boolean.Input("crop_only", default=False, tooltip="only the generated square"),
                io.String.Input("text", default="", multiline=True, tooltip="what it says, for methods that hear"),
                io.Int.Input("seed", default=0, min=0, max=2**31 - 1),
                io.String.Input("options", default="{}", multiline=True, tooltip='JSON, such as {"region": "lips"}'),
            ],
            outputs=[
                io.Video.Output(display_name="video"),
                io.Image.Output(display_name="images"),
                Motion.Output(display_name="motion"),
            ],
        )

    @classmethod
    def execute(
        cls, pipeline: Any, portrait: torch.Tensor, fps: float, strength: float, face: str, crop_only: bool, text: str,
        seed: int, options: str, driving_video: Any = None, driving_images: torch.Tensor | None = None,
        audio: dict[str, Any] | None = None, motion: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        """Render all frames."""
        from dataclasses import replace

        words = parsed(options)
        driver = motion if motion is not None else driver_of(driving_video, driving_images, fps)
        scale = {"motion": strength} if strength != 1 and "motion" in pipeline.spec.strengths else {}
        with listening(tell):
            result = replace(pipeline, seed=seed).animate(
                to_frames(portrait[:1])[0], driver, audio=to_audio(audio), text=text.strip() or None, face=face,
                strength=scale, crop_only=crop_only, **words,
            )  # fmt: skip
            frames = []
            for count, frame in enumerate(result.frames, 1):
                frames.append(frame)
                tell("render", count, result.count)
        images = to_images(frames)
        parts = Types.VideoComponents(images=images, audio=from_audio(result.audio), frame_rate=result.fps)
        return io.NodeOutput(InputImpl.VideoFromComponents(parts), images, result.motion)


class VivantEdit(io.ComfyNode):
    """A still changed by sliders."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """The sliders of the default method, with their ranges."""
        return io.Schema(
            node_id="VivantEdit",
            display_name="Vivant: edit a still",
            category=CATEGORY,
            description="Head, eyes, brows and mouth of every picture of a batch by sliders.",
            inputs=[Pipeline.Input("pipeline"), io.Image.Input("images"), *_slider_inputs()],
            outputs=[io.Image.Output(display_name="images")],
        )

    @classmethod
    def execute(cls, pipeline: Any, images: torch.Tensor, **sliders: float) -> io.NodeOutput:
        """Only sliders that were moved are asked for, so that a method without some of them can be used."""
        usual = {item.name: item.default for item in _sliders()}
        moved = {name: value for name, value in sliders.items() if value != usual[name]}
        return io.NodeOutput(to_images([pipeline.edit(frame, sliders=moved) for frame in to_frames(images)]))


def _sliders() -> list[Any]:
    """Fields of the default method's sliders that have a number as default."""
    return [item for item in fields(get_method().part("config").Sliders) if item.default is not None]


def _slider_inputs() -> list[Any]:
    found = []
    for item in _sliders():
        low, high = item.metadata["range"]
        step = (high - low) / 100
        words = {"min": float(low), "max": float(high), "step": step, "tooltip": item.metadata["help"]}
        found.append(io.Float.Input(item.name, default=float(item.default), **words))
    return found


def parsed(options: str) -> dict[str, Any]:
    """The method's options from their JSON text.

    Raises:
        ConfigError: no JSON object.
    """
    try:
        found = json.loads(options or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError('The options are no JSON object: write names and values, such as {"region": "lips"}.')
    return found


class VivantExtension(ComfyExtension):
    """All nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """As ComfyUI asks for them."""
        return [VivantLoad, VivantAnimate, VivantEdit]


async def comfy_entrypoint() -> VivantExtension:
    """Where ComfyUI begins."""
    return VivantExtension()
