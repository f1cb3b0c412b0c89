"""Give LivePortrait's M back the hidden units that are never above zero, without changing what it answers.

    python tools/revive_units.py DATA OUT.safetensors [--weights WEIGHTS] [--pictures 600]

DATA: a data set as `tools/prepare_lite_data.py` makes it (its training split is looked at). WEIGHTS: a file of the
preset `lite`, by default the bundled one. A unit behind M's map that is zero on all pictures gives no gradient and so
never comes back. It gets random weights of its own, centred on what the map shows, so that it is above zero on about
half of the pictures, and its weights to the answers become zero: M answers as before and can learn more. Train on with
`recipes/live_portrait/revived.yaml`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from vivant.data.dataset import FaceClips
from vivant.methods.live_portrait.lite import MotionExtractor
from vivant.methods.live_portrait.weights import describe, load_modules, save_modules

SPREAD = 0.5
"""Standard deviation of a new unit before the ReLU; living ones of a fresh net have about as much."""


@torch.inference_mode()
def seen_map(extractor: MotionExtractor, data: FaceClips, pictures: int) -> Tensor:
    """(N, 3456): what M's map shows on ``pictures`` frames spread over the data."""
    rows = []
    for some in torch.linspace(0, len(data.frames) - 1, min(pictures, len(data.frames))).long().split(32):
        rows.append(extractor.map(data.frames[some].permute(0, 3, 1, 2).float() / 255))
    return torch.cat(rows)


@torch.no_grad()
def living(extractor: MotionExtractor, seen: Tensor) -> Tensor:
    """(256,) bool: units that are above zero on at least one picture."""
    return (extractor.hidden(seen) > 0).any(0)


@torch.no_grad()
def revive(extractor: MotionExtractor, seen: Tensor, seed: int = 0) -> int:
    """Renew the dead units in place; returns how many they were."""
    dead = ~living(extractor, seen)
    count = int(dead.sum())
    middle = seen.mean(0)
    weights = torch.randn(count, seen.shape[1], generator=torch.Generator().manual_seed(seed))
    weights *= SPREAD / (weights @ (seen - middle).T).std(1, keepdim=True).clamp_min(1e-6)
    extractor.hidden.weight[dead] = weights
    extractor.hidden.bias[dead] = -(weights @ middle)
    extractor.head.weight[:, dead] = 0
    return count


def main() -> None:
    """Parse arguments, count, renew, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--pictures", type=int, default=600)
    parser.add_argument("--count-only", action="store_true", help="say how many live, write nothing")
    args = parser.parse_args()
    modules, config, _ = load_modules("lite", args.weights)
    extractor = modules["motion_extractor"].eval()
    assert isinstance(extractor, MotionExtractor)
    seen = seen_map(extractor, FaceClips.load(args.data), args.pictures)
    units = extractor.hidden.out_features
    print(f"{int(living(extractor, seen).sum())} of {units} units are above zero on some of {len(seen)} pictures")
    if args.count_only:
        return
    count = revive(extractor, seen)
    print(f"{count} units renewed, now {int(living(extractor, seen).sum())} live; written to {args.out}")
    save_modules(modules, args.out, describe("lite", config), half=True)


if __name__ == "__main__":
    main()
