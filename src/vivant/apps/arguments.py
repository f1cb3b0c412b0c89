"""Command line options made from a method's spec and dataclasses, so that help and checks never fall
behind."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Any, Literal, get_args, get_origin

from vivant.apps.aliases import OPTION_ALIASES, VALUE_ALIASES, spellings
from vivant.apps.download import add_gate_arguments, apply_gates
from vivant.core.errors import ConfigError
from vivant.core.spec import MethodSpec
from vivant.pipelines.options import PUBLIC_NAMES, SEED, option_types, scalar

OPTION, SLIDER, STRENGTH = "option.", "slider.", "strength."


def add_method_arguments(parser: argparse.ArgumentParser, spec: MethodSpec) -> None:
    """Options, strengths and sliders of a method, each with its range and default in the help."""
    config = spec.part("config")
    group = parser.add_argument_group(f"options of {spec.name}")
    types = option_types(config.Options)
    for item in fields(config.Options):
        if item.name not in ("sliders", SEED):
            _add_option(group, item, scalar(types[item.name]))
    for name, text in spec.strengths.items():
        _add_number(group, f"--strength.{name}", f"{STRENGTH}{name}", float, text)
    if spec.capabilities.sliders:
        sliders = parser.add_argument_group(f"sliders of {spec.name} (edits, added to the motion)")
        for item in fields(config.Sliders):
            _add_number(sliders, f"--slider.{item.name}", f"{SLIDER}{item.name}", float, _help(item))


def _add_option(group: Any, item: Field[Any], kind: Any) -> None:
    public = PUBLIC_NAMES.get(item.name, item.name)
    name = public.replace("_", "-")
    hidden = [text for alias in OPTION_ALIASES.get(item.name, ()) for text in spellings(alias)]
    shown, dest = [f"--{name}"], f"{OPTION}{public}"
    if kind is bool:
        _add(group, shown, hidden, dest, _help(item), action=argparse.BooleanOptionalAction)
        for spelling in (text.replace("--", "--no_", 1) for text in hidden):
            group.add_argument(
                spelling, dest=dest, action="store_false", default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
    elif get_origin(kind) is Literal:
        choices = get_args(kind)
        ours = VALUE_ALIASES.get(item.name, {})
        text = f"{_help(item)}: {', '.join(choices)}"
        _add(group, shown, hidden, dest, text, type=lambda word: ours.get(word, word), metavar="NAME")
    else:
        _add(group, shown, hidden, dest, _help(item), type=number(kind, f"--{name}"), metavar="N")


def _add(group: Any, shown: list[str], hidden: list[str], dest: str, text: str, **how: Any) -> None:
    group.add_argument(*shown, dest=dest, default=argparse.SUPPRESS, help=text, **how)
    others = [spelling for spelling in hidden if spelling not in shown]
    if others:
        group.add_argument(*others, dest=dest, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **how)


def _add_number(group: Any, flag: str, dest: str, kind: type, text: str) -> None:
    group.add_argument(flag, dest=dest, default=argparse.SUPPRESS, type=number(kind, flag), metavar="N", help=text)


def positive(flag: str) -> Callable[[str], float]:
    """A reader of whole numbers from 1 on."""
    read = number(int, flag)

    def read_positive(text: str) -> float:
        value = read(text)
        if value < 1:
            raise ConfigError(f"The option {flag} is {value}: give 1 or more.")
        return value

    return read_positive


def number(kind: type, flag: str) -> Callable[[str], float]:
    """A reader of numbers for argparse whose error names the option in one sentence."""
    whole = "whole " if kind is int else ""

    def read(text: str) -> float:
        try:
            value: float = kind(text)
        except ValueError:
            raise ConfigError(f"The option {flag} needs a {whole}number, not '{text}'.") from None
        return value

    return read


def _help(item: Field[Any]) -> str:
    """Help of a field with its range and default; percent signs doubled for argparse."""
    text = item.metadata.get("help", item.name.replace("_", " "))
    notes = []
    if "range" in item.metadata:
        low, high = item.metadata["range"]
        notes.append(f"{low} to {high}")
    if not isinstance(item.default, bool) and item.default is not None:
        notes.append(f"default {item.default}")
    return f"{text} ({', '.join(notes)})".replace("%", "%%") if notes else text.replace("%", "%%")


def collect(args: argparse.Namespace, prefix: str) -> dict[str, Any]:
    """Given values of one kind: ``collect(args, SLIDER)`` -> {"smile": 0.5}."""
    return {key.removeprefix(prefix): value for key, value in vars(args).items() if key.startswith(prefix)}


def add_loading_arguments(parser: argparse.ArgumentParser, spec: MethodSpec) -> None:
    """Which method, which weights, on what hardware."""
    group = parser.add_argument_group("method")
    group.add_argument("--method", default=spec.name, metavar="NAME", help=f"method (default {spec.name})")
    presets = ", ".join(spec.presets)
    group.add_argument("--preset", metavar="NAME", help=f"{presets} (default {spec.default_preset})")
    group.add_argument("--weights", metavar="PATH", help="weights file or folder instead of the preset's own")
    group.add_argument(
        "--lora", action="append", default=[], metavar="PATH[:STRENGTH]",
        help="low-rank addition to the weights, a file or folder; may be given several times",
    )  # fmt: skip
    group.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", default="auto", metavar="NAME", help="auto, fp32, fp16, bf16")
    group.add_argument(
        "--backend", default="torch", metavar="NAME", help="torch, or onnx with --weights FOLDER of vivant export"
    )
    add_gate_arguments(group)
    group.add_argument("--seed", default=0, type=number(int, "--seed"), metavar="N", help="random seed (default 0)")


def loading(args: argparse.Namespace) -> dict[str, Any]:
    """The keyword arguments of :func:`vivant.load` from the options above."""
    apply_gates(args)
    names = ("method", "preset", "weights", "device", "dtype", "seed", "lora", "backend")
    return {name: getattr(args, name) for name in names}
