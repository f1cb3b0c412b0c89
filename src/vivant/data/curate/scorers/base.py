"""What a scorer is: a name, a version, what it measures, and how it is fed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from vivant.core.errors import ConfigError
from vivant.data.curate.words import View

Scores = dict[str, Any]
"""Numbers by name, None where they mean nothing; and what later steps read: hashes, series, embeddings."""


class Scorer(ABC):
    """Looks at one clip: made with its :class:`View`, shown every frame, asked for its scores at the end.

    ``name``: of the scorer, the first part of its scores' names. ``version``: raised whenever the same clip could get
    another score, so that it is scored again. ``measures``: score -> what it is, with its unit. ``frames``: whether it
    wants to be shown frames.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    measures: ClassVar[Mapping[str, str]]
    frames: ClassVar[bool] = True

    def __init__(self, view: View) -> None:
        self.view = view

    def see(  # noqa: B027 - a hook: scorers with frames = False leave it
        self, image: np.ndarray, landmarks: np.ndarray, seen: bool
    ) -> None:
        """The next frame (H, W, 3) uint8 RGB with the face's landmarks (478, 3); ``seen`` is False where they were
        bridged."""

    @abstractmethod
    def finish(self) -> Scores:
        """The scores, without the scorer's name before theirs."""


SCORERS: dict[str, str] = {
    "faces": "faces:FaceCount",
    "resolution": "resolution:Resolution",
    "pose": "pose:Pose",
    "sharpness": "sharpness:Sharpness",
    "motion": "motion:Motion",
    "sound": "sound:Sound",
    "speech": "sound:Speech",
    "sync": "sync:Sync",
    "sync-published": "sync:PublishedSync",
    "duplicates": "duplicates:Duplicates",
    "identity": "identity:Identity",
    "exposure": "exposure:Exposure",
    "text": "text:Text",
}
"""Module and class of every scorer."""
DEFAULT = tuple(name for name in SCORERS if name != "sync-published")
"""The scorers that need nothing from the network."""


def scorer(name: str) -> type[Scorer]:
    """The scorer of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in SCORERS:
        raise ConfigError(f"There is no scorer '{name}': use some of {', '.join(SCORERS)}.")
    module, _, kind = SCORERS[name].partition(":")
    found: type[Scorer] = getattr(import_module(f"vivant.data.curate.scorers.{module}"), kind)
    return found


def all_measures() -> dict[str, str]:
    """Every score by its full name, such as ``pose.mean``, and what it is."""
    return {f"{name}.{key}": text for name in SCORERS for key, text in scorer(name).measures.items()}


def rounded(values: Mapping[str, float | None]) -> Scores:
    """Numbers to five digits, None for what is not finite, ready for JSON."""
    return {
        key: None if value is None or not np.isfinite(value) else float(f"{value:.5g}") for key, value in values.items()
    }
