"""What can be changed: the sizes of the nets (presets) and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivant.core.crops import RENDERED_VIEW, CropConfig
from vivant.diffusion.clip_options import ClipOptions, ClipSampler
from vivant.nn.driven_encoder import DRIVEN_WIDTHS
from vivant.nn.pixart import PixArtConfig

_VIEW = CropConfig(2.0, -0.06, False, "mesh")


@dataclass(frozen=True)
class AudioConfig:
    """What a frame hears. ``encoder``: name of the speech encoder; ``width``: numbers of one of its states; ``states``:
    how many of them are heard, the last ones; ``steps``: feature vectors of a frame; ``reach``: frames before and
    behind that are heard, too. Every state of every step is a token."""

    encoder: str = "whisper-tiny-en"
    width: int = 384
    states: int = 5
    steps: int = 2
    reach: int = 2

    @property
    def numbers(self) -> int:
        """Numbers of a feature vector that are used, its last ones."""
        return self.width * self.states

    @property
    def tokens(self) -> int:
        """T: audio tokens of a frame."""
        return self.states * self.steps * (2 * self.reach + 1)


@dataclass(frozen=True)
class Config:
    """Sizes and habits of one set of nets.

    ``net``: sizes that both transformers share; its ``extra`` channels are the driven encoder's ``driven``, and with
    ``reference_input`` (ours, for small nets) the portrait's latent behind them. ``driven_widths``: of the driven
    encoder. ``anchor``: where speech alone drives, the net is shown the portrait's own eyes in every frame. ``codec``:
    which latent codec. ``schedule``, ``prediction``: of the noise. ``window``, ``overlap``: frames computed at once,
    and shared by neighbours. ``steps``, ``guidance``: what a run uses unless asked otherwise.
    """

    net: PixArtConfig = field(default_factory=PixArtConfig)
    audio: AudioConfig = field(default_factory=AudioConfig)
    driven: int = 4
    driven_widths: tuple[int, ...] = DRIVEN_WIDTHS
    reference_input: bool = False
    anchor: bool = False
    codec: Literal["sd", "lite", "tiny"] = "sd"
    input_size: int = 512
    output_size: int = 512
    fps: int = 25
    schedule: str = "pixart"
    prediction: Literal["v", "epsilon", "sample"] = "epsilon"
    window: int = 16
    overlap: int = 4
    steps: int = 25
    guidance: float = 4.5
    source_crop: CropConfig = _VIEW

    @property
    def driving_crop(self) -> CropConfig:
        """The driver is seen in the same kind of square as the portrait."""
        return self.source_crop

    @property
    def speech_encoders(self) -> tuple[str, ...]:
        """The encoders that the method listens to."""
        return (self.audio.encoder,)


PRESETS: dict[str, Config] = {
    "paper": Config(),
    "lite": Config(
        net=PixArtConfig(
            channels=8, extra=16, width=192, heads=3, depth=10, side=32, variance=False, injected=6,
            temporal="plain", temporal_heads=3, groups=16, positions=24,
        ),
        audio=AudioConfig(states=1),
        driven=8,
        driven_widths=(3, 12, 24, 48, 64),
        reference_input=True,
        anchor=True,
        codec="lite",
        input_size=256,
        output_size=256,
        schedule="scaled-linear",
        prediction="v",
        window=12,
        overlap=2,
        steps=8,
        guidance=2.0,
        source_crop=RENDERED_VIEW,
    ),
    "tiny": Config(
        net=PixArtConfig(
            width=48, heads=2, depth=4, side=8, injected=2, temporal_heads=2, groups=4, positions=16,
        ),
        driven_widths=(3, 4, 8, 8, 8),
        codec="tiny",
        input_size=64,
        output_size=64,
        window=8,
        overlap=2,
        steps=2,
        guidance=2.0,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Options(ClipOptions):
    """How a clip is made. Options that are None take the preset's own value."""

    drive: Literal["auto", "both", "eyes", "mouth"] = field(
        default="auto",
        metadata={"help": "what of the driver is shown to the net; auto: eyes if speech drives, too, else both"},
    )
    anchor: Literal["auto", "portrait", "none"] = field(
        default="auto",
        metadata={
            "help": "what steadies the head where speech alone drives: the portrait's own eyes, shown as a driver that "
            "keeps still, or nothing; auto: as the preset"
        },
    )
    strength_visual: float = field(default=1.0, metadata={"help": "amplitude of the driver", "range": (0, 4)})
    strength_audio: float = field(default=1.0, metadata={"help": "amplitude of the speech", "range": (0, 10)})
    travel: bool = field(default=True, metadata={"help": "the driver's amplitude also scales how far the head travels"})
    sampler: ClipSampler = field(default="dpm-solver", metadata={"help": "sampler"})
