"""What can be changed: the sizes of the nets (presets) and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from vivant.core.crops import RENDERED_VIEW, CropConfig
from vivant.diffusion.clip_options import ReferenceNetOptions, own
from vivant.nn.unet_blocks import UNetConfig
from vivant.nn.v_kps import Retargeting

_VIEW = CropConfig(2.0, -0.06, False, "mesh")


@dataclass(frozen=True)
class AudioConfig:
    """The audio projection. ``encoder``: name of the speech encoder; ``inputs``: how many of its numbers are used, the
    last ones; ``reach``: frames before and behind that are heard; ``tokens``: audio tokens of a frame."""

    encoder: str = "wav2vec2"
    inputs: int = 768
    steps: int = 2
    reach: int = 2
    width: int = 768
    tokens: int = 5
    layers: int = 4
    heads: int = 12
    head_width: int = 64

    @property
    def window(self) -> int:
        """Feature vectors that one frame hears."""
        return self.steps * (2 * self.reach + 1)


@dataclass(frozen=True)
class Config:
    """Sizes and habits of one set of nets.

    ``unet``: sizes that both U-Nets share. ``guider``: widths of the V-Kps guider. ``codec``: which latent codec.
    ``schedule``, ``prediction``: of the noise. ``window``, ``overlap``: frames computed at once, and shared by
    neighbours. ``steps``, ``guidance``, ``audio_strength``, ``reference_strength``, ``median``: what a run uses
    unless asked otherwise. ``attributes``: names of labelled attributes (emotions and the like) that the net knows.
    """

    unet: UNetConfig = field(default_factory=UNetConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    guider: tuple[int, ...] = (16, 32, 96, 256)
    codec: Literal["sd", "lite", "tiny"] = "sd"
    family: Literal["published", "lite"] = "published"
    input_size: int = 512
    output_size: int = 512
    fps: int = 30
    schedule: str = "scaled-linear"
    prediction: Literal["v", "epsilon", "sample"] = "v"
    window: int = 24
    overlap: int = 4
    steps: int = 25
    guidance: float = 3.5
    audio_strength: float = 3.0
    reference_strength: float = 0.95
    median: bool = True
    attributes: tuple[str, ...] = ()
    source_crop: CropConfig = _VIEW

    @property
    def driving_crop(self) -> CropConfig:
        """V-Kps of a driving video are told in the same kind of square."""
        return self.source_crop

    @property
    def speech_encoders(self) -> tuple[str, ...]:
        """The encoders that the method listens to."""
        return (self.audio.encoder,)

    @property
    def denoiser(self) -> UNetConfig:
        """Sizes of the denoising U-Net."""
        width = self.unet.context if self.attributes else 0
        return replace(self.unet, reference="cross", motion=True, attributes=width)

    @property
    def reader(self) -> UNetConfig:
        """Sizes of the reference net: no final norm, a last convolution that nobody reads."""
        return replace(self.unet, head=("conv",))


_TINY_UNET = UNetConfig(4, (16, 24), (False, True), 1, 2, 16, 4)

PRESETS: dict[str, Config] = {
    "released": Config(),
    "paper": Config(fps=25, window=12, audio_strength=1.0, reference_strength=1.0),
    "lite": Config(
        unet=UNetConfig(8, (64, 96, 128), (True, True, True), 1, 4, 128, 16),
        audio=AudioConfig("whisper-tiny-en", 384, 2, 2, 192, 4, 2, 4, 48),
        guider=(8, 16, 32, 64),
        codec="lite",
        family="lite",
        input_size=256,
        output_size=256,
        fps=25,
        window=12,
        overlap=2,
        steps=4,
        guidance=2.0,
        audio_strength=1.0,
        reference_strength=1.0,
        median=False,
        source_crop=RENDERED_VIEW,
    ),
    "tiny": Config(
        unet=_TINY_UNET,
        audio=AudioConfig("whisper-tiny-en", 384, 2, 1, 16, 2, 1, 2, 8),
        guider=(4, 8, 8, 8),
        codec="tiny",
        family="lite",
        input_size=64,
        output_size=64,
        fps=25,
        window=8,
        overlap=2,
        steps=2,
        guidance=2.0,
        audio_strength=1.0,
        reference_strength=1.0,
        median=False,
    ),
}


@dataclass(frozen=True)
class Options(ReferenceNetOptions):
    """How a clip is made. Options that are None take the preset's own value."""

    strength_audio: float | None = field(default=None, metadata=own("strength of the speech", 0, 10))
    strength_reference: float | None = field(default=None, metadata=own("strength of the portrait", 0, 10))
    retarget: Retargeting = field(default="naive", metadata={"help": "how V-Kps of another face are used"})
    retarget_gain: float = field(
        default=1.0, metadata={"help": "gain of the nose's movement in 'offset'", "range": (-4, 4)}
    )
    median: bool | None = field(default=None, metadata={"help": "median filter over space and time against flicker"})
    attributes: str = field(
        default="", metadata={"help": "labelled attributes as name=value pairs, 'happy=0.8,intensity=1'"}
    )
