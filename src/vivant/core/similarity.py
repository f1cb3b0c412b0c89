"""Similarities of the plane (turn, scale, shift) as two complex numbers: z -> factor z + shift, z = x + i y."""

from __future__ import annotations

import cmath
from dataclasses import dataclass

import numpy as np

LEAST_SCALE = 0.05


@dataclass(frozen=True)
class Similarity:
    """``factor``: scale times e^(i angle), angles from x towards y. ``shift``: in the unit of the points."""

    factor: complex = 1 + 0j
    shift: complex = 0j

    @classmethod
    def fit(cls, source: np.ndarray, target: np.ndarray) -> Similarity:
        """The least-squares similarity that carries ``source`` to ``target``, both (N, 2 or 3), N > 1."""
        a, b = (points[:, 0].astype(np.float64) + 1j * points[:, 1] for points in (source, target))
        from_centre, to_centre = a - a.mean(), b - b.mean()
        spread = float((from_centre * from_centre.conj()).real.sum())
        factor = complex((from_centre.conj() * to_centre).sum() / spread) if spread > 0 else 1 + 0j
        return cls(factor, complex(b.mean() - factor * a.mean()))

    @classmethod
    def of_matrix(cls, matrix: np.ndarray) -> Similarity:
        """That of a (2, 3) matrix whose linear part is a turn times a scale."""
        return cls(complex(matrix[0, 0], matrix[1, 0]), complex(matrix[0, 2], matrix[1, 2]))

    @property
    def scale(self) -> float:
        """How much longer lengths become."""
        return abs(self.factor)

    @property
    def angle(self) -> float:
        """The turn in radians, -pi to pi."""
        return cmath.phase(self.factor)

    @property
    def inverse(self) -> Similarity:
        """The similarity that undoes this one."""
        return Similarity(1 / self.factor, -self.shift / self.factor)

    def after(self, first: Similarity) -> Similarity:
        """This similarity applied to what ``first`` gives."""
        return Similarity(self.factor * first.factor, self.factor * first.shift + self.shift)

    def points(self, points: np.ndarray) -> np.ndarray:
        """(N, 2 or 3) points carried, (N, 2) float32."""
        z = self.factor * (points[:, 0].astype(np.float64) + 1j * points[:, 1]) + self.shift
        return np.stack([z.real, z.imag], 1).astype(np.float32)

    def matrix(self) -> np.ndarray:
        """(2, 3) float64."""
        a, b = self.factor, self.shift
        return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])

    def amplified(self, amount: float, centre: complex, travel: bool = True) -> Similarity:
        """The motion told about ``centre``: the angle times ``amount``, the scale's distance from 1 times ``amount``,
        and, with ``travel``, how far the centre moves times ``amount``; 1 gives the motion itself, 0 none."""
        if amount == 1:
            return self
        scale = max(1 + amount * (self.scale - 1), LEAST_SCALE)
        factor = scale * cmath.exp(1j * amount * self.angle)
        moved = self.factor * centre + self.shift - centre
        return Similarity(factor, centre + (amount if travel else 1) * moved - factor * centre)
