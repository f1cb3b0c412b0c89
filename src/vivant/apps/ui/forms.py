"""Forms made from a method's spec and dataclasses: what a method can do appears in the page by existing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from itertools import groupby
from typing import Any, Literal, get_args, get_origin

import gradio as gr

from vivant.core.spec import MethodSpec
from vivant.pipelines.options import PUBLIC_NAMES, SEED, build_options, option_types, scalar

OPTION, STRENGTH, SLIDER = "options", "strength", "sliders"
"""Groups of a form, named as the words of a job."""
STRENGTH_RANGE = (0.0, 3.0)
NARROW = 220
"""Pixels under which inputs of one row go below each other."""


def words(name: str) -> str:
    """A field's name as a label: ``"eyes_ratio"`` -> "Eyes ratio"."""
    return name.replace("_", " ").capitalize()


@dataclass
class MethodForm:
    """Components of one method by (group, name), with the values that mean "leave it as it is"."""

    spec: MethodSpec
    components: dict[tuple[str, str], Any] = field(default_factory=dict)
    usual: dict[tuple[str, str], Any] = field(default_factory=dict)

    def _add(self, group: str, name: str, component: Any, usual: Any) -> None:
        self.components[group, name] = component
        self.usual[group, name] = usual

    def add_options(self) -> None:
        """Options and strengths, made where the page is being built."""
        config = self.spec.part("config")
        types = option_types(config.Options)
        for item in fields(config.Options):
            public = PUBLIC_NAMES.get(item.name, item.name)
            if item.name not in ("sliders", SEED):
                component = _component(item, scalar(types[item.name]), words(public))
                self._add(OPTION, public, component, item.default)
        for name, text in self.spec.strengths.items():
            low, high = STRENGTH_RANGE
            slider = gr.Slider(low, high, 1.0, step=0.05, label=f"Strength of {name}", info=text, min_width=NARROW)
            self._add(STRENGTH, name, slider, 1.0)

    def add_sliders(self) -> None:
        """Sliders, under a heading for each part of the face."""
        kind = self.spec.part("config").Sliders
        items = sorted(fields(kind), key=lambda item: _PARTS.index(_part(item)))
        for part, members in groupby(items, _part):
            with gr.Accordion(part.capitalize(), open=True), gr.Row(elem_classes="vivant-grid"):
                for item in members:
                    self._add(SLIDER, item.name, _component(item, float, words(item.name)), item.default)

    def changed(self, values: Mapping[tuple[str, str], Any], *groups: str) -> dict[str, dict[str, Any]]:
        """What differs from the usual values, by group: the words of a job. ``values``: of every component."""
        found: dict[str, dict[str, Any]] = {group: {} for group in groups}
        for (group, name), usual in self.usual.items():
            value = values[group, name]
            if group in groups and value not in (None, "") and value != usual:
                found[group][name] = value
        return {group: row for group, row in found.items() if row}

    def filled(self, row: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
        """The value of every component for the words of a job.

        Raises:
            ConfigError: an unknown name, or a value out of range.
        """
        given = {group: dict(row.get(group) or {}) for group in (OPTION, SLIDER, STRENGTH)}
        build_options(self.spec, given[OPTION], given[SLIDER], given[STRENGTH])
        found = {(group, name): given[group].get(name, usual) for (group, name), usual in self.usual.items()}
        return {key: "" if value is None else value for key, value in found.items()}


_PARTS = ("head", "gaze", "eyes", "brows", "smile", "lips", "other")


def _part(item: Field[Any]) -> str:
    part = item.metadata.get("part", "other")
    return part if part in _PARTS else "other"


def _component(item: Field[Any], kind: Any, label: str) -> Any:
    """An input for one field: a switch, a choice, a slider where it has a range and a value, else text or a number."""
    usual: Any = item.default
    how: dict[str, Any] = {"label": label, "info": item.metadata.get("help", ""), "min_width": NARROW}
    if kind is bool:
        return gr.Checkbox(usual, **how)
    if get_origin(kind) is Literal:
        return gr.Dropdown(list(get_args(kind)), value=usual, **how)
    low, high = item.metadata.get("range", (None, None))
    if usual is None:  # a number field would show 0, which is not "leave it"
        how["info"] += f"; {low:g} to {high:g}" if low is not None and high is not None else ""
        return gr.Textbox("", placeholder="as it is", **how)
    if low is None or high is None or high - low > 1000:
        return gr.Number(usual, precision=0 if kind is int else None, **how)
    step = 1 if kind is int or high - low > 20 else 0.01
    return gr.Slider(low, high, usual, step=step, **how)
