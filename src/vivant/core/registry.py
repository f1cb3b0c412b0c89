"""Methods appear here by existing: every package under ``vivant.methods`` that defines ``SPEC``, and every entry point
of the group ``vivant.methods`` that other distributions register."""

from __future__ import annotations

import difflib
import pkgutil
from importlib import import_module
from importlib.metadata import entry_points

from vivant.core.errors import ConfigError
from vivant.core.spec import MethodSpec

GROUP = "vivant.methods"
DEFAULT_METHOD = "live-portrait"
DEFAULT_SPEECH_METHOD = "speech-portrait"
"""The method for sound alone."""


def all_methods() -> dict[str, MethodSpec]:
    """Every known method by name, in alphabetical order."""
    root = import_module(GROUP)
    found: dict[str, MethodSpec] = {}
    for module in pkgutil.iter_modules(root.__path__, f"{GROUP}."):
        spec = getattr(import_module(module.name), "SPEC", None)
        if spec is not None:
            found[spec.name] = spec
    for entry in entry_points(group=GROUP):
        spec = entry.load()
        found[spec.name] = spec
    return dict(sorted(found.items()))


def default_method(speech_alone: bool = False) -> str:
    """Name of the method that is used when none is asked for; ``speech_alone``: only sound drives."""
    return DEFAULT_SPEECH_METHOD if speech_alone else DEFAULT_METHOD


def get_method(name: str = DEFAULT_METHOD) -> MethodSpec:
    """The method called ``name``.

    Raises:
        ConfigError: no such method; the message names the known ones and the nearest.
    """
    methods = all_methods()
    if name in methods:
        return methods[name]
    near = difflib.get_close_matches(name, methods, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise ConfigError(f"There is no method '{name}'; known methods: {', '.join(methods)}.{hint}")
