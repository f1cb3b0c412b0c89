"""Live: frames out as frames come in, from a camera (--driving 0) or a file, with the speed it reached.

python examples/stream.py --source face.jpg --driving 0 --frames 250 --output out/live.mp4
"""

import argparse
import time
from itertools import islice

import vivant
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.pipelines.stream import camera_frames
from vivant.weights.assets import asset

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--source", default=asset("demo/portrait.jpg"), help="portrait: a picture")
parser.add_argument("--driving", default=str(asset("demo/driver.mp4")), help="number of a camera, or a video")
parser.add_argument("--frames", type=int, default=50)
parser.add_argument("--output", default="out/live.mp4")
parser.add_argument("--preset", help="weights preset (default: the bundled ones)")
args = parser.parse_args()

pipe = vivant.load(preset=args.preset)
driver = camera_frames(int(args.driving)) if args.driving.isdecimal() else open_clip(args.driving).frames
begin, count = time.perf_counter(), 0
with VideoWriter(args.output, fps=25) as writer:
    for frame in islice(pipe.stream(args.source, driver, crop_only=True), args.frames):
        writer.write(frame)  # or show it, or send it on
        count += 1
print(f"{count} frames, {count / (time.perf_counter() - begin):.1f} a second with reading and writing")
print(args.output)
