"""A portrait follows a video; without arguments the bundled ones.

python examples/animate.py --source face.jpg --driving talk.mp4 --output out/animated.mp4
"""

import argparse

import vivant
from vivant.weights.assets import asset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--source", default=asset("demo/portrait.jpg"), help="portrait: picture or video")
parser.add_argument("--driving", default=asset("demo/driver.mp4"), help="video, picture or saved motion")
parser.add_argument("--output", default="out/animated.mp4")
parser.add_argument("--preset", help="weights preset (default: the bundled ones)")
parser.add_argument("--strength", type=float, default=1.0, help="of the motion, 1 is as driven")
args = parser.parse_args()

clip = vivant.animate(args.source, args.driving, preset=args.preset, strength={"motion": args.strength})
for text in clip.warnings:  # for example faces that were left out
    print("note:", text)
print(f"{clip.count} frames of {clip.size[1]} x {clip.size[0]} at {float(clip.fps):g} frames per second")
print(clip.save(args.output, progress=True))  # rendered and written frame by frame; the sound is the driver's
