"""Recipes: what a training run is made of, as one YAML file.

Keys: ``method`` (or another net that learns, :data:`vivant.pipelines.learners.NETS`), ``preset``, ``data`` (folder with
a manifest), ``groups`` (null for all), ``poses_per_still``, ``samples`` (options of what the method's samples are
loaded by), ``validation`` (split of the manifest, null for none), ``init`` (weights to start from, "shipped" for the
preset's own, null for a fresh start), ``seed``, ``precision`` (bf16, fp32, or auto: bf16 on a GPU), ``stages``: a list
of names of the method's stages, or of mappings with ``name``, an optional ``from`` (the stage it starts from), and
any setting of :class:`vivant.training.stage.Stage`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD
from vivant.core.text import read_text
from vivant.core.whole import MOST
from vivant.pipelines.options import MOST_SEED

if TYPE_CHECKING:
    from vivant.training.stage import Stage

EVERY_STAGE = "stage"
"""First word of a ``--set`` that means all stages of the recipe."""


@dataclass(frozen=True)
class Recipe:
    """A training run; see the module's text for the fields. ``stages`` are mappings until :meth:`resolve`."""

    method: str = DEFAULT_METHOD
    preset: str = "lite"
    data: str = ""
    groups: tuple[str, ...] | None = None
    poses_per_still: int = 0
    samples: Mapping[str, Any] = field(default_factory=dict)
    validation: str | None = None
    init: str | None = None
    seed: int = 0
    precision: str = "auto"
    stages: tuple[dict[str, Any], ...] = ()

    def resolve(self, known: Mapping[str, Stage]) -> list[Stage]:
        """The stages in full.

        Raises:
            ConfigError: an unknown stage or setting, or two stages of one name.
        """
        resolved = []
        for entry in self.stages:
            values = dict(entry)
            base = str(values.pop("from", values["name"]))
            if base not in known:
                raise ConfigError(f"The method has no stage '{base}': use one of {sorted(known)}.")
            resolved.append(known[base].changed(values))
        names = [stage.name for stage in resolved]
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"The recipe's stages are {names}: name at least one, and each only once.")
        return resolved


def check_losses(stages: Sequence[Stage], teacher: Any) -> None:
    """Refuse terms of the loss that a method's ``train.py`` does not know: those that its stages weigh, and those that
    it names in ``LOSSES`` besides. Of a method whose stages weigh nothing nothing is known.

    Raises:
        ConfigError: a stage weighs another term.
    """
    known = {term for stage in teacher.STAGES.values() for term in stage.loss_weights}
    terms = known | set(getattr(teacher, "LOSSES", ()))
    for stage in stages:
        strange = sorted(set(stage.loss_weights) - terms)
        if known and strange:
            raise ConfigError(f"Stage '{stage.name}': no loss is called '{strange[0]}': use {sorted(terms)}.")


def read_recipe(path: str | os.PathLike[str]) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: the file is missing, is not YAML, or has unknown keys.
    """
    file = Path(path)
    try:
        values = yaml.safe_load(read_text(file, "The recipe"))
    except yaml.YAMLError as error:
        raise ConfigError(f"The recipe {file} is not YAML ({' '.join(str(error).split())}).") from error
    if not isinstance(values, dict):
        raise ConfigError(f"The recipe {file} must be a mapping with keys such as preset, data and stages.")
    return make_recipe(values, str(file))


def make_recipe(values: Mapping[str, Any], where: str) -> Recipe:
    """A recipe from plain values; ``where`` is named in errors."""
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{where} has the unknown key '{unknown[0]}': use {sorted(known)}.")
    stages = values.get("stages") or []
    if not isinstance(stages, Sequence) or isinstance(stages, str):
        raise ConfigError(f"{where}: stages must be a list of names or mappings.")
    entries = tuple({"name": s} if isinstance(s, str) else s for s in stages)
    if any(not isinstance(s, dict) or "name" not in s for s in entries):
        raise ConfigError(f"{where}: every stage needs a name.")
    samples = values.get("samples") or {}
    if not isinstance(samples, Mapping):
        raise ConfigError(f"{where}: samples is {samples!r}, give a mapping of options, such as {{length: 12}}.")
    groups = values.get("groups")
    numbers = {key: _whole(values.get(key, 0), key, where) for key in ("seed", "poses_per_still")}
    clean = {**values, **numbers, "samples": samples, "stages": entries, "groups": tuple(groups) if groups else None}
    return Recipe(**clean)


def _whole(value: Any, key: str, where: str) -> int:
    most = MOST_SEED if key == "seed" else MOST
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise ConfigError(f"{where}: {key} is {value!r:.60}, give a whole number from 0 to {most}.")
    return value


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """Apply ``key=value``: a key of the recipe, ``samples.<option>``, or ``<stage>.<setting>[.<entry>]``, "stage" for
    all stages.

    Raises:
        ConfigError: no such key or stage, or a value that is not YAML.
    """
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
    stages = [dict(s) for s in recipe.stages]
    for text in settings:
        path, equals, right = text.partition("=")
        words = path.strip().split(".")
        if not equals or not all(words) or len(words) > 3:
            raise ConfigError(f"'{text}' is not a setting: write key=value, for example stage.steps=10.")
        try:
            value = yaml.safe_load(right)
        except yaml.YAMLError as error:
            raise ConfigError(f"'{text}': the value is not YAML.") from error
        if len(words) == 1:
            values[words[0]] = value
        elif words[0] == "samples" and len(words) == 2:
            values["samples"] = {**values["samples"], words[1]: value}
        else:
            _set_stage(stages, words, value)
    return make_recipe({**values, "stages": stages}, "The recipe with its settings")


def _set_stage(stages: list[dict[str, Any]], words: list[str], value: Any) -> None:
    chosen = [s for s in stages if words[0] in (EVERY_STAGE, s["name"])]
    if not chosen:
        raise ConfigError(f"The recipe has no stage '{words[0]}': it has {[s['name'] for s in stages]}.")
    for stage in chosen:
        if len(words) == 2:
            stage[words[1]] = value
        else:
            stage[words[1]] = {**stage.get(words[1], {}), words[2]: value}


def only_stage(recipe: Recipe, name: str) -> Recipe:
    """The recipe with one stage: its own of that name, else the method's."""
    own = tuple(s for s in recipe.stages if s["name"] == name)
    return replace(recipe, stages=own or ({"name": name},))


def write_resolved(path: Path, recipe: Recipe, stages: Sequence[Stage], extra: Mapping[str, str]) -> None:
    """Write the recipe with every setting of every stage; it can be read again with :func:`read_recipe`."""
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe)}
    values["groups"] = list(recipe.groups) if recipe.groups else None
    values["stages"] = [
        {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(stage).items()}
        | ({"from": entry["from"]} if "from" in entry else {})
        for stage, entry in zip(stages, recipe.stages)
    ]
    head = "".join(f"# {key}: {value}\n" for key, value in extra.items())
    path.write_text(head + yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
