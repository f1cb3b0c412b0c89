"""Every portrait of a folder by every driver of another, one method in memory, resumed where it was stopped.

python examples/batch.py --portraits faces/ --drivers talks/ --folder out/many --workers 2
"""

import argparse
from pathlib import Path

from vivant.pipelines.batch import run_batch
from vivant.pipelines.jobs import read_job
from vivant.weights.assets import asset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--portraits", type=Path, default=asset("demo/portrait.jpg").parent)
parser.add_argument("--drivers", type=Path, default=asset("demo/driver.mp4").parent)
parser.add_argument("--folder", type=Path, default=Path("out/many"))
parser.add_argument("--preset", help="weights preset (default: the bundled ones)")
parser.add_argument("--workers", type=int, default=1, help="processes, each with its own method in memory")

if __name__ == "__main__":  # worker processes import this file
    args = parser.parse_args()
    pairs = [(p, d) for p in sorted(args.portraits.glob("*.jpg")) for d in sorted(args.drivers.glob("*.mp4"))]
    jobs = []
    for number, (portrait, driver) in enumerate(pairs):
        words = {"source": str(portrait), "driving": str(driver), "preset": args.preset, "crop_only": True}
        jobs.append((number, read_job(words | {"output": str(args.folder / f"{portrait.stem}--{driver.stem}.mp4")})))
    done = run_batch(jobs, args.folder, workers=args.workers, progress=True)
    print(f"{done.done} done, {done.before} done before, {done.failed} failed; see {args.folder}")
    raise SystemExit(1 if done.failed else 0)
