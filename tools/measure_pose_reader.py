"""How near a reader of poses comes to the truth, on rendered people whose skeletons are exact.

    python tools/measure_pose_reader.py --people 60 --size 512
    python tools/measure_pose_reader.py --reader dwpose --files yolox_l.onnx dw-ll_ucoco_384.onnx

Prints, for groups of points: the share that was found (of those in view), the mean error and the shares nearer than
0.1 and 0.2 of the trunk's length (neck to the middle of the hips), as PCK counts. Only points that can be seen count.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from vivant.data.figures.clips import Style, draw_shot
from vivant.perception.body import BlazeBodyFinder, BodyFinder

GROUPS: dict[str, list[int]] = {
    "nose, eyes, ears": [0, 14, 15, 16, 17], "neck, shoulders": [1, 2, 5], "elbows": [3, 6], "wrists": [4, 7],
    "hips": [8, 11], "knees": [9, 12], "ankles": [10, 13], "hands": [*range(18, 60)], "face": [*range(60, 128)],
}  # fmt: skip
_SEEN = 0.3


def reader(args: argparse.Namespace) -> BodyFinder:
    """The reader that was asked for."""
    if args.reader == "blazepose":
        return BlazeBodyFinder(threads=1)
    from vivant.perception.dwpose import DWPoseFinder

    return DWPoseFinder(files=tuple(args.files) if args.files else None)


def trunk(points: np.ndarray) -> float:
    """Length in pixels from the neck to the middle of the hips; where hips are out of view, 1.25 shoulder widths."""
    if points[8, 2] and points[11, 2]:
        return float(np.linalg.norm(points[1, :2] - points[[8, 11], :2].mean(0)))
    return 1.25 * float(np.linalg.norm(points[2, :2] - points[5, :2]))


def main() -> None:
    """Draw people, read them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=60)
    parser.add_argument("--frames", type=int, default=4, help="of each person, a second apart")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--reader", choices=("blazepose", "dwpose"), default="blazepose")
    parser.add_argument("--files", nargs=2, metavar=("DETECTOR", "POSE"))
    args = parser.parse_args()
    finder = reader(args)
    style = Style(frames=args.frames, fps=1, size=args.size)  # type: ignore[arg-type]
    rows: dict[str, list[tuple[float, bool]]] = {name: [] for name in GROUPS}
    frames, lost, seconds = 0, 0, 0.0
    for number in range(args.people):
        for frame, truth in draw_shot(number, number, style, args.seed).frames():
            begin = time.perf_counter()
            found = finder.find(frame.image)
            seconds += time.perf_counter() - begin
            frames += 1
            lost += not found
            pixels = truth.copy()
            pixels[:, :2] = (truth[:, :2] + 1) / 2 * args.size
            told = found[0].keypoints if found else np.zeros((128, 3))
            away = np.linalg.norm(told[:, :2] - pixels[:, :2], axis=1) / max(trunk(pixels), 1.0)
            for name, points in GROUPS.items():
                rows[name] += [(away[p], told[p, 2] >= _SEEN) for p in points if truth[p, 2] == 1]
    print(f"{frames} frames of {args.size} px, nobody found in {lost}; {1000 * seconds / frames:.0f} ms a frame")
    print(f"{'points':18s} {'in view':>8s} {'found':>6s} {'error':>6s} {'<0.1':>6s} {'<0.2':>6s}")
    for name, values in rows.items():
        away, seen = np.array([v[0] for v in values]), np.array([v[1] for v in values])
        near = [(away[seen] < limit).mean() for limit in (0.1, 0.2)]
        print(f"{name:18s} {len(away):8d} {seen.mean():6.2f} {away[seen].mean():6.3f} {near[0]:6.2f} {near[1]:6.2f}")


if __name__ == "__main__":
    main()
