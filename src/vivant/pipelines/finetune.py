"""``vivant finetune``: a method learns one person from their own recording, in one command.

The recording is curated (shots, faces, people; ``vivant curate`` with the rules ``one-person``), exported as a data set
and trained on by the method's own recipe for that (``finetune`` in its ``train.py``), from the weights it ships.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from vivant.core.errors import ConfigError, MediaError
from vivant.core.registry import all_methods, get_method
from vivant.core.spec import MethodSpec
from vivant.pipelines.devices import pick_device
from vivant.pipelines.inputs import check_folder

DEFAULT = "live-portrait"
RULES = "one-person"
SCORERS = "faces,resolution,motion,identity"
GROUP = "person"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whose recording, which method, for how long."""
    parser.add_argument("clips", nargs="+", metavar="CLIP", help="recordings of one person: videos, or folders of them")
    parser.add_argument("-o", "--out", help="folder of data, log and weights (default: runs/<name of the first clip>)")
    parser.add_argument("--method", default=DEFAULT, metavar="NAME", help=f"method (default {DEFAULT})")
    parser.add_argument("--preset", metavar="NAME", help="preset (default: the method's own)")
    parser.add_argument("--init", default="shipped", metavar="FILE", help="weights to start from (default: shipped)")
    parser.add_argument("--steps", type=int, help="training steps (default: the method's)")
    parser.add_argument("--max-seconds", type=float, help="time budget of the training")
    parser.add_argument("--person", metavar="NAME", help="who, if several are seen (default: who is seen most)")
    parser.add_argument("--consent", default="", help="who agreed, and how; kept with the data")
    parser.add_argument("--licence", default="", help="licence of the recording; kept with the data")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings",
        help="change the recipe, as in vivant train: finetune.learning_rate=1e-5",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    parser.add_argument("--workers", type=int, help="processes that prepare the data (default: one a core)")
    parser.add_argument("--resume", action="store_true", help="go on where a stopped run was")
    parser.add_argument("--dry-run", action="store_true", help="prepare the data, say what the training needs, leave")


def run(args: argparse.Namespace) -> int:
    """Data, recipe, training; says how the result is used. Returns 0, or 3 if it was asked to stop."""
    numbers = [value for value in (args.steps, args.max_seconds, args.workers) if value is not None]
    if not all(value > 0 for value in numbers):  # also what is no number
        raise ConfigError("--steps, --max-seconds and --workers must be more than 0.")
    pick_device(args.device)
    spec = get_method(args.method)
    config, recipe = recipe_of(spec, args.preset or spec.default_preset)
    out = Path(args.out or Path("runs") / Path(args.clips[0]).stem)
    if args.init != "shipped" and not Path(args.init).exists():
        raise ConfigError(f"There are no weights {args.init} to start from: check the path of --init.")
    check_folder(out)
    data, run_folder = out / "data", out / "run"
    if not args.resume and not args.dry_run and any(run_folder.glob("*/checkpoints/latest")):
        raise ConfigError(f"{out} holds a run already: go on with --resume, or choose another --out.")
    if not (data / "manifest.jsonl").is_file() or not args.resume:
        make_data(args, out, data, config.output_size)
    path = out / "recipe.yaml"
    text = {**recipe, "init": args.init, "data": str(data)}
    path.write_text(yaml.safe_dump(text, sort_keys=False, allow_unicode=True), encoding="utf-8")
    code = _train(args, path, run_folder)
    if code == 0 and not args.dry_run:
        _tell(spec, recipe["preset"], run_folder)
    return code


def recipe_of(spec: MethodSpec, preset: str) -> tuple[Any, dict[str, Any]]:
    """The configuration of a preset, and the method's recipe for one person.

    Raises:
        ConfigError: no such preset, or the method has no such recipe.
    """
    presets = spec.part("config").PRESETS
    if preset not in presets:
        raise ConfigError(f"There is no preset '{preset}' of {spec.name}: use one of {sorted(presets)}.")
    make = getattr(spec.part("train"), "finetune", None) if spec.capabilities.trainable else None
    if make is None:
        learners = [each for each in all_methods().values() if each.capabilities.trainable]
        able = [each.name for each in learners if hasattr(each.part("train"), "finetune")]
        raise ConfigError(f"{spec.name} has no recipe for one person's clip: use {' or '.join(able)}, or vivant train.")
    config = presets[preset]
    return config, {"method": spec.name, "preset": preset, **make(config, GROUP)}


def make_data(args: argparse.Namespace, out: Path, data: Path, size: int) -> None:
    """Curate the recordings into a data set of one person.

    Raises:
        ConfigError, MediaError: nothing of them can be learned from; the message says where the reasons are.
    """
    from vivant.data.manifest import read_manifest, write_manifest
    from vivant.pipelines import curate

    parser = argparse.ArgumentParser()
    curate.add_arguments(parser)
    words = ["run", *args.clips, "--work", str(out / "curation"), "--out", str(data), "--rules", RULES]
    words += ["--scorers", SCORERS, "--size", str(size), "--group", GROUP, "--masks", "none", "--shortest", "1"]
    words += [f"--{name}={value}" for name in ("consent", "licence") if (value := getattr(args, name))]
    words += ["--workers", str(args.workers)] if args.workers else []
    curate.run(parser.parse_args(words))
    report = out / "curation" / "report.html"
    rows = read_manifest(data) if (data / "manifest.jsonl").is_file() else []
    if not rows:
        raise MediaError(f"Nothing of the recording can be learned from: the reasons are in {report}.")
    frames: Counter[str] = Counter()
    for row in rows:
        frames[row.person] += row.frames
    person = args.person or frames.most_common(1)[0][0]
    if person not in frames:
        raise ConfigError(f"Nobody is called '{person}' in the recording: {report} shows {', '.join(frames)}.")
    write_manifest(data, [row for row in rows if row.person == person])
    others = f"; left out: {', '.join(name for name in frames if name != person)}" if len(frames) > 1 else ""
    print(f"Learning {person}: {frames[person]} frames{others}.")


def _train(args: argparse.Namespace, recipe: Path, out: Path) -> int:
    from vivant.pipelines import train

    words = ["--recipe", str(recipe), "--out", str(out), "--device", args.device]
    words += [word for text in args.settings for word in ("--set", text)]
    words += ["--set", f"stage.steps={args.steps}"] if args.steps is not None else []
    words += ["--max-seconds", str(args.max_seconds)] if args.max_seconds is not None else []
    words += ["--workers", str(args.workers)] if args.workers else []
    words += [flag for flag in ("--resume", "--dry-run") if getattr(args, flag[2:].replace("-", "_"))]
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return train.run(parser.parse_args(words))


def _tell(spec: MethodSpec, preset: str, out: Path) -> None:
    """How the result is used."""
    from vivant.pipelines.trained import LORA, WEIGHTS

    drive = "-a speech.wav" if spec.capabilities.audio else "-d talk.mp4"
    how = f"--lora {out / LORA}" if (out / LORA).is_dir() else f"--weights {out / WEIGHTS}"
    print(f"vivant animate -s face.jpg {drive} --method {spec.name} --preset {preset} {how}")
