"""What can be changed: the sizes of the nets (presets), the meaning of their keypoints, and the options of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from vivant.core.crops import CropConfig

Region = Literal["all", "pose", "expression", "lips", "eyes"]


Parts = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
"""Points, and the anchors whose middle they are told from."""
GAZE_LANDMARKS: Parts = (((468,), (33, 133)), ((473,), (362, 263)))
"""Irises, told from the middle of the corners of their eyes, in the mesh of 478."""
SEEN_LANDMARKS: Parts = (
    ((159, 145, 160, 158, 468, 105, 107), (33, 133)),
    ((386, 374, 387, 385, 473, 334, 336), (362, 263)),
    ((61, 291, 13, 14, 0, 17, 81, 311, 178, 402), (61, 291, 13, 14, 0, 17, 81, 311, 178, 402)),
)
"""What the tracker sees better than a small motion extractor, in the mesh of 478: lids, iris and brow of each eye told
from the middle of the eye's corners, and the lips told from their own middle."""


@dataclass(frozen=True)
class MotionSpace:
    """What the K implicit keypoints mean.

    ``lips``, ``eyes``: keypoints that carry the expression of a region. ``absolute``: (keypoint, axes) pairs whose
    expression absolute mode and video sources take from the driver, axes a subset of "xyz".
    ``landmarks``: for every keypoint the mesh landmark (of 478) that guides it in training, empty if the meaning is
    learned. ``rigid``: keypoints that move with the skull, empty if not named.
    ``neutral_expression``: {keypoint: (x, y, z)}, subtracted from a single-image driver, other keypoints zero.
    """

    keypoints: int
    lips: tuple[int, ...]
    eyes: tuple[int, ...]
    absolute: tuple[tuple[int, str], ...]
    landmarks: tuple[int, ...] = ()
    rigid: tuple[int, ...] = ()
    neutral_expression: dict[int, tuple[float, float, float]] = field(default_factory=dict)

    def moved_by(self, net: str) -> tuple[int, ...]:
        """Keypoints that a net of stage II may move: the mouth's lips and jaw, the eyes' lids, irises and brows; where
        keypoints are not named, all."""
        if not self.rigid or net == "stitching":
            return tuple(range(self.keypoints))
        others = {*self.lips, *self.rigid}
        return self.lips if net == "retarget_mouth" else tuple(k for k in range(self.keypoints) if k not in others)

    @property
    def gaze_rows(self) -> Parts:
        """Keypoints of :data:`GAZE_LANDMARKS`, empty where not named."""
        return self._named(GAZE_LANDMARKS)

    @property
    def seen_rows(self) -> Parts:
        """Keypoints of :data:`SEEN_LANDMARKS`, empty where not named."""
        return self._named(SEEN_LANDMARKS)

    def _named(self, parts: Parts) -> Parts:
        if not {p for part in parts for points in part for p in points} <= set(self.landmarks):
            return ()
        index = self.landmarks.index
        return tuple((tuple(map(index, moved)), tuple(map(index, anchors))) for moved, anchors in parts)


# facts of the released checkpoint: neutral array in units of 1e-6 (upstream resource, MIT), restricted to what is not 0
_NEUTRAL_1E6 = {
    0: (-95, 242, -40), 1: (209, 468, 13), 2: (-125, 325, 4), 3: (120, -457, 54), 4: (-265, -75, -16),
    5: (-33, -183, -3), 6: (0, 0, 2), 7: (-541, 2633, 7), 8: (-12, 5, 10), 9: (1, 5, -409), 10: (167, -20, -89),
    11: (-15, 83, 6), 12: (0, 3, 2), 13: (-66, -68, -3), 14: (-833, -1796, -3), 15: (7, 37, -2), 16: (-5, 7, -10),
    17: (-637, -1166, 56), 18: (283, -15, 11), 19: (-4, -15091, -2549), 20: (222, 5628, 2726),
}  # fmt: skip

PUBLISHED_SPACE = MotionSpace(
    keypoints=21,
    lips=(6, 12, 14, 17, 19, 20),
    eyes=(11, 13, 15, 16, 18),
    absolute=(
        (1, "xyz"), (2, "xyz"), (6, "xyz"), *((k, "xyz") for k in range(11, 21)),
        (3, "y"), (4, "y"), (5, "z"), (8, "z"), (9, "yz"),
    ),
    neutral_expression={k: (x * 1e-6, y * 1e-6, z * 1e-6) for k, (x, y, z) in _NEUTRAL_1E6.items()},
)  # fmt: skip

# 0-9 lips, 10-21 lids (left eye of the picture first), 22-23 irises, 24-27 brows, 28-32 skull and jaw
LITE_LANDMARKS = (
    61, 291, 13, 14, 0, 17, 81, 311, 178, 402,
    159, 145, 33, 133, 160, 158, 386, 374, 263, 362, 387, 385,
    468, 473,
    105, 334, 107, 336,
    1, 152, 234, 454, 10,
)  # fmt: skip
LITE_SPACE = MotionSpace(
    keypoints=33,
    lips=(*range(10), 29),
    eyes=tuple(range(10, 24)),
    absolute=tuple((k, "xyz") for k in range(33)),
    landmarks=LITE_LANDMARKS,
    rigid=(28, 30, 31, 32),
)
LITE_MIRROR = (
    1, 0, 2, 3, 4, 5, 7, 6, 9, 8,
    16, 17, 18, 19, 20, 21, 10, 11, 12, 13, 14, 15,
    23, 22,
    25, 24, 27, 26,
    28, 29, 31, 30, 32,
)  # fmt: skip
"""Keypoint that each lite keypoint becomes when the picture is flipped left to right."""


_PUBLISHED_SOURCE = CropConfig(2.3, -0.125, True, "contour203")
_PUBLISHED_DRIVER = CropConfig(2.2, -0.1, False, "contour203")
_LITE_SOURCE = CropConfig(1.8, -0.033, True, "mesh")
_LITE_DRIVER = CropConfig(1.8, -0.033, False, "mesh")


@dataclass(frozen=True)
class PublishedConfig:
    """The paper's nets with the published sizes; ``width`` scales them down for tests (1 is published)."""

    family: Literal["published"] = "published"
    space: MotionSpace = PUBLISHED_SPACE
    input_size: int = 256
    output_size: int = 512
    source_crop: CropConfig = _PUBLISHED_SOURCE
    driving_crop: CropConfig = _PUBLISHED_DRIVER
    # appearance extractor and warp
    base_width: int = 64
    max_width: int = 512
    down_blocks: int = 2
    volume_channels: int = 32
    volume_depth: int = 16
    residual_blocks_3d: int = 6
    # motion extractor (ConvNeXt V2)
    backbone_depths: tuple[int, ...] = (3, 3, 9, 3)
    backbone_widths: tuple[int, ...] = (96, 192, 384, 768)
    # dense motion
    motion_width: int = 32
    motion_max_width: int = 1024
    motion_levels: int = 5
    motion_compress: int = 4
    # generator
    generator_width: int = 64
    generator_max_width: int = 512
    generator_middle_blocks: int = 6
    upscale: int = 2
    spade_hidden: int = 128
    # stage II MLPs: hidden widths
    stitching_hidden: tuple[int, ...] = (128, 128, 64)
    lip_hidden: tuple[int, ...] = (128, 128, 64)
    eye_hidden: tuple[int, ...] = (256, 256, 128, 128, 64)


@dataclass(frozen=True)
class LiteConfig:
    """The shipped small nets: the same equation, controls and interfaces, layers made for two CPU cores."""

    family: Literal["lite"] = "lite"
    space: MotionSpace = LITE_SPACE
    input_size: int = 256
    output_size: int = 256
    source_crop: CropConfig = _LITE_SOURCE
    driving_crop: CropConfig = _LITE_DRIVER
    motion_input: int = 192
    backbone_blocks: int = 16
    volume_channels: int = 24
    volume_depth: int = 8
    feature_widths: tuple[int, int, int] = (24, 48, 96)
    warp_widths: tuple[int, ...] = (32, 64, 96, 128, 192)
    generator_widths: tuple[int, int, int] = (192, 96, 48)
    generator_blocks: tuple[int, int, int] = (2, 1, 1)
    stitching_hidden: tuple[int, ...] = (128, 128, 64)
    lip_hidden: tuple[int, ...] = (128, 128, 64)
    eye_hidden: tuple[int, ...] = (256, 256, 128, 128, 64)


Config = PublishedConfig | LiteConfig

PRESETS: dict[str, Config] = {
    "paper": PublishedConfig(),
    "released": PublishedConfig(),
    "lite": LiteConfig(),
    "tiny": LiteConfig(
        motion_input=64,
        backbone_blocks=3,
        volume_channels=4,
        volume_depth=4,
        feature_widths=(8, 8, 8),
        warp_widths=(8, 8, 8, 8, 8),
        generator_widths=(16, 8, 8),
        generator_blocks=(1, 1, 1),
    ),
    "tiny-published": PublishedConfig(
        output_size=512,
        base_width=8,
        max_width=32,
        volume_channels=4,
        volume_depth=8,
        residual_blocks_3d=1,
        backbone_depths=(1, 1, 1, 1),
        backbone_widths=(8, 8, 8, 16),
        motion_width=8,
        motion_max_width=16,
        motion_levels=5,
        generator_width=8,
        generator_max_width=32,
        generator_middle_blocks=1,
        spade_hidden=8,
    ),
}


@dataclass(frozen=True)
class Sliders:
    """Edits of a still, added to the source's own motion; 0 (or None) leaves it as it is. Ranges are inclusive."""

    pitch: float = field(
        default=0.0, metadata={"part": "head", "help": "nod in degrees, positive looks down", "range": (-15, 15)}
    )
    yaw: float = field(default=0.0, metadata={"part": "head", "help": "turn in degrees", "range": (-25, 25)})
    roll: float = field(default=0.0, metadata={"part": "head", "help": "tilt in degrees", "range": (-15, 15)})
    move_x: float = field(
        default=0.0, metadata={"part": "head", "help": "shift right, crop half-widths", "range": (-0.19, 0.19)}
    )
    move_y: float = field(
        default=0.0, metadata={"part": "head", "help": "shift down, crop half-widths", "range": (-0.19, 0.19)}
    )
    zoom: float = field(default=1.0, metadata={"part": "head", "help": "head size factor", "range": (0.9, 1.2)})
    gaze_x: float = field(default=0.0, metadata={"part": "gaze", "help": "eyes sideways", "range": (-30, 30)})
    gaze_y: float = field(
        default=0.0, metadata={"part": "gaze", "help": "eyes up (positive) or down", "range": (-63, 63)}
    )
    smile: float = field(default=0.0, metadata={"part": "smile", "help": "smile", "range": (-0.3, 1.3)})
    wink: float = field(default=0.0, metadata={"part": "eyes", "help": "close one eye", "range": (0, 39)})
    eyebrow: float = field(
        default=0.0, metadata={"part": "brows", "help": "raise or frown the brows", "range": (-30, 30)}
    )
    pouting: float = field(default=0.0, metadata={"part": "lips", "help": "mouth sideways", "range": (-0.09, 0.09)})
    pursing: float = field(default=0.0, metadata={"part": "lips", "help": "purse the lips", "range": (-20, 15)})
    grin: float = field(default=0.0, metadata={"part": "smile", "help": "show the teeth", "range": (0, 15)})
    lip_open: float = field(
        default=0.0, metadata={"part": "lips", "help": "part or press the lips", "range": (-90, 120)}
    )
    eyes_ratio: float | None = field(
        default=None, metadata={"part": "eyes", "help": "target eye opening", "range": (0, 0.8)}
    )
    lip_ratio: float | None = field(
        default=None, metadata={"part": "lips", "help": "target lip opening", "range": (0, 0.8)}
    )


@dataclass(frozen=True)
class Options:
    """How the driver's motion is put on the portrait (facts of the method: paper section 3.4 and released defaults)."""

    relative: bool = field(
        default=True, metadata={"help": "add the driver's change since its first frame (else copy its motion)"}
    )
    region: Region = field(default="all", metadata={"help": "which part of the motion is transferred"})
    driving: Literal["expression-friendly", "pose-friendly"] = field(
        default="expression-friendly", metadata={"help": "scale the motion to the portrait, or leave it as driven"}
    )
    multiplier: float = field(default=1.0, metadata={"help": "motion strength; 1 is as driven"})
    stitching: bool = field(default=True, metadata={"help": "keep the shoulders in place"})
    openings: bool = field(
        default=True,
        metadata={
            "help": "lips and lids open as the driver's do, whatever its first frame shows (lite; off adds changes)"
        },
    )
    gaze_gain: float = field(
        default=1.5,
        metadata={"help": "how far irises are moved sideways to look as far as the driver's (lite)", "range": (0, 3)},
    )
    eye_retargeting: bool = field(default=False, metadata={"help": "follow the driver's eye opening ratio"})
    lip_retargeting: bool = field(default=False, metadata={"help": "follow the driver's lip opening ratio"})
    normalize_lips: bool = field(default=False, metadata={"help": "close an open mouth of the portrait first"})
    neutral_lips: bool = field(default=False, metadata={"help": "keep the lips silent"})
    smoothing: float = field(
        default=3e-7, metadata={"help": "observation variance of the Kalman smoother; larger is smoother, 0 is off"}
    )
    sliders: Sliders = field(default_factory=Sliders)
    batch: int = field(default=4, metadata={"help": "frames computed at once"})
