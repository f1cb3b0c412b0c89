"""Motion of a rig, frame by frame, relative to the still that it moves.

Axes are those of the picture: x right, y down, z away from the camera. Angles have the signs of
``vivant.perception.pose``: yaw > 0 turns the nose to the left of the picture (the person's right), pitch > 0 nods it
down, roll > 0 tilts the head clockwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vivant.core.errors import ConfigError

# fmt: off
EXPRESSION_NAMES: tuple[str, ...] = (
    "browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R", "cheekPuff_L",
    "cheekPuff_R", "cheekRaiser_L", "cheekRaiser_R", "cheekSquint_L", "cheekSquint_R", "eyeBlink_L", "eyeBlink_R",
    "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L", "eyeLookOut_R", "eyeLookUp_L",
    "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L", "eyeWide_R", "jawForward", "jawLeft", "jawOpen",
    "jawRight", "mouthClose", "mouthDimple_L", "mouthDimple_R", "mouthFrown_L", "mouthFrown_R", "mouthFunnel",
    "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R", "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile_L", "mouthSmile_R",
    "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R", "noseSneer_L", "noseSneer_R",
)
"""The E = 55 expression units of ICT-FaceKit (its pupil units left out). L and R are the person's own sides."""
# fmt: on

POSE_NAMES: tuple[str, ...] = ("yaw", "pitch", "roll", "x", "y", "log_scale")


@dataclass(frozen=True)
class RigMotion:
    """Motion over F frames.

    ``fps``: exact frames per second.
    ``pose``: (F, 6) float32, relative to the still's own pose. Columns 0-2: yaw, pitch, roll in degrees; the head is
    turned by Rz(roll) Ry(yaw) Rx(pitch), about the picture's axes and the base of the skull. Columns 3, 4: shift to
    the right and down in cm at the head. Column 5: natural logarithm of the size, 0 as in the still.
    ``expression``: (F, E) float32, units of :data:`EXPRESSION_NAMES`, added to the still's own expression; the sum is
    held to -0.5..1.3 by the rig (0..1 is what a face can do; a little beyond keeps transferred speech in step).
    ``gaze``: (F, 2) float32, turn of the eyes to the right and down in radians, relative to the still. The lids follow
    by themselves: leave the eight eyeLook units at 0 unless they should do more.

    Raises:
        ConfigError: shapes that do not fit, no frame, or numbers that are not finite.
    """

    fps: Fraction
    pose: np.ndarray
    expression: np.ndarray
    gaze: np.ndarray

    def __post_init__(self) -> None:
        if Fraction(self.fps) <= 0:
            raise ConfigError(f"A motion of {self.fps} frames per second cannot be shown: give a positive rate.")
        count = len(self.pose)
        if count == 0:
            raise ConfigError("A motion without frames cannot be shown: give at least one frame.")
        wanted = {"pose": (count, 6), "expression": (count, len(EXPRESSION_NAMES)), "gaze": (count, 2)}
        for name, shape in wanted.items():
            value = np.asarray(getattr(self, name), np.float32)
            if value.shape != shape:
                raise ConfigError(f"A rig's motion needs {name} of shape {shape}, not {value.shape}: see RigMotion.")
            if not np.isfinite(value).all():
                raise ConfigError(f"A rig's motion holds numbers in {name} that are not finite: mend its source.")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "fps", Fraction(self.fps))

    def __len__(self) -> int:
        return len(self.pose)

    def __getitem__(self, frames: slice) -> RigMotion:
        """The motion of a range of frames."""
        return RigMotion(self.fps, self.pose[frames], self.expression[frames], self.gaze[frames])

    @classmethod
    def still(cls, count: int = 1, fps: Fraction | int = 25) -> RigMotion:
        """``count`` frames that do not move."""
        return cls(Fraction(fps), np.zeros((count, 6)), np.zeros((count, len(EXPRESSION_NAMES))), np.zeros((count, 2)))

    @classmethod
    def joined(cls, parts: Sequence[RigMotion]) -> RigMotion:
        """One motion after the other.

        Raises:
            ConfigError: no part, or different rates.
        """
        if not parts or any(part.fps != parts[0].fps for part in parts):
            raise ConfigError("Motions are joined when there is at least one and all have the same frame rate.")
        return cls(
            parts[0].fps, *(np.concatenate([getattr(p, n) for p in parts]) for n in ("pose", "expression", "gaze"))
        )


def expression_vector(units: Mapping[str, float]) -> np.ndarray:
    """(E,) float32 with the named units set. A name of a pair without its side (``"mouthSmile"``) sets both sides.

    Raises:
        ConfigError: an unknown name.
    """
    vector = np.zeros(len(EXPRESSION_NAMES), np.float32)
    for name, value in units.items():
        for row in expression_rows(name):
            vector[row] = value
    return vector


def expression_rows(name: str) -> tuple[int, ...]:
    """Rows of one unit in :data:`EXPRESSION_NAMES`; both sides of a pair when the name has no ``_L`` or ``_R``.

    Raises:
        ConfigError: an unknown name.
    """
    rows = tuple(EXPRESSION_NAMES.index(n) for n in (name, f"{name}_L", f"{name}_R") if n in EXPRESSION_NAMES)
    if not rows:
        raise ConfigError(f"There is no expression unit '{name}': the units are {', '.join(EXPRESSION_NAMES)}.")
    return rows
