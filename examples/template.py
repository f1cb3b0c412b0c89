"""A driver's motion is read once, kept without the person, and moves several portraits.

python examples/template.py --driving talk.mp4 --sources anna.jpg ben.jpg --folder out/templates
"""

import argparse
from pathlib import Path

import vivant
from vivant.weights.assets import asset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--driving", default=asset("demo/driver.mp4"), help="video whose motion is kept")
parser.add_argument("--sources", nargs="+", default=[asset("demo/portrait.jpg")], help="portraits")
parser.add_argument("--folder", default="out/templates")
parser.add_argument("--preset", help="weights preset (default: the bundled ones)")
args = parser.parse_args()

folder = Path(args.folder)
folder.mkdir(parents=True, exist_ok=True)
pipe = vivant.load(preset=args.preset)
motion = pipe.animate(args.sources[0], args.driving).motion  # the driver is read here; nothing is rendered yet
motion.save(folder / "motion.safetensors")
size = (folder / "motion.safetensors").stat().st_size
print(f"{len(motion)} frames of motion, {size / 1000:.0f} kB, without a picture of the driver")
for source in args.sources:
    print(pipe.animate(source, folder / "motion.safetensors").save(folder / f"{Path(source).stem}.mp4"))
