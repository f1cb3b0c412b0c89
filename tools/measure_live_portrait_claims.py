"""Measure what LivePortrait claims of stitching and of the eye and lip nets, with the bundled weights.

    python tools/measure_live_portrait_claims.py STILLS DRIVERS docs

STILLS: folder of portraits (those whose number is 7 modulo 20 are held out of training and are used). DRIVERS: folder
of clips with turning heads. Writes ``docs/results/live_portrait_{eyes,lips,stitching}.json`` and the plot
``docs/images/live_portrait_openings.png``; then run ``vivant evaluate reproductions --update docs/reproductions.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from prepare_lite_data import held_out
from tqdm import tqdm

from vivant.controls.ratios import eye_ratios, lip_ratio
from vivant.metrics.reproductions import Result, write_result
from vivant.metrics.statistics import bootstrap, mean_of
from vivant.metrics.timing import machine
from vivant.perception.faces import FaceFinder
from vivant.pipelines.load import Pipeline, load

ASKED = {"eyes": (0.0, 0.1, 0.2, 0.3, 0.4), "lips": (0.0, 0.15, 0.3, 0.45, 0.6)}
SLIDERS = {"eyes": "eyes_ratio", "lips": "lip_ratio"}
COMMAND = "python tools/measure_live_portrait_claims.py STILLS DRIVERS docs"


def sweep(pipe: Pipeline, finder: FaceFinder, still: Path, part: str) -> np.ndarray | None:
    """(len(ASKED), 2) opening ratios of eyes and lips measured on the results; None if a result shows no face."""
    rows = []
    for asked in ASKED[part]:
        faces = finder.find(pipe.edit(still, sliders={SLIDERS[part]: asked}))
        if not faces:
            return None
        rows.append((float(eye_ratios(faces[0].landmarks).mean()), lip_ratio(faces[0].landmarks)))
    return np.array(rows)


def number(values: Sequence[float], unit: str = "") -> dict[str, Any]:
    """Mean over stills with its bootstrap interval."""
    found = bootstrap(np.array(values, np.float64).reshape(-1, 1), mean_of)
    row = {name: round(getattr(found, name), 4) + 0.0 for name in ("value", "low", "high")}  # + 0.0: no -0.0
    return row | ({"unit": unit} if unit else {})


def openings(part: str, sweeps: Sequence[np.ndarray]) -> dict[str, dict[str, Any]]:
    """Correlation and slope of the measured on the asked opening, and how much the other part moves with it."""
    column = 0 if part == "eyes" else 1
    asked = np.array(ASKED[part])
    mine, other = (np.stack([rows[:, i] for rows in sweeps]) for i in (column, 1 - column))
    name, others = ("eye", "lip") if part == "eyes" else ("lip", "eye")
    return {
        f"{name} correlation": number([float(np.corrcoef(asked, row)[0, 1]) for row in mine]),
        f"{name} gain": number([float(np.polyfit(asked, row, 1)[0]) for row in mine]),
        f"{others} change over {name} change": number((np.ptp(other, 1) / np.ptp(mine, 1)).tolist()),
    }


def shoulder_motion(pipe: Pipeline, finder: FaceFinder, still: Path, driver: Path, stitching: bool) -> float:
    """Mean absolute change of pixels below the chin from the undriven result, in percent of the range."""
    rest = pipe.edit(still, crop_only=True)
    face = finder.find(rest)[0]
    below = int(face.box[3] + 0.08 * face.size)
    result = pipe.animate(still, driver, crop_only=True, relative=True, stitching=stitching)
    parts = [np.abs(frame[below:].astype(int) - rest[below:]).mean() for frame in result.frames]
    return float(100 * np.mean(parts) / 255)


def draw(sweeps: dict[str, list[np.ndarray]], path: Path) -> None:
    """Asked against measured openings, a thin line a still."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, part in enumerate(ASKED):
        axes = figure.add_subplot(1, 2, place + 1)
        for column, colour, label in ((0, "tab:blue", "eyes"), (1, "tab:red", "lips")):
            lines = np.stack([rows[:, column] for rows in sweeps[part]])
            axes.plot(ASKED[part], lines.T, color=colour, linewidth=0.4, alpha=0.5)
            axes.plot(ASKED[part], lines.mean(0), color=colour, linewidth=2, label=f"{label}, measured")
        axes.plot(ASKED[part], ASKED[part], color="0.6", linestyle="--", label="asked")
        axes.set_xlabel(f"asked opening of the {part} (over width)")
        axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)


def measure_openings(pipe: Pipeline, finder: FaceFinder, stills: Sequence[Path], docs: Path, hardware: str) -> None:
    """Eyes and lips by their sliders; writes two results and the plot."""
    sweeps: dict[str, list[np.ndarray]] = {part: [] for part in ASKED}
    for part, found in sweeps.items():
        for still in tqdm(stills, desc=part, file=sys.stderr):
            rows = sweep(pipe, finder, still, part)
            found += [rows] if rows is not None else []
        setting = f"preset lite, bundled weights, {len(found)} held-out stills"
        plot = "images/live_portrait_openings.png"
        result = Result(f"live-portrait-{part}", setting, openings(part, found), COMMAND, hardware, plot)
        write_result(docs / "results" / f"live_portrait_{part}.json", result)
    draw(sweeps, docs / "images" / "live_portrait_openings.png")


def measure_stitching(
    pipe: Pipeline, finder: FaceFinder, stills: Sequence[Path], drivers: Sequence[Path], docs: Path, hardware: str
) -> None:
    """Shoulders with and without stitching; writes one result."""
    moved: dict[bool, list[float]] = {True: [], False: []}
    pairs = [(still, drivers[i % len(drivers)]) for i, still in enumerate(stills)]
    for still, driver in tqdm(pairs, desc="stitching", file=sys.stderr):
        for stitching, values in moved.items():
            values.append(shoulder_motion(pipe, finder, still, driver, stitching))
    numbers = {
        f"shoulder motion {word}": number(moved[on], "% of range") for on, word in ((True, "with"), (False, "without"))
    }
    numbers["with over without"] = number([a / b for a, b in zip(moved[True], moved[False])])
    setting = f"preset lite, bundled weights, {len(stills)} held-out stills by {len(drivers)} clips of turning heads"
    result = Result("live-portrait-stitching", setting, numbers, COMMAND, hardware)
    write_result(docs / "results" / "live_portrait_stitching.json", result)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("stills", type=Path)
    parser.add_argument("drivers", type=Path)
    parser.add_argument("docs", type=Path)
    parser.add_argument("--limit", type=int, default=24, help="stills for eyes and lips (default: 24)")
    parser.add_argument("--pairs", type=int, default=12, help="stills for stitching, each by one driver (default: 12)")
    parser.add_argument("--only", choices=("openings", "stitching"), help="measure only one of both")
    args = parser.parse_args()
    stills = [path for path in sorted(args.stills.glob("*.jpg")) if held_out(path.stem)]
    drivers = [path for path in sorted(args.drivers.glob("*.mp4")) if held_out(path.stem)][:6]
    pipe, finder = load(dtype="fp32", device="cpu"), FaceFinder(threads=1)
    place = machine()
    hardware = f"{place['cores']} cores of an {place['cpu']}, torch {place['torch']}"
    if args.only != "stitching":
        measure_openings(pipe, finder, stills[: args.limit], args.docs, hardware)
    if args.only != "openings":
        measure_stitching(pipe, finder, stills[: args.pairs], drivers, args.docs, hardware)


if __name__ == "__main__":
    main()
