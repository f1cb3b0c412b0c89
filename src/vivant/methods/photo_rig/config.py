"""What can be changed: how large frames are (presets), sliders, and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class CropConfig:
    """How a face is framed. ``scale``: side of the square over the longer side of the landmarks' box; ``shift_y``:
    shift along the face's vertical in units of that side; ``points``: the landmarks that span the box; ``rotate``:
    turn the face upright; ``border``: what lies beyond the picture."""

    scale: float
    shift_y: float
    rotate: bool
    points: Literal["contour203", "mesh"] = "mesh"
    border: Literal["replicate", "reflect"] = "replicate"


@dataclass(frozen=True)
class RigConfig:
    """``output_size``: side of the frames in pixels. ``native``: instead as many pixels as the picture itself has in
    the square, between ``smallest`` and ``largest``. ``needs_alpha``: crops come with the person's opacity."""

    output_size: int = 512
    input_size: int = 512
    native: bool = False
    smallest: int = 256
    largest: int = 1536
    needs_alpha: bool = True
    source_crop: CropConfig = CropConfig(2.4, 0.02, True, border="reflect")
    driving_crop: CropConfig = CropConfig(1.8, -0.033, False)
    driving_size: int = 256
    speech_encoders: tuple[str, ...] = ("mel",)
    fps: int = 25
    family: Literal["rig"] = "rig"


PRESETS: dict[str, RigConfig] = {
    "native": RigConfig(native=True),
    "large": RigConfig(1024, 1024),
    "medium": RigConfig(),
    "small": RigConfig(256, 256),
    "tiny": RigConfig(96, 96),
}


@dataclass(frozen=True)
class Sliders:
    """Edits, added to the photo's own pose and expression; 0 leaves it as it is. Ranges are inclusive."""

    yaw: float = field(
        default=0.0, metadata={"part": "head", "help": "turn in degrees, to the person's right", "range": (-30, 30)}
    )
    pitch: float = field(
        default=0.0, metadata={"part": "head", "help": "nod in degrees, positive looks down", "range": (-18, 18)}
    )
    roll: float = field(
        default=0.0, metadata={"part": "head", "help": "tilt in degrees, clockwise", "range": (-20, 20)}
    )
    move_x: float = field(default=0.0, metadata={"part": "head", "help": "shift right in cm", "range": (-2, 2)})
    move_y: float = field(default=0.0, metadata={"part": "head", "help": "shift down in cm", "range": (-2, 2)})
    zoom: float = field(default=1.0, metadata={"part": "head", "help": "head size factor", "range": (0.92, 1.08)})
    gaze_x: float = field(
        default=0.0, metadata={"part": "gaze", "help": "eyes sideways in degrees", "range": (-22, 22)}
    )
    gaze_y: float = field(
        default=0.0, metadata={"part": "gaze", "help": "eyes up (positive) or down in degrees", "range": (-14, 14)}
    )
    blink: float = field(default=0.0, metadata={"part": "eyes", "help": "shut both eyes", "range": (0, 1)})
    wink_left: float = field(
        default=0.0, metadata={"part": "eyes", "help": "shut the person's left eye", "range": (0, 1)}
    )
    wink_right: float = field(
        default=0.0, metadata={"part": "eyes", "help": "shut the person's right eye", "range": (0, 1)}
    )
    eyes_wide: float = field(default=0.0, metadata={"part": "eyes", "help": "open the eyes wide", "range": (0, 1)})
    squint: float = field(default=0.0, metadata={"part": "eyes", "help": "narrow the eyes", "range": (0, 1)})
    brows_up: float = field(default=0.0, metadata={"part": "brows", "help": "raise the brows", "range": (0, 1)})
    brows_down: float = field(default=0.0, metadata={"part": "brows", "help": "frown", "range": (0, 1)})
    jaw_open: float = field(default=0.0, metadata={"part": "lips", "help": "open the mouth", "range": (0, 0.6)})
    smile: float = field(default=0.0, metadata={"part": "smile", "help": "smile", "range": (-0.3, 1)})
    sad: float = field(
        default=0.0, metadata={"part": "smile", "help": "pull down the corners of the mouth", "range": (0, 1)}
    )
    pucker: float = field(default=0.0, metadata={"part": "lips", "help": "purse the lips", "range": (0, 1)})
    funnel: float = field(default=0.0, metadata={"part": "lips", "help": "round the lips as in oh", "range": (0, 1)})
    stretch: float = field(default=0.0, metadata={"part": "lips", "help": "stretch the lips as in ee", "range": (0, 1)})
    press: float = field(default=0.0, metadata={"part": "lips", "help": "press the lips together", "range": (0, 1)})
    cheek_puff: float = field(default=0.0, metadata={"part": "lips", "help": "puff the cheeks", "range": (0, 1)})


SLIDER_UNITS = {
    "blink": "eyeBlink", "wink_left": "eyeBlink_L", "wink_right": "eyeBlink_R", "eyes_wide": "eyeWide",
    "squint": "eyeSquint", "brows_down": "browDown", "jaw_open": "jawOpen", "smile": "mouthSmile", "sad": "mouthFrown",
    "pucker": "mouthPucker", "funnel": "mouthFunnel", "stretch": "mouthStretch", "press": "mouthPress",
    "cheek_puff": "cheekPuff",
}  # fmt: skip
"""Slider -> expression unit of the head (both sides if it has sides); ``brows_up`` moves four units."""


@dataclass(frozen=True)
class Options:
    """How the driver's motion is put on the portrait."""

    relative: bool = field(
        default=True, metadata={"help": "add the driver's change since its first frame (else copy its pose and face)"}
    )
    strength_pose: float = field(default=1.0, metadata={"help": "head motion; 1 is as driven", "range": (0, 2)})
    strength_expression: float = field(default=1.0, metadata={"help": "expression; 1 is as driven", "range": (0, 2)})
    strength_speech: float = field(
        default=1.0, metadata={"help": "how clearly the mouth speaks; 1 is everyday speech", "range": (0, 2)}
    )
    idle: float = field(
        default=1.0,
        metadata={"help": "head motion and blinks of a portrait that only speaks; 0 is off", "range": (0, 2)},
    )
    sway: float = field(default=1.0, metadata={"help": "how much the shoulders follow and breathe", "range": (0, 2)})
    smooth: bool = field(default=True, metadata={"help": "smooth the driver's motion over time"})
    supersample: int = field(
        default=0,
        metadata={"help": "draw so many times finer and average; 0 is 2 up to 768 px, else 1", "range": (0, 4)},
    )
    seed: int = field(default=0, metadata={"help": "of idle motion", "range": (0, 2**31 - 1)})
    sliders: Sliders = field(default_factory=Sliders)
    batch: int = field(default=4, metadata={"help": "frames drawn at once"})
