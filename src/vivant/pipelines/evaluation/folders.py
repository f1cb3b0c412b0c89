"""``vivant evaluate pairs`` and ``vivant evaluate folders``: generated videos against true ones."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from vivant.core.errors import ConfigError, MediaError
from vivant.pipelines.evaluation.common import add_measuring, add_output, add_view, check_early, evaluate, plan_of


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """Options of ``pairs``."""
    parser.add_argument("--generated", required=True, help="video, GIF, still or folder of frames")
    parser.add_argument("--reference", help="the same for the truth (default: none, only what one video shows)")
    parser.add_argument("--driver", help="video of another person whose motion should be seen")
    parser.add_argument("--source", help="portrait it was made from (default: the reference's first face)")
    parser.add_argument("--audio", help="speech it should be in step with (default: its own sound)")
    parser.add_argument("--text", help="what is said, for WER (default: the .txt file beside the reference)")
    add_view(parser)
    add_measuring(parser)
    add_output(parser, needed=False)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Options of ``folders``."""
    parser.add_argument("--generated", required=True, help="folder of videos, or of folders of frames")
    parser.add_argument("--reference", required=True, help="folder with the true ones under the same names")
    parser.add_argument("--unpaired", action="store_true", help="the folders show different clips: compare sets only")
    add_view(parser)
    add_measuring(parser)
    add_output(parser)


def run_pairs(args: argparse.Namespace) -> int:
    """Measure one clip."""
    from vivant.media.audio import has_sound
    from vivant.media.files import existing_path
    from vivant.metrics.measure import suited
    from vivant.metrics.subject import Subject, clip_name, text_beside

    view = check_early(args)
    paths = {name: existing_path(value) if (value := getattr(args, name)) else None
             for name in ("generated", "reference", "driver", "source", "audio")}  # fmt: skip
    made, true = paths["generated"], paths["reference"]
    assert made is not None
    if args.plots and not args.out:
        raise ConfigError("Where plots go is not said: give --out.")
    if paths["audio"] and not has_sound(paths["audio"]):
        raise MediaError(f"'{args.audio}' has no sound: give another --audio.")
    text = args.text or (text_beside(true) if true else None)
    subject = Subject(clip_name([made]), made, true, paths["driver"], paths["source"], paths["audio"], text)
    plan = suited(plan_of(args, view), [subject], named=bool(args.metrics))
    about = {"generated": made.name, "reference": true.name if true else None}
    if args.out:
        return evaluate([subject], plan, args, Path(args.out), f"Evaluation of {made.name}", about)
    args.sheets, args.plots = 0, False
    with tempfile.TemporaryDirectory() as folder:
        return evaluate([subject], plan, args, Path(folder), f"Evaluation of {made.name}", about)


def run_folders(args: argparse.Namespace) -> int:
    """Measure all clips of a folder."""
    from vivant.metrics.measure import suited
    from vivant.metrics.subject import pair_folders

    view = check_early(args)
    made, true = Path(args.generated), Path(args.reference)
    subjects, lonely = pair_folders(made, true, not args.unpaired)
    for name in lonely[:10]:
        print(f"without partner: {name}")
    if len(lonely) > 10:
        print(f"without partner: {len(lonely) - 10} more")
    about = {"generated": made.name, "reference": true.name, "without partner": len(lonely) or None}
    plan = suited(plan_of(args, view), subjects, named=bool(args.metrics))
    return evaluate(subjects, plan, args, Path(args.out), f"Evaluation of {made.name}", about)
