"""Who is it: an embedding by which later steps tell people apart."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import ClassVar

import numpy as np

from vivant.data.curate.scorers.base import Scorer, Scores, rounded
from vivant.data.curate.words import View
from vivant.perception.identity import IdentityNet

_LOOKS = 6
"""Frames that are embedded, spread over the clip."""


class Identity(Scorer):
    """Mean embedding of a few frames, and whether they show one person."""

    name = "identity"
    measures: ClassVar[Mapping[str, str]] = {
        "spread": "largest distance of a frame's embedding from their mean; below 0.3 within one person"
    }

    def __init__(self, view: View) -> None:
        super().__init__(view)
        seen = np.flatnonzero(view.faces.seen)
        self._chosen = set(seen[np.linspace(0, len(seen) - 1, _LOOKS).round().astype(int)].tolist())
        self._found: list[np.ndarray] = []
        self._number = -1

    def see(self, image: np.ndarray, landmarks: np.ndarray, seen: bool) -> None:
        """Embed the chosen frames."""
        self._number += 1
        if self._number in self._chosen:
            self._found.append(_net().embed(image, landmarks))

    def finish(self) -> Scores:
        """``spread``, and the ``embedding``: 128 numbers."""
        if not self._found:
            return {"spread": None, "embedding": None}
        mean = np.mean(self._found, axis=0)
        spread = max(float(np.linalg.norm(found - mean)) for found in self._found)
        return {**rounded({"spread": spread}), "embedding": [round(float(value), 4) for value in mean]}


@cache
def _net() -> IdentityNet:
    return IdentityNet()
