"""From what a person asked for to a method's own Options, checked name by name and range by range."""

from __future__ import annotations

import difflib
import math
import numbers
import typing
from collections.abc import Collection, Iterable, Mapping
from dataclasses import Field, fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from vivant.core.errors import ConfigError
from vivant.core.registry import default_method
from vivant.core.spec import MethodSpec
from vivant.core.whole import MOST, whole

STRENGTH_FIELDS = {"motion": "multiplier"}
"""Strength names whose option has a historic name; any other strength X sets the option ``strength_X``."""

_INPUTS = {
    "audio": ("speech", "there is none: add it with -a"),
    "driving": ("the driver", "there is none: add it with -d"),
    "keypoints": ("V-Kps", "there are none: add them with -k"),
}


def strength_field(name: str) -> str:
    """The field of the Options that a strength sets."""
    return STRENGTH_FIELDS.get(name, f"strength_{name}")


PUBLIC_NAMES = {"driving": "driving_option", "batch": "batch_size"}
"""Fields of a method's Options whose name means an input elsewhere -> the name people use."""


def option_types(kind: type) -> dict[str, Any]:
    """Type of every field of a dataclass, string annotations resolved."""
    return get_type_hints(kind)


def unknown(what: str, name: str, known: Iterable[str]) -> ConfigError:
    """The error for a name that does not exist, with the nearest that does."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(names) or 'none'}."
    return ConfigError(f"There is no {what} '{name}'.{hint}")


def scalar(kind: Any) -> Any:
    """The plain type behind ``X | None``."""
    if get_origin(kind) in (UnionType, typing.Union):
        return next(item for item in get_args(kind) if item is not NoneType)
    return kind


def checked(what: str, item: Field[Any], kind: Any, value: Any, name: str = "") -> Any:
    """``value`` as the field's type, within its declared range; ``name``: what people call the field.

    Raises:
        ConfigError: wrong type, not among the choices, not finite, or out of range.
    """
    kind, name = scalar(kind), name or PUBLIC_NAMES.get(item.name, item.name)
    if value is None and item.default is None:
        return None
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise unknown(f"{what} {name}", str(value), get_args(kind))
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"The {what} '{name}' is a switch: give true or false, not {value!r}.")
        return value
    if kind in (int, float):
        return _number(f"{what} '{name}'", item, kind, value)
    return value


def _number(what: str, item: Field[Any], kind: type, value: Any) -> float:
    usual = (-math.inf, math.inf)
    if kind is int:
        usual = (0, MOST_SEED) if item.name == SEED else (1, MOST)
    low, high = item.metadata.get("range", usual)
    try:
        number = whole(value) if kind is int else float(value)
    except (TypeError, ValueError, OverflowError):
        sort = "a whole number" if kind is int else "a number"
        raise ConfigError(f"The {what} needs {sort}, not {value!r:.60}.") from None
    if not math.isfinite(number) or not low <= number <= high:
        limit = f"from {low} to {high}" if high < math.inf else "that is finite"
        raise ConfigError(f"The {what} is {value!s:.60}: give a number {limit}.")
    return number


def checked_fields(what: str, kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` checked against the fields of dataclass ``kind``."""
    known = {item.name: item for item in fields(kind)}
    types = option_types(kind)
    for name in values:
        if name not in known:
            raise unknown(what, name, known)
    return {name: checked(what, known[name], types[name], value) for name, value in values.items()}


SEED = "seed"
"""Field of the Options of a method that draws by chance; the run's own seed fills it, so it is no option of its own."""

MOST_SEED = 2**32 - 1
"""Every source of chance here takes seeds up to this one, also where a seed is multiplied for each window."""


def check_seed(seed: int) -> int:
    """``seed``, if all sources of chance take it.

    Raises:
        ConfigError: it is negative, larger than :data:`MOST_SEED`, or no whole number.
    """
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed <= MOST_SEED:
        raise ConfigError(f"The seed {seed!r:.60} cannot be used: give a whole number from 0 to {MOST_SEED}.")
    return int(seed)


def build_options(
    spec: MethodSpec,
    values: Mapping[str, Any] | None = None,
    sliders: Mapping[str, Any] | None = None,
    strength: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Any:
    """The method's ``Options`` with ``values``, ``sliders``, ``strength`` and ``seed`` applied to its defaults.

    Raises:
        ConfigError: an unknown name or a value out of range; the message names the nearest or the range.
    """
    seed = check_seed(seed)
    config = spec.part("config")
    fields_of = {public: name for name, public in PUBLIC_NAMES.items()}
    chosen = {fields_of.get(name, name): value for name, value in (values or {}).items()}
    known, types = {item.name: item for item in fields(config.Options)}, option_types(config.Options)
    for name, value in (strength or {}).items():
        if name not in spec.strengths:
            raise unknown(f"strength of {spec.name}", name, spec.strengths)
        place = strength_field(name)
        chosen[place] = checked("strength", known[place], types[place], value, name)
    chosen.pop("sliders", None)
    options = config.Options(**checked_fields("option", config.Options, chosen))
    if SEED not in chosen and any(item.name == SEED for item in fields(config.Options)):
        options = replace(options, **{SEED: seed})
    if sliders:
        if not spec.capabilities.sliders:
            raise ConfigError(f"The method '{spec.name}' has no sliders: leave them out.")
        edits = checked_fields("slider", config.Sliders, sliders)
        options = replace(options, sliders=config.Sliders(**edits))
    return options


def idle_options(spec: MethodSpec, given: Collection[str]) -> dict[str, str]:
    """The fields of the Options that have nothing to act on, each with the input that it lacks. ``given``: the inputs
    there are, of "driving", "audio" and "keypoints"."""
    return {name: control for name, control in spec.acts_on.items() if control not in given}


def strength_of(spec: MethodSpec, place: str) -> str | None:
    """The strength whose option is the field ``place``, also one that is an option alone; None for other fields."""
    for name in spec.strengths:
        if strength_field(name) == place:
            return name
    return place.removeprefix("strength_") if place.startswith("strength_") else None


def ways_to_drive(spec: MethodSpec) -> str:
    """What drives a method, as "a, b, or c"."""
    takes = spec.capabilities
    names = {
        "a driving video or picture (-d)": takes.driving or takes.pose,
        # where no method is named, sound takes the one that listens
        "sound (-a)": takes.audio or spec.name == default_method(False),
        "sliders": takes.sliders,
    }
    *few, last = [name for name, taken in names.items() if taken]
    return f"{', '.join(few)}{',' * (len(few) > 1)} or {last}" if few else last


def check_acting(spec: MethodSpec, options: Any, given: Collection[str]) -> None:
    """Refuse options and strengths that would change nothing. ``given``: as :func:`idle_options`.

    Raises:
        ConfigError: one differs from what is usual, and the input that it acts on is not given.
    """
    for place, control in idle_options(spec, given).items():
        if getattr(options, place) == getattr(type(options)(), place):
            continue
        what, add = _INPUTS[control]
        name = strength_of(spec, place)
        if name is None:
            name = PUBLIC_NAMES.get(place, place)
            known = f"option '{name}'"
        else:
            known = f"strength '{name}'" + f" (option '{place}')" * (name in STRENGTH_FIELDS)
        raise ConfigError(f"The {known} acts on {what}, and {add} of vivant animate, or leave '{name}' out.")
