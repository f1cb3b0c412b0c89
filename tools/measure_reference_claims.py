"""What V-Express and Animate Anyone claim, measured on `lite`.

    python tools/measure_reference_claims.py strengths TEST docs --out runs/strengths
    python tools/measure_reference_claims.py dropout TEST docs --weights WITH --without WITHOUT --out runs/dropout
    python tools/measure_reference_claims.py temporal PEOPLE docs --without PICTURES --out runs/temporal
    python tools/measure_reference_claims.py clothes PEOPLE docs --weights WITH --without CLIP_ALONE --out runs/clothes

TEST: folder of ``tools/talking_test_set.py``. PEOPLE: folder of ``vivant synthesize people``; its test rows are used.
`strengths`: V-Express with audio strengths 0 to 3 and reference strengths 1 to 0.8. `dropout`: two nets trained alike
but for conditional dropout and the weight of the mouth. `temporal`: Animate Anyone's shipped nets against those behind
stage `pictures`, which have no motion modules yet. `clothes`: with the reference net and with the picture's token alone
(``--set stage.settings.no_reference=1``). Clips are made and measured by `vivant evaluate method`, so a run that was
stopped goes on. Results go to ``docs/results`` and ``docs/images``; then run `vivant evaluate reproductions --update
docs/reproductions.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from clothes import likeness
from measure_diffused_heads import Report, evaluated
from measure_diffused_heads import number as of_metric
from measure_live_portrait_claims import number

from vivant.media.image import read_image, write_image
from vivant.media.video import open_clip
from vivant.metrics.reproductions import Result, write_result

AUDIO = (0.0, 1.0, 2.0, 3.0)
REFERENCE = (1.0, 0.9, 0.8)
SPEECH = ("mouth-correlation", "mouth-gain", "sync-c-lite", "identity-distance-dlib", "flicker")
BODY = ("flicker", "feat-lite0", "ssim", "psnr", "l1")
PLOT = "images/v_express_strengths.png"
PLACES = {"strengths": "TEST", "dropout": "TEST", "temporal": "PEOPLE", "clothes": "PEOPLE"}


def run(args: argparse.Namespace, method: str, name: str, weights: Path | None = None, **options: float) -> Report:
    """Make and measure clips in ``args.out/name``; the report."""
    words = ["--data", str(args.test), "--method", method, "--preset", "lite"]
    groups, metrics = (("replay", "speaker"), SPEECH) if method == "v-express" else (("people",), BODY)
    words += [word for group in groups for word in ("--group", group)]
    words += ["--drive", "audio", "--align", "face"] if method == "v-express" else ["--drive", "pose"]
    words += ["--metrics", ",".join(metrics), "--size", "256", "--device", args.device, "--dtype", args.dtype]
    words += ["--limit", str(args.limit), "--frames", str(args.frames), "--workers", str(args.workers), "--sheets", "4"]
    words += ["--weights", str(weights)] if weights else []
    for key, value in ({"guidance": args.guidance} | options).items():
        words += ["--set", f"{key}={value:g}"]
    return evaluated(args.out / name, *words)


def mouth_range(folder: Path) -> dict[str, Any]:
    """Standard deviation of the mouth's opening in the made clips, mean over clips."""
    moments = [json.loads(path.read_text(encoding="utf-8"))["moments"]["mouth"] for path in folder.glob("*.json")]
    return number([float(np.sqrt(row["yy"] / row["count"])) for row in moments])


def strengths(args: argparse.Namespace) -> None:
    """Both strengths of V-Express; the runs at 1 and 1 are one."""
    names = {("audio", a): f"audio_{a:g}" for a in AUDIO} | {
        ("reference", r): f"reference_{r:g}" for r in REFERENCE[1:]
    }
    reports = {key: run(args, "v-express", name, args.weights, **{f"strength_{key[0]}": key[1]})
               for key, name in names.items()}  # fmt: skip
    names["reference", 1.0], reports["reference", 1.0] = names["audio", 1.0], reports["audio", 1.0]
    ranges = {key: mouth_range(args.out / name / "clips") for key, name in names.items()}
    note = "Range is the standard deviation of the mouth's opening in a clip; {}guidance {:g}."
    for kind, amounts in (("audio", AUDIO), ("reference", REFERENCE)):
        numbers = {f"mouth range at {a:g}": ranges[kind, a] for a in amounts}
        for metric in ("sync-c-lite", "mouth-gain", "identity-distance-dlib"):
            numbers |= {f"{metric} at {a:g}": of_metric(reports[kind, a], metric) for a in amounts}
        heard = "at 0 nothing is heard; " if kind == "audio" else ""
        write(args, f"v-express-{kind}-strength", reports[kind, 1.0], numbers, PLOT, note.format(heard, args.guidance))
    draw(ranges, reports, args.docs / PLOT)


def pair(args: argparse.Namespace) -> None:
    """One net with something and one without it."""
    method, claim, metrics, without = {
        "dropout": ("v-express", "v-express-dropout", SPEECH, "without"),
        "temporal": ("animate-anyone", "animate-anyone-temporal", BODY, "without"),
        "clothes": ("animate-anyone", "animate-anyone-reference", BODY, "with CLIP alone"),
    }[args.part]
    reports = {"with": run(args, method, "with", args.weights), without: run(args, method, "without", args.without)}
    numbers = {f"{metric} {word}": of_metric(report, metric) for metric in metrics for word, report in reports.items()}
    truth = reports["with"]["metrics"]["flicker"].get("truth")
    if truth:
        numbers["flicker of true clips"] = {"value": round(truth["value"], 4)}
    if args.part == "clothes":
        for word, folder in (("with", "with"), (without, "without")):
            for metric, values in likeness(args.test, args.out / folder).items():
                numbers[f"{metric} of clothes {word}"] = number(values)
        metrics = ("ssim of clothes", "feat-lite0 of clothes", *metrics)
    plot = f"images/{claim.replace('-', '_')}.png"
    draw_pair(numbers, metrics, (*reports,), args.docs / plot)
    write(args, claim, reports["with"], numbers, plot, f"Guidance {args.guidance:g}")
    if args.part == "clothes":
        folders = [args.out / name / "generated" for name in ("with", "without")]
        side_by_side(folders, args.docs / "images" / "animate_anyone_clothes.jpg")


def write(
    args: argparse.Namespace, claim: str, report: Report, numbers: dict[str, dict[str, Any]], plot: str, note: str
) -> None:
    """The result file of a claim."""
    place = report["machine"]
    result = Result(
        claim, f"preset lite, {report['clips']} held-out clips of up to {args.frames} frames", numbers,
        told(args),
        f"{place.get('accelerator') or place['cpu']}, {place['cores']} cores, torch {place['torch']}", plot,
        "; ".join([note, *(args.note or ())]),
    )  # fmt: skip
    write_result(args.docs / "results" / f"{claim.replace('-', '_')}.json", result)


def told(args: argparse.Namespace) -> str:
    """The command with names in place of paths."""
    words = ["python tools/measure_reference_claims.py", args.part, PLACES[args.part], "docs"]
    words += [f"--{name} {name.upper()}" for name in ("weights", "without") if getattr(args, name)]
    words += [f"--out runs/{args.part}"]
    return " ".join(words + [f"--{name} {getattr(args, name):g}" for name in ("limit", "frames", "guidance")])


def draw_pair(numbers: Mapping[str, Any], metrics: Sequence[str], words: Sequence[str], path: Path) -> None:
    """A panel for each metric: both nets with their intervals, and the true clips where they are known."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(metrics), figsize=(2.1 * len(metrics), 2.8), layout="constrained")
    for axis, metric in zip(panels, metrics, strict=True):
        rows = [numbers[f"{metric} {word}"] for word in words]
        values = [row["value"] for row in rows]
        spread = [[row["value"] - row["low"] for row in rows], [row["high"] - row["value"] for row in rows]]
        axis.bar(words, values, yerr=spread, capsize=4, color=("tab:blue", "tab:grey"))
        if f"{metric} of true clips" in numbers:
            axis.axhline(numbers[f"{metric} of true clips"]["value"], color="tab:green", linestyle="--")
        axis.set_title(metric, fontsize=9)
        axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def side_by_side(folders: Sequence[Path], path: Path, people: int = 6) -> None:
    """The last frame of the first clips as each net made it, a row a net, below the picture that both were given."""
    rows: list[list[np.ndarray]] = [[] for _ in range(1 + len(folders))]
    for clip in sorted(folders[0].glob("*.mp4"))[:people]:
        rows[0].append(cv2.resize(read_image(folders[0].parent / "sources" / f"{clip.stem}.png"), (256, 256)))
        for row, folder in zip(rows[1:], folders, strict=True):
            *_, last = open_clip(folder / clip.name).frames
            row.append(cv2.resize(last, (256, 256)))
    write_image(path, np.concatenate([np.concatenate(row, 1) for row in rows]))


def draw(ranges: Mapping[Any, Mapping[str, float]], reports: Mapping[Any, Report], path: Path) -> None:
    """Mouth range, and identity distance, over both strengths."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for axis, (kind, amounts) in zip(axes, (("audio", AUDIO), ("reference", REFERENCE)), strict=True):
        rows = [ranges[kind, a] for a in amounts]
        spread = [[r["value"] - r["low"] for r in rows], [r["high"] - r["value"] for r in rows]]
        axis.errorbar(amounts, [r["value"] for r in rows], spread, marker="o", capsize=3, label="range of the mouth")
        axis.set(xlabel=f"{kind} strength", ylabel="standard deviation of the opening")
        axis.set_ylim(0, 1.25 * max(row["high"] for row in rows))
        other = axis.twinx()
        distance = [reports[kind, a]["metrics"]["identity-distance-dlib"]["value"] for a in amounts]
        other.plot(amounts, distance, color="grey", marker="s", linestyle="--", label="identity distance (dlib)")
        other.set(ylim=(0, 1.15 * max(distance)))
        axis.legend(loc="lower left", fontsize=8)
        other.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Parse arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("part", choices=("strengths", "dropout", "temporal", "clothes"))
    parser.add_argument("test", type=Path)
    parser.add_argument("docs", type=Path)
    parser.add_argument("--weights", type=Path, help="weights file (default: the shipped ones)")
    parser.add_argument("--without", type=Path, help="weights of the other net")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=12, help="clips (default: 12)")
    parser.add_argument("--frames", type=int, default=48, help="of each clip (default: 48)")
    parser.add_argument("--guidance", type=float, default=1.0, help="(default: 1, for speed)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--note", action="append", help="what a reader of the results must know")
    args = parser.parse_args()
    if args.part != "strengths" and args.without is None:
        parser.error(f"{args.part} needs --without WEIGHTS: train the other net first.")
    for folder in ("images", "results"):
        (args.docs / folder).mkdir(parents=True, exist_ok=True)
    (strengths if args.part == "strengths" else pair)(args)


if __name__ == "__main__":
    main()
