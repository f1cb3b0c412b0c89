"""One still under many sliders, as a sheet: every row a slider, from its least to its largest useful value.

python examples/edit.py --source face.jpg --output out/sliders.png
"""

import argparse
from dataclasses import fields

import numpy as np

import vivant
from vivant.media.image import read_image, write_image
from vivant.weights.assets import asset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--source", default=asset("demo/portrait.jpg"), help="portrait")
parser.add_argument("--output", default="out/sliders.png")
parser.add_argument("--preset", help="weights preset (default: the bundled ones)")
parser.add_argument("--sliders", default="yaw,pitch,smile,eyebrow,gaze_x", help="names, see vivant edit --help")
parser.add_argument("--steps", type=int, default=5, help="pictures in a row")
args = parser.parse_args()

pipe = vivant.load(preset=args.preset)
ranges = {item.name: item.metadata["range"] for item in fields(pipe.spec.part("config").Sliders)}
portrait = read_image(args.source)
rows = []
for name in args.sliders.split(","):
    values = np.linspace(*ranges[name], args.steps)
    row = [pipe.edit(portrait, sliders={name: float(value)}, crop_only=True) for value in values]
    rows.append(np.concatenate(row, axis=1))
    print(name, "from", values[0], "to", values[-1])
write_image(args.output, np.concatenate(rows))
print(args.output)
