"""What MegActor-Sigma's claims came to, for the docs: a result each, and a plot of each amplitude."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from measure_live_portrait_claims import number

from vivant.metrics.reproductions import Result, write_result

AMPLITUDES = (0.0, 0.5, 1.0, 1.5, 2.0)
PLOT = "images/megactor_sigma_{}_amplitude.png"
LABELS = {"visual": "roll, degrees", "audio": "opening of the mouth"}
NOTES = {
    "both": "The distances are our own small nets', not the paper's FVD and Sync-C; few clips leave them uncertain.",
    "decoupling": (
        "Correlation of the mouth's opening with that of the clip whose speech is heard, and of the lids' with those "
        "of the driver, frame by frame; driver and speech are of two clips whose mouths do other things. Plain: "
        "trained as long without decoupling, and shown the whole driver, as in its training, or its eyes alone."
    ),
    "visual": "Motion is the standard deviation of the head's roll in degrees.",
    "audio": "Range is the standard deviation of the mouth's opening; at 0 nothing is heard, and what moves is chance.",
}


def write_docs(found: dict[str, Any], args: argparse.Namespace) -> None:
    """A result for each part that was measured, and a plot of each amplitude."""
    place = found["machine"]
    hardware = f"{found['device']}, {place['cores']} cores of an {place['cpu']}, torch {place['torch']}"
    setting = f"preset {args.preset}, {found['clips']} held-out clips of {found['frames']} frames"
    command = shlex.join(["python", "tools/measure_megactor_sigma.py", *sys.argv[1:]])
    numbers: dict[str, dict[str, Any]] = {}
    if "table" in found:
        numbers["both"] = {
            f"{name} {drive}": row[name]
            for drive, row in found["table"].items() for name in ("fvd-lite0", "sync-c-lite") if name in row
        }  # fmt: skip
    if "disagreement" in found:
        apart = found["disagreement"]
        mine = {"mouth correlation with speech": apart["decoupled"]["mouth by speech"]}
        mine |= {"lid correlation with driver": apart["decoupled"]["lids by driver"]}
        mine["mouth correlation with driver"] = apart["decoupled"]["mouth by driver"]
        others = {name: row for name, row in apart.items() if name != "decoupled"}
        mine |= {f"{key} ({name})": value for name, row in others.items() for key, value in row.items()}
        numbers["decoupling"] = mine
    for name, word in (("audio", "mouth"), ("visual", "motion")):
        amounts = found.get(f"{name} amplitude", {})
        if amounts:
            draw(found, name, args.docs / PLOT.format(name))
            numbers[f"{name}-amplitude"] = {f"{word} range at {a:g}": number(values) for a, values in amounts.items()}
    for claim, row in numbers.items():
        name = claim.partition("-")[0] if "amplitude" in claim else ""
        note = NOTES.get(name or claim, "")
        picture = PLOT.format(name) if name else ""
        result = Result(f"megactor-{claim}", setting, row, command, hardware, picture, note)
        write_result(args.docs / "results" / f"megactor_{claim.replace('-', '_')}.json", result)


def draw(found: dict[str, Any], name: str, path: Path) -> None:
    """Asked amplitude against measured motion, a thin line a clip, their mean in red."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows = np.array([found[f"{name} amplitude"][amount] for amount in AMPLITUDES])
    axes.plot(AMPLITUDES, rows, color="tab:blue", linewidth=0.5, alpha=0.5)
    axes.plot(AMPLITUDES, np.nanmean(rows, 1), color="tab:red", linewidth=2)
    axes.set_xlabel(f"--strength.{name}")
    axes.set_ylabel(f"deviation, {LABELS[name]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
