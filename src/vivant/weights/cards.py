"""What weights are: a short record in memory, and a model card in Markdown beside the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from vivant.core.errors import WeightsError
from vivant.core.text import read_text

_FENCE = "---\n"


@dataclass(frozen=True)
class WeightsInfo:
    """Which weights are loaded. ``name``: preset or given name; ``files``: SHA-256 by path, empty for random weights;
    ``licence``: SPDX name or a phrase; ``source``: where they come from."""

    name: str
    files: dict[str, str]
    licence: str
    source: str


@dataclass(frozen=True)
class ModelCard:
    """The front matter of a model card.

    ``name``: of the weights. ``method``, ``preset``: what loads them. ``licence``: SPDX name of the weights.
    ``summary``: one or two sentences. ``data``: every source of training data with its licence. ``recipe``: how they
    were trained, a file name or a command. ``metrics``: measured numbers by name. ``limits``: what they cannot do.
    ``sha256``: of the weights file.
    """

    name: str
    method: str
    preset: str
    licence: str
    summary: str = ""
    data: list[str] = field(default_factory=list)
    recipe: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    limits: list[str] = field(default_factory=list)
    sha256: str = ""


def card_path(weights: str | Path) -> Path:
    """Where the card of a weights file lies: the same name ending in ``.md``."""
    return Path(weights).with_suffix(".md")


def write_card(card: ModelCard, weights: str | Path) -> Path:
    """Write ``card`` beside ``weights``: YAML front matter for machines, the same as text for people."""
    path = card_path(weights)
    front = yaml.safe_dump(asdict(card), sort_keys=False, allow_unicode=True, width=100)
    path.write_text(f"{_FENCE}{front}{_FENCE}\n{_body(card)}", encoding="utf-8")
    return path


def read_card(weights: str | Path) -> ModelCard:
    """The card beside ``weights``.

    Raises:
        WeightsError: there is none, it is not UTF-8, or its front matter is not a card.
    """
    path = card_path(weights)
    if not path.is_file():
        raise WeightsError(f"There is no model card {path}: expected beside the weights.")
    text = read_text(path, "The model card", WeightsError)
    try:
        found = yaml.safe_load(text.split(_FENCE, 2)[1])
        return ModelCard(**_known(found))
    except (IndexError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise WeightsError(f"The front matter of {path} is not a model card: write it anew.") from error


def _known(found: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(ModelCard)}
    return {key: value for key, value in found.items() if key in names}


def _body(card: ModelCard) -> str:
    parts = [f"# {card.name}", card.summary, f"Licence: {card.licence}. Method: {card.method}, preset {card.preset}."]
    parts += [_section("Training data", card.data), _section("Recipe", [card.recipe] if card.recipe else [])]
    rows = "\n".join(f"| {name} | {value:g} |" for name, value in card.metrics.items())
    parts.append(f"## Measured\n\n| metric | value |\n|---|---|\n{rows}" if rows else "")
    parts.append(_section("Limits", card.limits))
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: list[str]) -> str:
    return f"## {title}\n\n" + "\n".join(f"- {line}" for line in lines) if lines else ""
