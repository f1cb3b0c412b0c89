"""Measure Diffused Heads at lite scale: the paper's claims, drift over a minute, few steps against many.

    python tools/measure_diffused_heads.py claims TEST docs --weights FOLDER --out runs/claims
    python tools/measure_diffused_heads.py drift TEST docs --out runs/drift [--device cuda --workers 8]
    python tools/measure_diffused_heads.py steps TEST docs --out runs/steps

TEST: folder of `tools/talking_test_set.py`. FOLDER holds one file a variant (recipes/diffused_heads/claims.yaml),
`claims.safetensors`, `claims-motion0.safetensors` and so on; without --weights the bundled net is measured (drift,
steps). Clips are made and measured by `vivant evaluate method`, so a run that was stopped goes on. `claims` writes
`docs/results/diffused_heads_*.json` and `docs/images/diffused_heads_claims.png`; then run `vivant evaluate
reproductions --update docs/reproductions.md`. `drift` writes `docs/images/diffused_heads_drift.png` and
`diffused_heads_minute.jpg`; both others write a table into --out.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from vivant.apps.cli import main as vivant
from vivant.media.image import write_image
from vivant.media.video import open_clip
from vivant.metrics.probes.steadiness import SHARPNESS
from vivant.metrics.reproductions import Result, write_result
from vivant.metrics.results import write_json

Report = dict[str, Any]
VARIANTS = {
    "claims": "two motion frames, RGB, reach 2", "claims-motion0": "no motion frame",
    "claims-motion1": "one motion frame", "claims-reach0": "reach of the sound 0", "claims-reach1": "reach 1",
    "claims-grey": "grey motion frames",
}  # fmt: skip
CLAIM_METRICS = (
    "ofm", "ofm-published", "f-mse", "f-mse-published", "jitter", "flicker", "sync-c-lite", "sync-d-lite",
    "mouth-correlation", "fid-lite0", "fvd-lite0", "identity-distance-dlib", "faceless",
)  # fmt: skip
DRIFT_METRICS = ("identity-drift-dlib", "identity-distance-dlib", "sharpness-drift", "colour-drift", "ofm", "faceless")
STEP_METRICS = (
    "fvd-lite0", "fid-lite0", "sync-c-lite", "mouth-correlation", "mouth-gain", "identity-distance-dlib", "flicker",
    "ofm",
)  # fmt: skip
STEPS = {"8 steps": ("dpm-solver", 8), "100 steps": ("ddim", 100)}
RECIPE = Path(__file__).parents[1] / "recipes" / "diffused_heads" / "claims.yaml"
ENDS = 5  # seconds at the beginning and at the end of a clip that are told apart
COMMAND = "python tools/measure_diffused_heads.py claims TEST docs --weights FOLDER --out runs/claims"


def run(args: argparse.Namespace, name: str, metrics: Sequence[str], *words: str) -> Report:
    """Make and measure clips in ``args.out/name``; the report."""
    out = args.out / name
    fixed = ["--align", "face", "--size", "128", "--sheets", "4", "--device", args.device, "--dtype", args.dtype]
    fixed += ["--workers", str(args.workers), "--limit", str(args.limit)]
    given = ["--data", str(args.test), "--method", "diffused-heads", "--metrics", ",".join(metrics)]
    return evaluated(out, *given, *fixed, *words)


def evaluated(out: Path, *words: str) -> Report:
    """What `vivant evaluate method` reports in the folder ``out``, asked for by ``words``."""
    if vivant(["evaluate", "method", "--out", str(out), *words]):
        raise SystemExit(f"{out.name}: the run failed, see above.")
    return json.loads((out / "results.json").read_text(encoding="utf-8"))


def number(report: Report, metric: str) -> dict[str, Any]:
    """A metric of a run with its interval, as result files want it."""
    row = report["metrics"][metric]
    found = {key: round(row[key], 4) for key in ("value", "low", "high") if row.get(key) is not None}
    return found | ({"unit": row["unit"]} if row.get("unit") else {})


def claims(args: argparse.Namespace) -> None:
    """All variants on the same clips, one result for each claim, and the plot."""
    groups = ["--group", "speaker", "--group", "replay"]
    reports = {}
    for variant in VARIANTS:
        weights = args.weights / f"{variant}.safetensors"
        reports[variant] = run(args, variant, CLAIM_METRICS, "--preset", variant, "--weights", str(weights), *groups)
    base = reports["claims"]
    for claim, numbers in _claims(reports).items():
        name = claim.replace("diffused-heads-", "diffused_heads_").replace("-", "_")
        write_result(
            args.docs / "results" / f"{name}.json",
            Result(claim, _setting(base), numbers, COMMAND, _hardware(base), "images/diffused_heads_claims.png",
                   "; ".join(args.note or ())),
        )  # fmt: skip
    draw_claims(reports, args.docs / "images" / "diffused_heads_claims.png")


def _claims(reports: Mapping[str, Report]) -> dict[str, dict[str, dict[str, Any]]]:
    """{claim: its numbers}."""
    motion = {"2": "claims", "1": "claims-motion1", "0": "claims-motion0"}
    reach = {"with": "claims", "with 1": "claims-reach1", "without": "claims-reach0"}
    colours = {"grey": "claims-grey", "colour": "claims"}
    found: dict[str, dict[str, dict[str, Any]]] = {
        "diffused-heads-motion-frames": {
            f"{metric} with {count}": number(reports[variant], metric)
            for metric in ("ofm", "jitter", "f-mse", "ofm-published", "f-mse-published")
            for count, variant in motion.items()
        },
        "diffused-heads-neighbours": {
            f"{metric} {count}": number(reports[variant], metric)
            for metric in ("sync-c-lite", "sync-d-lite")
            for count, variant in reach.items()
        },
        "diffused-heads-grey": {
            f"{metric} {colour}": number(reports[variant], metric)
            for metric in ("fid-lite0", "fvd-lite0", "identity-distance-dlib")
            for colour, variant in colours.items()
        },
    }
    for metric in ("ofm", "jitter", "f-mse", "ofm-published", "f-mse-published"):
        truth = reports["claims"]["metrics"][metric].get("truth")
        if truth:
            found["diffused-heads-motion-frames"][f"{metric} of true clips"] = {"value": round(truth["value"], 4)}
    return found


def _setting(report: Report) -> str:
    stage = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["stages"][0]
    trained = f"each trained for {stage['steps']:,} steps"
    return f"presets claims and claims-* (64 px), {trained}; {report['clips']} held-out clips"


def _hardware(report: Report) -> str:
    place = report["machine"]
    return f"{place.get('accelerator', place['cpu'])}, torch {place['torch']}"


def draw_claims(reports: Mapping[str, Report], path: Path) -> None:
    """A row of bars with intervals for each number that the claims are about; dashed: the true clips."""
    figure, axes = _axes(1, 5, (15, 3.2))
    for place, metric in zip(axes, ("ofm", "jitter", "f-mse", "sync-c-lite", "fid-lite0")):
        rows = [number(report, metric) for report in reports.values()]
        for at, row in enumerate(rows):
            low, high = row.get("low", row["value"]), row.get("high", row["value"])
            place.barh(at, row["value"], color="0.6")
            place.plot([low, high], [at, at], color="tab:red", linewidth=1.5)
        truth = reports["claims"]["metrics"][metric].get("truth")
        if truth:
            place.axvline(truth["value"], color="0.2", linestyle="--", linewidth=1)
        place.set_yticks(
            range(len(rows)), list(VARIANTS.values()) if place is axes[0] else [""] * len(rows), fontsize=7
        )
        place.invert_yaxis()
        place.set_title(f"{metric} {rows[0].get('unit', '')}", fontsize=8)
        place.tick_params(labelsize=7)
    figure.savefig(path, dpi=90)


def drift(args: argparse.Namespace) -> None:
    """A minute of speech with the guard on and off: table and curves."""
    words = ["--group", "long", *_weights(args), *_frames(args)]
    reports = {
        name: run(args, name, DRIFT_METRICS, *words, "--set", f"guard={value}")
        for name, value in (("guard", "true"), ("no guard", "false"))
    }
    table(args.out / "drift.json", reports, DRIFT_METRICS)
    tell_ends(args.out)
    figure, axes = _axes(2, 1, (9, 5))
    shown = {
        "identity-distance-dlib": "identity distance from the portrait",
        SHARPNESS: "sharpness (log), from frame 1",
    }
    for name, colour in (("guard", "tab:blue"), ("no guard", "tab:red")):
        for place, (series, heading) in zip(axes, shown.items()):
            rows = [_series(file, series) for file in sorted((args.out / name / "clips").glob("*.npz"))]
            rows = [row - row[0] if series == SHARPNESS else row for row in rows if len(row)]
            for row in rows:
                place.plot(np.arange(len(row)), row, color=colour, linewidth=0.5, alpha=0.4)
            length = min(map(len, rows))
            mean = np.nanmean([row[:length] for row in rows], 0)
            place.plot(np.arange(length), mean, color=colour, linewidth=1.8, label=name)
            place.set_title(heading, fontsize=9, loc="left")
            place.legend(fontsize=8)
    axes[-1].set_xlabel("seconds")
    figure.savefig(args.docs / "images" / "diffused_heads_drift.png", dpi=90)
    draw_minutes(args.out, args.docs / "images" / "diffused_heads_minute.jpg")


def draw_minutes(out: Path, path: Path, every: int = 11, side: int = 160, fps: int = 25) -> None:
    """A row for each clip, with the guard above the same without: its frames after 1, 12, 23, ... seconds."""
    rows = []
    for film in sorted((out / "guard" / "generated").glob("*.mp4")):
        for name in ("guard", "no guard"):
            frames = open_clip(out / name / "generated" / film.name).frames
            seen = [frame for at, frame in enumerate(frames) if at % (every * fps) == fps]
            rows.append(np.hstack([cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in seen]))
    write_image(path, np.vstack(rows))


def tell_ends(out: Path) -> None:
    """Print and write how far a clip is from its beginning in the end: means over the first and last seconds."""
    rows: Report = {}
    for name in ("guard", "no guard"):
        for file in sorted((out / name / "clips").glob("*.npz")):
            distance, sharp = (_series(file, key) for key in ("identity-distance-dlib", SHARPNESS))
            if len(distance) < 2 * ENDS:
                continue
            found = {
                "identity distance, first": np.nanmean(distance[:ENDS]),
                "identity distance, last": np.nanmean(distance[-ENDS:]),
                "sharpness, last over first": np.exp(np.nanmean(sharp[-ENDS:]) - np.nanmean(sharp[:ENDS])),
            }
            rows[f"{name}: {file.stem}"] = {key: round(float(value), 3) for key, value in found.items()}
            print(f"{name}: {file.stem}: {rows[f'{name}: {file.stem}']}")
    write_json(out / "ends.json", {"seconds": ENDS, "rows": rows})


def _series(file: Path, name: str, fps: int = 25) -> np.ndarray:
    """Means over each second of a clip."""
    with np.load(file) as kept:
        values = kept[f"series:{name}"] if f"series:{name}" in kept.files else np.zeros(0)
    whole = values[: len(values) // fps * fps].reshape(-1, fps)
    return np.array([np.nanmean(row) if np.isfinite(row).any() else np.nan for row in whole])


def steps(args: argparse.Namespace) -> None:
    """The usual few steps against 100 of the same net: distances to the true clips and seconds a frame."""
    groups = ["--group", "speaker", "--group", "replay", *_weights(args), *_frames(args)]
    reports = {
        name: run(args, name.replace(" ", "_"), STEP_METRICS, *groups, "--set", f"sampler={sampler}",
                  "--set", f"steps={count}")
        for name, (sampler, count) in STEPS.items()
    }  # fmt: skip
    table(args.out / "steps.json", reports, STEP_METRICS)
    few, many = (report["metrics"]["fvd-lite0"]["value"] for report in reports.values())
    print(f"fvd-lite0 of few over many steps: {few / many:.3f}")


def _weights(args: argparse.Namespace) -> list[str]:
    return ["--weights", str(args.weights)] if args.weights else []


def _frames(args: argparse.Namespace) -> list[str]:
    return ["--frames", str(args.frames)] if args.frames else []


def table(path: Path, reports: Mapping[str, Report], metrics: Sequence[str]) -> None:
    """Print and write the numbers of runs side by side."""
    rows = {name: {metric: number(report, metric) for metric in metrics} for name, report in reports.items()}
    about = {name: report["about"].get("generated frames a second") for name, report in reports.items()}
    machine = next(iter(reports.values()))["machine"]
    write_json(path, {"rows": rows, "frames a second": about, "machine": machine})
    for metric in metrics:
        told = [f"{name} {row[metric].get('value')} {_interval(row[metric])}" for name, row in rows.items()]
        print(f"{metric}: {'; '.join(told)}")


def _interval(row: Mapping[str, Any]) -> str:
    return f"[{row['low']}, {row['high']}]" if "low" in row else ""


def _axes(rows: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, [figure.add_subplot(rows, columns, i + 1) for i in range(rows * columns)]


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", choices=("claims", "drift", "steps"))
    parser.add_argument("test", type=Path)
    parser.add_argument("docs", type=Path)
    parser.add_argument("--weights", type=Path, help="folder (claims) or file of weights")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=24, help="clips (default: 24)")
    parser.add_argument("--frames", type=int, help="of each clip in drift and steps (default: all)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--note", action="append", help="what a reader of the results must know")
    args = parser.parse_args()
    if args.part == "claims" and args.weights is None:
        parser.error("claims needs --weights FOLDER: train the variants first.")
    for folder in ("images", "results"):
        (args.docs / folder).mkdir(parents=True, exist_ok=True)
    {"claims": claims, "drift": drift, "steps": steps}[args.part](args)


if __name__ == "__main__":
    main()
