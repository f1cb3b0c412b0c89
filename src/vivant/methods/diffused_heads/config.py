"""What can be changed: the sizes of the nets (presets), and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Encoder = Literal["window", "whisper-tiny-en", "mel"]


@dataclass(frozen=True)
class CropConfig:
    """How a face is framed; see :class:`vivant.methods.live_portrait.config.CropConfig`."""

    scale: float
    shift_y: float
    rotate: bool = True
    points: Literal["contour203", "mesh"] = "mesh"


@dataclass(frozen=True)
class Config:
    """The nets of one preset.

    U-Net: ``width`` times ``multipliers`` channels at falling resolutions, ``blocks`` residual blocks each, attention
    in the middle and, with ``attention`` "lowest", after every block of the lowest resolution; ``head_width`` channels
    a head; ``patch``: pixels a side that are folded into channels before the first layer (1 in the paper).
    ``time_rates``: "published" has frequencies from 1 down to 0.1 only, as the released weights were trained;
    "usual" down to 1e-4. ``zero_start``: residual branches and the last layer begin at zero; without it random weights
    answer to all inputs. ``copies``: frames that a net which predicts the picture itself may take pixels from, beside
    painting them: the identity frame ("identity"), the motion frames as well, if they have colours ("all"), or the
    identity frame and the same moved by a flow that the net tells ("warped").

    Conditions: ``motion_frames`` previous frames, ``grey_motion`` as luminance, ``motion_coarse`` pixels a side
    averaged (1: as they are); under the drift guard ``motion_noise``, deviation of the noise on them, and ``leash``,
    share of the portrait that is blended into them; ``encoder`` of the sound, ``audio_width`` numbers a frame, of the
    frame itself and of ``audio_reach`` frames on each side.

    Diffusion: cosine schedule; ``prediction`` of the net ("sample": the picture itself), ``learned_variance`` beside
    it; ``sampler`` and ``steps`` are the usual ones of the preset. ``keep_noise``: correlation
    of a frame's noise with that of the frame before, 0 in the paper; frames that answer to fresh noise show a head that
    trembles. ``noise_scale``: deviation of the noise, below 1 for calmer frames.
    """

    image_size: int = 128
    width: int = 256
    multipliers: tuple[int, ...] = (1, 2, 3)
    blocks: int = 2
    attention: Literal["lowest", "middle"] = "lowest"
    head_width: int = 64
    patch: int = 1
    dropout: float = 0.1
    zero_start: bool = True
    copies: Literal["none", "identity", "all", "warped"] = "none"
    time_rates: Literal["published", "usual"] = "published"
    motion_frames: int = 2
    grey_motion: bool = False
    motion_coarse: int = 1
    motion_noise: float = 0.0
    leash: float = 0.0
    encoder: Encoder = "window"
    audio_width: int = 256
    audio_reach: int = 2
    prediction: Literal["epsilon", "v", "sample"] = "epsilon"
    learned_variance: bool = True
    sampler: str = "ddpm"
    steps: int = 100
    keep_noise: float = 0.0
    noise_scale: float = 1.0
    source_crop: CropConfig = CropConfig(1.3, -0.02)
    fps: int = 25

    @property
    def output_size(self) -> int:
        """Side of the frames in pixels."""
        return self.image_size

    @property
    def input_size(self) -> int:
        """Side of the identity frame in pixels."""
        return self.image_size

    @property
    def driving_crop(self) -> CropConfig:
        """Drivers are not looked at; framed like the source."""
        return self.source_crop

    @property
    def motion_channels(self) -> int:
        """Channels of all motion frames together."""
        return self.motion_frames * (1 if self.grey_motion else 3)

    @property
    def copied_frames(self) -> int:
        """How many frames the net may take pixels from."""
        if self.copies == "warped":
            return 2
        motion = self.motion_frames if self.copies == "all" and not self.grey_motion else 0
        return 0 if self.copies == "none" else 1 + motion

    @property
    def speech_encoders(self) -> tuple[str, ...]:
        """Features that :class:`vivant.core.speech.Speech` must bring; the window encoder hears samples."""
        return () if self.encoder == "window" else (self.encoder,)


_LITE = Config(
    width=96,
    multipliers=(1, 2, 2),
    blocks=1,
    attention="middle",
    patch=4,
    time_rates="usual",
    encoder="whisper-tiny-en",
    audio_width=128,
    prediction="sample",
    copies="warped",
    motion_coarse=4,
    motion_noise=0.05,
    leash=0.15,
    learned_variance=False,
    sampler="dpm-solver",
    steps=8,
    keep_noise=0.98,
    noise_scale=0.8,
)
_CLAIMS = replace(
    _LITE, image_size=64, patch=2, width=64, motion_coarse=2, keep_noise=0.0, noise_scale=1.0, leash=0.0
)  # fmt: skip
"""A smaller net for the paper's claims, trained once for each variant; its noise is as fresh as the paper's, and no
leash holds the motion that is measured."""
_TINY = Config(
    zero_start=False,
    image_size=32,
    width=32,
    multipliers=(1, 2),
    blocks=1,
    attention="middle",
    patch=2,
    encoder="mel",
    audio_width=16,
    time_rates="usual",
    sampler="ddim",
    steps=3,
)

PRESETS: dict[str, Config] = {
    "lite": _LITE,
    "released": Config(),
    "paper": Config(encoder="whisper-tiny-en"),
    "tiny": _TINY,
    "claims": _CLAIMS,
    "claims-motion0": replace(_CLAIMS, motion_frames=0),
    "claims-motion1": replace(_CLAIMS, motion_frames=1),
    "claims-reach0": replace(_CLAIMS, audio_reach=0),
    "claims-reach1": replace(_CLAIMS, audio_reach=1),
    "claims-grey": replace(_CLAIMS, grey_motion=True),
}


@dataclass(frozen=True)
class Options:
    """How frames are drawn, one after another."""

    steps: int = field(
        default=0, metadata={"help": "sampling steps a frame; 0 takes the preset's number", "range": (0, 1000)}
    )
    sampler: Literal["auto", "ddpm", "ddim", "dpm-solver", "euler", "euler-ancestral"] = field(
        default="auto", metadata={"help": "auto is the preset's; ddpm is the paper's, the others need fewer steps"}
    )
    guard: bool = field(default=True, metadata={"help": "hold identity and colours over long clips"})
    anchor_every: int = field(
        default=15,
        metadata={"help": "frames after which the oldest motion frame is the portrait again; 0 is never",
                  "range": (0, 1000)},
    )  # fmt: skip
    hold_colour: float = field(
        default=0.5, metadata={"help": "how much of a drift of the colours is taken back", "range": (0, 1)}
    )
    keep_noise: float | None = field(
        default=None,
        metadata={"help": "how alike the noise of neighbouring frames is: 0 fresh as in the paper, 1 the same for all "
                  "frames; the preset's own if left out", "range": (0, 1)},
    )  # fmt: skip
    upstream: bool = field(
        default=False,
        metadata={"help": "noise and rounding in the order of the published sampler; memory grows with the length"},
    )
    batch: int = field(
        default=8, metadata={"help": "frames computed at once, where no motion frames tie them", "range": (1, 256)}
    )
    seed: int = field(default=0, metadata={"help": "of the noise"})
