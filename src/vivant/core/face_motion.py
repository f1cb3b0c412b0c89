"""Motion of a face that no net's keypoints are needed to tell: what moves on the head, and how the head moves.

It is told in the head's own axes (x right, y down in the picture when the head looks straight ahead) and in cm of the
canonical face, since the face at rest with closed lips; so it fits any portrait, and it says how far lips stand apart,
not by how much more than before. Methods that make motion without pictures give it; methods that move pictures take it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vivant.core.errors import ConfigError
from vivant.core.facemesh import MIRROR

LIPS: tuple[int, ...] = (61, 291, 13, 14, 0, 17, 81, 311, 178, 402)
CHIN = 152
IRISES: tuple[int, ...] = (468, 473)
BROWS: tuple[int, ...] = (105, 107, 334, 336)
MOVED: tuple[int, ...] = (*LIPS, CHIN, *IRISES, *BROWS)
"""Points of the mesh of 478 whose moves are told: corners, middle and quarters of the lips, chin, irises, brows."""
LIP_PAIRS: tuple[tuple[int, int], ...] = ((13, 14), (81, 178), (311, 402))
"""(upper, lower) inner points of the lips."""
PARTS: dict[str, slice] = {
    "moves": slice(0, 2 * len(MOVED)),
    "lids": slice(2 * len(MOVED), 2 * len(MOVED) + 2),
    "angles": slice(2 * len(MOVED) + 2, 2 * len(MOVED) + 5),
    "shift": slice(2 * len(MOVED) + 5, 2 * len(MOVED) + 7),
    "zoom": slice(2 * len(MOVED) + 7, 2 * len(MOVED) + 8),
}
"""Where each field lies in the rows of :meth:`FaceMotion.array`."""
NUMBERS = PARTS["zoom"].stop
"""Numbers a frame, 42."""


@dataclass(frozen=True)
class FaceMotion:
    """F frames, all float32.

    ``moves``: (F, P, 2) of the points :data:`MOVED`, cm right and down, lips and chin in the head's axes, irises and
    brows beside the corners of their eye. Lips rest closed, so the gap of a pair of :data:`LIP_PAIRS` is the lower
    point's y less the upper one's. ``lids``: (F, 2) share of its opening at rest, the eye on the left of the picture
    first, 0 shut. ``angles``: (F, 3) pitch, yaw, roll in degrees as in ``vivant.perception.pose``. ``shift``: (F, 2) of
    the head, cm right and down. ``zoom``: (F, 1) natural logarithm of its size.
    """

    fps: Fraction
    moves: np.ndarray
    lids: np.ndarray
    angles: np.ndarray
    shift: np.ndarray
    zoom: np.ndarray

    def __len__(self) -> int:
        return len(self.moves)

    def __getitem__(self, frames: slice) -> FaceMotion:
        """The motion of a range of frames."""
        return FaceMotion(self.fps, *(getattr(self, name)[frames] for name in PARTS))

    def array(self) -> np.ndarray:
        """(F, NUMBERS) float32."""
        parts = [getattr(self, name).reshape(len(self), -1) for name in PARTS]
        return np.concatenate(parts, 1).astype(np.float32)

    @classmethod
    def of(cls, rows: np.ndarray, fps: Fraction) -> FaceMotion:
        """From rows (F, NUMBERS).

        Raises:
            ConfigError: another width, or numbers that are not finite.
        """
        rows = np.asarray(rows, np.float32)
        if rows.ndim != 2 or rows.shape[1] != NUMBERS or not np.isfinite(rows).all():
            raise ConfigError(f"Motion of a face needs finite rows of {NUMBERS} numbers, not {rows.shape}.")
        found = {name: rows[:, part] for name, part in PARTS.items()}
        found["moves"] = found["moves"].reshape(len(rows), -1, 2)
        return cls(fps, **found)

    def lip_gaps(self) -> np.ndarray:
        """(F, 3) cm between the lips, negative where they press."""
        upper, lower = (
            self.moves[:, [MOVED.index(p) for p in side], 1] for side in zip(*LIP_PAIRS)
        )  # fmt: skip
        gaps: np.ndarray = lower - upper
        return gaps


def mirrored_rows() -> tuple[np.ndarray, np.ndarray]:
    """Column (NUMBERS,) that each number becomes when the picture is flipped left to right, and its sign (NUMBERS,)."""
    points = [MOVED.index(MIRROR[p]) for p in MOVED]
    order = [2 * p + axis for p in points for axis in (0, 1)]
    first = PARTS["lids"].start
    order += [first + 1, first, *range(first + 2, NUMBERS)]
    sign = np.ones(NUMBERS, np.float32)
    sign[: PARTS["moves"].stop : 2] = -1
    sign[[PARTS["angles"].start + 1, PARTS["angles"].start + 2, PARTS["shift"].start]] = -1
    return np.array(order), sign
