"""Labelled attributes of a face (emotions and the like) as text: ``happy=0.8,intensity=1``."""

from __future__ import annotations

from collections.abc import Sequence

from vivant.core.errors import ConfigError


def parse_attributes(text: str, names: Sequence[str], where: str = "") -> list[float]:
    """Values in 0..1 in the order of ``names``; 0 for what ``text`` does not name, 1 for a name without a value.

    ``where``: begins the messages, for labels in files.

    Raises:
        ConfigError: a name that is not among ``names``, or a value that is no number in 0..1.
    """
    begin = f"{where}: " if where else ""
    values = dict.fromkeys(names, 0.0)
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, number = (part.strip() for part in pair.partition("="))
        if name not in values:
            known = ", ".join(names) or "none: these weights were trained without attributes"
            raise ConfigError(f"{begin}There is no attribute '{name}'; known: {known}.")
        try:
            value = float(number) if equals else 1.0
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise ConfigError(f"{begin}The attribute '{name}' is '{number}': give a number from 0 to 1.")
        values[name] = value
    return list(values.values())
