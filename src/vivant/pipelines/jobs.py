"""A wish as data: one animation that a list, a server or another machine asks for, and methods kept in memory for
many of them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from vivant.core.errors import ConfigError, MediaError
from vivant.core.registry import default_method, get_method
from vivant.pipelines.choose import parse_choice
from vivant.pipelines.inputs import as_fps, check_output
from vivant.pipelines.load import Pipeline, load
from vivant.pipelines.options import build_options, unknown

INPUTS = ("source", "driving", "audio", "keypoints")
LOADING = ("method", "preset", "weights", "device", "dtype", "seed", "lora", "backend")
SPEECH = ("text", "voice", "language")
GROUPS = ("options", "sliders", "strength")
SWITCHES = ("crop_only", "side_by_side", "match_color", "steady_eyes")
VIEW = (*SPEECH, "face", "driving_face", "fps", "reference", "quality", *SWITCHES)
FIELDS = (*INPUTS, *LOADING, *GROUPS, *VIEW, "output")
"""Words of a job; they mean what the arguments of :func:`vivant.animate` of that name mean."""


@dataclass(frozen=True)
class Job:
    """One animation. ``inputs``: path by role of :data:`INPUTS`; ``loading``: arguments of :func:`vivant.load`;
    ``view``: how it is shown and written; ``options``, ``sliders``, ``strength``: the method's own. ``output``: the
    file to write."""

    inputs: dict[str, str]
    output: str
    loading: dict[str, Any] = field(default_factory=dict)
    view: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    sliders: dict[str, Any] = field(default_factory=dict)
    strength: dict[str, float] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """Name of the method, the default for what drives where none is named."""
        heard = "audio" in self.inputs or "text" in self.view
        return self.loading.get("method") or default_method(heard and "driving" not in self.inputs)


@dataclass(frozen=True)
class Made:
    """What a job made: frames, seconds from start to finished file, and what a person should know."""

    frames: int
    seconds: float
    warnings: tuple[str, ...] = ()


def read_job(row: Any, known: Iterable[str] = FIELDS) -> Job:
    """A job from an object of :data:`FIELDS`, everything checked that can be without opening a file.

    ``known``: the words that may be used.

    Raises:
        ConfigError: an unknown word, a value that makes no sense, or no source or output.
    """
    if not isinstance(row, Mapping):
        raise ConfigError(f'A job is an object like {{"source": "face.jpg", "driving": "talk.mp4"}}, not {row!r:.60}.')
    for name in row:
        if name not in known:
            raise unknown("word of a job", str(name), known)
    given = {name: value for name, value in row.items() if value is not None}
    for name in (*INPUTS, *SPEECH, "output", "method", "preset", "weights", "device", "dtype", "backend"):
        if not isinstance(given.get(name, ""), str):
            raise ConfigError(f"The {name} of a job is text, not {given[name]!r:.60}.")
    for name in ("source", "output"):
        if not given.get(name):
            raise ConfigError(f"The job names no {name}: every job needs one.")
    job = Job(
        {name: given[name] for name in INPUTS if name in given},
        given["output"],
        {name: given[name] for name in LOADING if name in given},
        {name: given[name] for name in VIEW if name in given},
        *(_group(given, name) for name in GROUPS),
    )
    _check(job)
    return job


def _group(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    values = given.get(name, {})
    if not isinstance(values, Mapping):
        raise ConfigError(f"The {name} of a job are an object of names and values, not {values!r:.60}.")
    return dict(values)


def _check(job: Job) -> None:
    spec, view = get_method(job.method), job.view
    preset = job.loading.get("preset")
    if preset is not None and preset not in spec.part("config").PRESETS:
        raise unknown(f"preset of {spec.name}", preset, spec.presets)
    for name in SWITCHES:
        if not isinstance(view.get(name, False), bool):
            raise ConfigError(f"The switch {name} of a job is true or false, not {view[name]!r:.60}.")
    lora = job.loading.get("lora", ())
    if not isinstance(lora, list | tuple) or not all(isinstance(item, str) for item in lora):
        raise ConfigError(f"The lora of a job is a list of paths, not {lora!r:.60}.")
    for name, usual in (("seed", 0), ("quality", 18)):
        value = {**job.loading, **view}.get(name, usual)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(f"The {name} of a job is a whole number, not {value!r:.60}.")
    if not 0 <= view.get("quality", 18) <= 51:
        raise ConfigError(f"The quality {view['quality']} is out of range: give 0 (best, largest) to 51.")
    if not isinstance(view.get("reference", "first"), str | int):
        raise ConfigError("The reference of a job is first, auto or the number of a frame.")
    for name in ("face", "driving_face"):
        parse_choice(view.get(name, "largest"))
    as_fps(view.get("fps"))
    options = build_options(spec, job.options, job.sliders, job.strength, job.loading.get("seed", 0))
    from vivant.pipelines.animate import Request, require_control

    asked = Request(job.inputs["source"], job.inputs.get("driving"), options)
    asked.audio, asked.keypoints = job.inputs.get("audio", view.get("text")), job.inputs.get("keypoints")
    require_control(spec, asked, bool(job.sliders))


class Models:
    """Methods in memory, the last ``limit`` that were used; one process of a batch or a server has one."""

    def __init__(self, limit: int = 1) -> None:
        self.limit = limit
        self._kept: OrderedDict[str, Pipeline] = OrderedDict()

    def get(self, method: str, seed: int = 0, **loading: Any) -> Pipeline:
        """As :func:`vivant.load`; loaded once while it is kept.

        Raises:
            VivantError: as :func:`vivant.load`.
        """
        key = json.dumps({"method": method, **loading}, sort_keys=True, default=str)
        pipe = self._kept.pop(key, None)
        drawn = pipe is not None and not pipe.weights_info.files and pipe.seed != seed  # random nets are their seed's
        if pipe is None or drawn:
            while len(self._kept) >= self.limit:
                self._kept.popitem(last=False)
            pipe = load(method, seed=seed, **loading)
        self._kept[key] = pipe
        if pipe.seed == seed:
            return pipe
        import torch

        torch.manual_seed(seed)
        return replace(pipe, seed=seed)


def run_job(job: Job, models: Models) -> Made:
    """Do one job; its file appears whole or not at all, with a run record beside it.

    Raises:
        VivantError: an input cannot be used; the message is one sentence.
    """
    begin = time.perf_counter()
    inputs: dict[str, Any] = dict(job.inputs)
    check_output(job.output, inputs=tuple(inputs.values()))
    pipe = models.get(**{**job.loading, "method": job.method})
    view = {name: value for name, value in job.view.items() if name != "quality"}
    result = pipe.animate(
        inputs.pop("source"), inputs.pop("driving", None), **inputs, sliders=job.sliders, strength=job.strength,
        **view, **job.options,
    )  # fmt: skip
    result.save(job.output, job.view.get("quality", 18))
    frames = json.loads(Path(f"{job.output}.json").read_text(encoding="utf-8"))["output"]["frames"]
    return Made(int(frames), time.perf_counter() - begin, tuple(result.warnings))


def fingerprint(job: Job) -> str:
    """SHA-256 of all that shapes the result: every setting, the output's name, and the content of every input.

    Raises:
        MediaError: an input is not there.
    """
    content = {role: _content(path) for role, path in sorted(job.inputs.items())}
    settings = {**asdict(job), "inputs": content}
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def _content(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError as error:
        raise MediaError(f"There is no file '{path}': check the path.") from error
    return _hashed(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, changed: int) -> str:
    """SHA-256 of a file or folder, read once although many jobs share a driver."""
    from vivant.provenance.record import describe_input

    return str(describe_input(path)["sha256"])
