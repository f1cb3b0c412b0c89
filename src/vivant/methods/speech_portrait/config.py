"""What can be changed: the sizes of the net (presets), and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivant.core.crops import CropConfig

Style = Literal["alive", "natural", "lively", "any"]
STYLES: tuple[Style, ...] = ("natural", "lively", "any")
"""Kinds of training motion: people who were filmed, motion made for synthesised speech; "any" stands for both."""

_SOURCE, _DRIVER = (CropConfig(1.8, -0.033, upright, "mesh") for upright in (True, False))


@dataclass(frozen=True)
class Config:
    """The net of one preset.

    ``encoder``: the speech features it hears; ``heard``: how many numbers of each of their steps it keeps; ``width``,
    ``layers``, ``heads`` of the transformer. ``window``: frames moved at once; ``prefix``: most frames before them that
    it may be told. ``steps``: of the sampler. ``lookahead``: frames of sound after a frame that a stream waits for;
    ``block``: frames a stream makes at once, told at most ``told`` frames before them.
    ``source_crop``, ``input_size``, ``output_size`` are those of ``painter_preset`` of the method that paints.
    """

    encoder: str = "whisper-tiny-en"
    heard: int = 80
    width: int = 256
    layers: int = 6
    heads: int = 4
    dropout: float = 0.1
    window: int = 64
    prefix: int = 48
    steps: int = 6
    lookahead: int = 4
    block: int = 6
    told: int = 24
    fps: int = 25
    painter_preset: str = "lite"
    input_size: int = 256
    output_size: int = 256
    source_crop: CropConfig = _SOURCE
    driving_crop: CropConfig = _DRIVER

    @property
    def speech_encoders(self) -> tuple[str, ...]:
        """Features that :class:`vivant.core.speech.Speech` must bring."""
        return (self.encoder,)


PRESETS: dict[str, Config] = {
    "lite": Config(),
    "tiny": Config(heard=16, width=32, layers=1, heads=2, window=16, prefix=8, steps=2, painter_preset="tiny"),
}


@dataclass(frozen=True)
class Options:
    """How the motion is drawn and put on the portrait."""

    strength_mouth: float = field(default=1.0, metadata={"help": "see --strength.mouth", "range": (0, 2)})
    strength_head: float = field(default=1.0, metadata={"help": "see --strength.head", "range": (0, 3)})
    strength_blink: float = field(default=1.0, metadata={"help": "see --strength.blink", "range": (0, 1.5)})
    strength_brow: float = field(default=1.0, metadata={"help": "see --strength.brow", "range": (0, 2)})
    guidance: float = field(
        default=1.5, metadata={"help": "how much more the sound counts than without it; 1 is as learned",
                               "range": (0, 6)},
    )  # fmt: skip
    steps: int = field(
        default=0, metadata={"help": "sampling steps of a window; 0 takes the preset's number", "range": (0, 100)}
    )
    variety: float = field(
        default=0.5, metadata={"help": "chance in the mouth's motion; 0 is its most likely course", "range": (0, 1)}
    )
    style: Style = field(
        default="alive",
        metadata={"help": "whose motion: natural that of people filmed while they read, lively that of made speech, "
                  "alive the mouth of the first (a quarter of the second) with head, eyes and brows of the second"},
    )  # fmt: skip
    hush: bool = field(default=True, metadata={"help": "close the mouth where nobody speaks"})
    stitching: bool = field(default=True, metadata={"help": "keep the shoulders in place"})
    batch: int = field(default=4, metadata={"help": "frames painted at once", "range": (1, 256)})
    seed: int = field(default=0, metadata={"help": "of the motion"})
