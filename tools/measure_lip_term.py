"""Train LivePortrait's lip net twice, with the term on the lips' opening and without it, and measure both.

    python tools/prepare_lite_data.py SOURCES DATA --groups still
    python tools/measure_lip_term.py DATA STILLS docs

The nets of stage I and the eye and stitching nets are the bundled ones of `lite`; the lip net starts anew, from the
same numbers both times. The stage is `lips` with the steps and batch of ``recipes/live_portrait/lite.yaml``, on stills
alone. 200 steps of batch 4 are too few to judge by: the net then opens all lips alike.
STILLS: folder of portraits (those held out of training are measured). Writes
``docs/results/live_portrait_lip_term.json`` and ``docs/images/live_portrait_lip_term.png``; then run
``vivant evaluate reproductions --update docs/reproductions.md``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from measure_live_portrait_claims import ASKED, number, sweep
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.data.dataset import FaceClips
from vivant.methods.live_portrait.model import build_modules
from vivant.methods.live_portrait.train import STAGES, Objective
from vivant.methods.live_portrait.weights import describe, load_modules, save_modules
from vivant.metrics.reproductions import Result, write_result
from vivant.metrics.timing import machine
from vivant.perception.faces import FaceFinder
from vivant.pipelines.load import load
from vivant.training.loop import Trainer
from vivant.training.options import LoopOptions
from vivant.weights.modules import seeded

NET = "retarget_mouth"
COMMAND = "python tools/measure_lip_term.py DATA STILLS docs"
NOTE = (
    "The last layer of the net starts at zero, as always. Without the term the other terms are zero there, too, and so "
    "are the gradients: that half holds by construction."
)


def train(samples: FaceClips, term: bool, args: argparse.Namespace, out: Path) -> Path:
    """The weights file of a run of stage II's ``lips`` from a fresh lip net, with or without the term."""
    modules, config, _ = load_modules("lite")
    with seeded(0):
        fresh = build_modules(config)
    retargeting = modules["stitching_retargeting_module"]
    retargeting.get_submodule(NET).load_state_dict(
        fresh["stitching_retargeting_module"].get_submodule(NET).state_dict()
    )
    change = {"steps": args.steps, "batch": args.batch, "mix": dict.fromkeys(STAGES["lips"].mix, 0.0) | {"still": 1.0}}
    stage = STAGES["lips"].changed(change | ({} if term else {"loss_weights": {"condition": 0.0}}))
    options = LoopOptions(seed=0, precision="bf16", tracker="none")
    outcome = Trainer(modules, config, stage, Objective, samples, out, args.device, options).run(False)
    return save_modules(outcome.modules, out / "weights.safetensors", describe("lite", config))


def measure(weights: Path, stills: Sequence[Path], name: str) -> np.ndarray:
    """(stills, len(ASKED)) lip openings measured on the results."""
    pipe, finder = load(weights=weights, preset="lite", dtype="fp32", device="cpu"), FaceFinder(threads=1)
    rows = [sweep(pipe, finder, still, "lips") for still in tqdm(stills, desc=name, file=sys.stderr)]
    return np.stack([row[:, 1] for row in rows if row is not None])


def gains(openings: np.ndarray) -> list[float]:
    """Slope of the measured on the asked opening, one a still; without the first, 0, where the slider leaves closed
    lips alone whatever the net says."""
    return [float(np.polyfit(ASKED["lips"][1:], row[1:], 1)[0]) for row in openings]


def draw(found: dict[str, np.ndarray], path: Path) -> None:
    """Asked against measured openings, a thin line a still."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for (name, lines), colour in zip(found.items(), ("tab:blue", "tab:red")):
        axes.plot(ASKED["lips"], lines.T, color=colour, linewidth=0.4, alpha=0.5)
        axes.plot(ASKED["lips"], lines.mean(0), color=colour, linewidth=2, label=f"{name} the lip term")
    axes.plot(ASKED["lips"], ASKED["lips"], color="0.6", linestyle="--", label="asked")
    axes.set_xlabel("asked opening of the lips (over width)")
    axes.set_ylabel("measured")
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def main() -> None:
    """Train twice, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="folder with manifest.jsonl")
    parser.add_argument("stills", type=Path, help="folder of portraits")
    parser.add_argument("docs", type=Path)
    parser.add_argument("--steps", type=int, default=390)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--limit", type=int, default=24, help="held-out stills to measure (default: 24)")
    parser.add_argument("--device", default="cpu", help="to train on: cpu (default) or cuda")
    args = parser.parse_args()
    stills = [path for path in sorted(args.stills.glob("*.jpg")) if held_out(path.stem)][: args.limit]
    samples = FaceClips.load(args.data, args.device, "train", groups=["still"], seed=0, workers=1, poses_per_still=1)
    found: dict[str, np.ndarray] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in ("with", "without"):
            out = Path(folder) / name
            found[name] = measure(train(samples, name == "with", args, out), stills, name)
    place = machine()
    trained_on = f"trained on an {torch.cuda.get_device_name()}, else " if args.device == "cuda" else ""
    result = Result(
        "live-portrait-lip-term",
        f"preset lite, bundled weights but for a fresh lip net, {args.steps} steps of batch {args.batch} on stills, "
        f"measured on {len(found['with'])} held-out stills",
        {f"lip gain {name}": number(gains(lines)) for name, lines in found.items()},
        f"{COMMAND} --steps {args.steps} --batch {args.batch} --limit {args.limit}",
        f"{trained_on}{place['cores']} cores of an {place['cpu']}, torch {place['torch']}",
        "images/live_portrait_lip_term.png",
        NOTE,
    )
    write_result(args.docs / "results" / "live_portrait_lip_term.json", result)
    draw(found, args.docs / "images" / "live_portrait_lip_term.png")


if __name__ == "__main__":
    main()
