"""Speed and exactness of exported nets beside torch: the bundled demo, crops only, frames a second of one core's time.

    vivant export -o out/onnx && python tools/measure_export.py out/onnx --threads 2

The time is processor time of all threads, so that other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import time
from itertools import islice
from typing import Any

import numpy as np
import torch

import vivant
from vivant.weights.assets import asset


def frames_of(pipe: Any, count: int) -> tuple[np.ndarray, float]:
    """The first frames of the demo, and processor seconds for them; a few are made before to warm up."""
    made = pipe.animate(asset("demo/portrait.jpg"), asset("demo/driver.mp4"), crop_only=True)
    list(islice(made.frames, 4))
    begin = time.process_time()
    frames = np.stack(list(islice(made.frames, count)))
    return frames, time.process_time() - begin


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="of vivant export")
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    kinds: dict[str, dict[str, Any]] = {
        "torch, fp32": {"dtype": "fp32"}, "torch, bf16": {"dtype": "bf16"},
        "onnxruntime, fp32": {"backend": "onnx", "weights": args.folder},
    }  # fmt: skip
    print("| nets | frames a core second | largest difference | mean difference |\n|---|---|---|---|")
    exact: np.ndarray | None = None
    for name, words in kinds.items():
        frames, seconds = frames_of(vivant.load(device="cpu", **words), args.frames)
        exact = frames.astype(int) if exact is None else exact
        off = np.abs(frames - exact)
        print(f"| {name} | {args.frames / seconds:.1f} | {off.max()} | {off.mean():.5f} |")


if __name__ == "__main__":
    main()
