"""Vivant brings one still image to life.

``vivant.animate("face.jpg", driving="talk.mp4").save("out.mp4")`` is the shortest way; ``vivant.load(...)``
keeps a method in memory for many portraits. Importing this package is quick: torch and friends load on the
first use.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vivant.pipelines.animate import animate
    from vivant.pipelines.edit import edit
    from vivant.pipelines.load import Pipeline, load

try:
    __version__ = version("vivant")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"

__all__ = ["Pipeline", "__version__", "animate", "edit", "load"]

_HOME = {
    "animate": ("vivant.pipelines.animate", "animate"),
    "edit": ("vivant.pipelines.edit", "edit"),
    "load": ("vivant.pipelines.load", "load"),
    "Pipeline": ("vivant.pipelines.load", "Pipeline"),
}


def __getattr__(name: str) -> Any:
    """Import the public functions when they are first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'vivant' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
