"""What can be changed: the sizes of the nets (presets) and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from vivant.core.crops import CropConfig
from vivant.diffusion.clip_options import ReferenceNetOptions
from vivant.nn.unet_blocks import UNetConfig

_VIEW = CropConfig(4.0, 0.0, False, "mesh")


@dataclass(frozen=True)
class Config:
    """Sizes and habits of one set of nets.

    ``unet``: sizes that both U-Nets share. ``guider``: widths of a pose guider; ``guiders``: how many of them, whose
    features are added. ``image``: what the reference picture is described by: "clip" (768 numbers), or "lite0", the
    bundled EfficientNet-Lite0, with a learned projection. ``image_blocks``: how many blocks of that net.
    ``codec``: which latent codec. ``free_reference``: the unconditional half of guidance sees the reference of an empty
    picture, and not none at all. ``window``, ``overlap``, ``steps``, ``guidance``: of a run unless asked otherwise.
    ``pose_points``: keypoints that are drawn, 18 body, 60 with hands, 128 with the face.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    guider: tuple[int, ...] = (16, 32, 96, 256)
    guiders: int = 1
    image: Literal["clip", "lite0"] = "clip"
    image_blocks: int = 16
    codec: Literal["sd", "lite", "tiny"] = "sd"
    family: Literal["published", "lite"] = "published"
    free_reference: bool = False
    input_size: int = 512
    output_size: int = 512
    fps: int = 25
    schedule: str = "scaled-linear"
    prediction: Literal["v", "epsilon", "sample"] = "v"
    window: int = 24
    overlap: int = 4
    steps: int = 20
    guidance: float = 3.5
    pose_points: int = 128
    source_crop: CropConfig = _VIEW

    @property
    def driving_crop(self) -> CropConfig:
        """A driving video is looked at as a whole; this is for faces alone."""
        return self.source_crop

    @property
    def speech_encoders(self) -> tuple[str, ...]:
        """The method does not listen."""
        return ()

    @property
    def denoiser(self) -> UNetConfig:
        """Sizes of the denoising U-Net."""
        return replace(self.unet, reference="concat", motion=True)

    @property
    def reader(self) -> UNetConfig:
        """Sizes of the reference net; the face set's has the last norm and convolution, too."""
        return replace(self.unet, head=("norm", "conv") if self.free_reference else ())


_TINY_UNET = UNetConfig(4, (16, 24), (False, True), 1, 2, 16, 4)

PRESETS: dict[str, Config] = {
    "released": Config(),
    "released-face": Config(guiders=2, free_reference=True),
    "paper": Config(pose_points=60),
    "lite": Config(
        unet=UNetConfig(8, (64, 96, 128), (True, True, True), 1, 4, 128, 16),
        guider=(8, 16, 32, 64),
        image="lite0",
        codec="lite",
        family="lite",
        input_size=256,
        output_size=256,
        window=12,
        overlap=2,
        steps=4,
        guidance=2.0,
        pose_points=60,
    ),
    "tiny": Config(
        unet=_TINY_UNET,
        guider=(4, 8, 8, 8),
        image="lite0",
        image_blocks=3,
        codec="tiny",
        family="lite",
        input_size=64,
        output_size=64,
        window=8,
        overlap=2,
        steps=2,
        guidance=2.0,
        pose_points=60,
    ),
}


@dataclass(frozen=True)
class Options(ReferenceNetOptions):
    """How a clip is made. Options that are None take the preset's own value."""

    hands: bool = field(default=True, metadata={"help": "draw the hands"})
    face_points: bool = field(default=True, metadata={"help": "draw the points of the face, if the net knows them"})
