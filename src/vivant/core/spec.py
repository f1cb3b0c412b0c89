"""What a method says of itself, and where to find its parts (imported only when used)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType


@dataclass(frozen=True)
class Capabilities:
    """What a method can take and do; help, forms and contract tests are generated from it."""

    driving: bool = False
    audio: bool = False
    keypoints: bool = False
    pose: bool = False
    sliders: bool = False
    streams: bool = False
    trainable: bool = False


@dataclass(frozen=True)
class MethodSpec:
    """One animation method.

    ``name``: as typed on the command line. ``package``: the folder that holds config, model, prepare, generate, train
    and weights. ``presets``: names that ``config.PRESETS`` of the package defines. ``painter``: the method that makes
    pictures of this one's motion; empty where it makes its own. The Generator of a method that is painted is given the
    painter's as ``painter``, and its config says with ``painter_preset`` which. ``acts_on``: field of its Options ->
    the input, "driving", "audio" or "keypoints", without which it changes nothing; only where the method also works
    without that input.
    """

    name: str
    title: str
    summary: str
    paper: str
    package: str
    capabilities: Capabilities
    presets: tuple[str, ...]
    default_preset: str
    strengths: dict[str, str] = field(default_factory=dict)
    acts_on: dict[str, str] = field(default_factory=dict)
    painter: str = ""

    def part(self, file: str) -> ModuleType:
        """Import one file of the method: config, model, prepare, generate, train or weights."""
        return import_module(f"{self.package}.{file}")
