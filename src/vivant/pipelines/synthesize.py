"""``vivant synthesize``: stills of people become clips with exact motion, as a training set."""

from __future__ import annotations

import argparse

from vivant.pipelines.synthesize_clips import BACKGROUNDS, MOTIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``vivant synthesize``."""
    parser.add_argument("stills", help="folder of portraits, where an index.jsonl names licence and credit of each; or "
                        "the word people: whole people are made up and rendered, with their skeletons")  # fmt: skip
    parser.add_argument("-o", "--out", required=True, help="folder of the data set; several runs may share one")
    parser.add_argument("--motion", choices=list(MOTIONS), default="random", help="where motion comes from (random)")
    parser.add_argument("--clips", type=int, default=100, help="how many clips of this motion (default: 100)")
    parser.add_argument(
        "--frames", type=int, help="frames of a clip (default: 32, spoken and replayed 75, of people 24)"
    )
    parser.add_argument("--fps", default="25", help="frames per second, also as a fraction (default: 25)")
    parser.add_argument("--size", type=int, default=256, help="side of the frames, divisible by 4 (default: 256)")
    parser.add_argument("--takes-per-motion", type=int, default=1, metavar="N",
                        help="render every motion on N people, the same take (default: 1)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn by chance (default: 0)")
    parser.add_argument("--workers", type=int, help="processes (default: one a core; at most 6 draw on a GPU)")
    parser.add_argument("--device", default="auto", help="cpu, cuda, or auto (default)")
    parser.add_argument("--quality", type=int, default=18, help="x264's constant rate factor (default: 18)")
    parser.add_argument("--supersample", type=int, default=2, help="draw so many times finer and average (default: 2)")
    parser.add_argument("--backgrounds", type=float, default=BACKGROUNDS, metavar="SHARE",
                        help="share of clips with a new background (default: 0.25)")  # fmt: skip
    parser.add_argument("--no-truth", action="store_true",
                        help="leave out masks, depth and the like; keep video and training labels")  # fmt: skip
    parser.add_argument("--drivers", help="folder of clips to replay (--motion clips)")
    parser.add_argument("--engines", default="", help="speech engines, such as flite,espeak (default: all installed)")
    parser.add_argument("--languages", default="", help="languages to speak, such as en,de,ja (default: all there are)")
    parser.add_argument("--licence", default="", help="of stills that no index names")
    parser.add_argument("--credit", default="", help="of stills that no index names")
    parser.add_argument("--motion-licence", default="", help="of drivers that no index names")
    parser.add_argument("--motion-credit", default="", help="of drivers that no index names")
    parser.add_argument("--test-share", type=float, default=0.05, help="share of people kept for testing (0.05)")
    parser.add_argument("--val-share", type=float, default=0.03, help="share of people kept for validation (0.03)")
    parser.add_argument("--held-out", help="text file of names: people there are for testing, drivers are not used")
    parser.add_argument("--no-redetect", action="store_true", help="judge stills by their fit alone, which is quicker")
    parser.add_argument("--prepare", action="store_true",
                        help="stop before rendering, which another machine can then do")  # fmt: skip
    parser.add_argument("--check", action="store_true", help="only look at the stills: numbers, reasons and sheets")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def run(args: argparse.Namespace) -> int:
    """Synthesise as asked. Returns 0."""
    if args.stills == "people":  # a folder of that name is ./people
        from vivant.pipelines.synthesize_people import run_people

        print(run_people(args))
        return 0
    from vivant.pipelines.synthesize_stills import Synthesis

    print(Synthesis(args).run())
    return 0
