"""The options of a recipe's ``samples``: what the class that loads a method's samples takes, by name and type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from vivant.core.errors import ConfigError
from vivant.core.whole import MOST
from vivant.pipelines.options import unknown

FACE_CLIPS = "vivant.data.dataset:FaceClips"
"""What a method learns from unless its ``train.py`` names another class by ``SAMPLES = "module:Class"``. The class has
``load(folder, device, split, groups=, seed=, workers=, **options)`` and answers to
:class:`vivant.training.protocol.Samples`."""
_OF_THE_RUN = ("folder", "device", "split", "groups", "seed", "workers")
"""Arguments of ``load`` that the run itself gives."""
_TYPES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "int": (
        lambda value: isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST,
        f"a whole number from 0 to {MOST}",
    ),
    "bool": (lambda value: isinstance(value, bool), "true or false"),
    "str": (lambda value: isinstance(value, str), "text"),
    "Sequence[str]": (
        lambda value: isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value),
        "a list of names",
    ),
}


def loader(teacher: Any) -> Callable[..., Any]:
    """``load`` of the class of samples that a method's ``train.py`` names."""
    module, _, kind = getattr(teacher, "SAMPLES", FACE_CLIPS).partition(":")
    found: Callable[..., Any] = getattr(import_module(module), kind).load
    return found


def check_samples(load: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that ``load`` does not take, and values of another type than it says.

    Raises:
        ConfigError: an unknown option or such a value.
    """
    taken = inspect.signature(load).parameters.values()
    known = {item.name: item for item in taken if item.name not in _OF_THE_RUN and item.kind is not item.VAR_KEYWORD}
    handed_on = any(item.kind is item.VAR_KEYWORD for item in taken)  # to something else, which checks them
    for name, value in options.items():
        if name not in known:
            if handed_on:
                continue
            raise unknown("option of the recipe's samples", str(name), known)
        kind = str(known[name].annotation)
        if value is None and kind.endswith(" | None"):
            continue
        fits, what = _TYPES.get(kind.removesuffix(" | None"), (lambda _: True, ""))
        if not fits(value):
            raise ConfigError(f"The option '{name}' of the recipe's samples is {value!r:.60}: give {what}.")
