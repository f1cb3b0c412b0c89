"""Looking at a run from the side: validation losses and sample sheets, both with the averaged weights.

Neither changes the run: weights are swapped in place and back, and every step seeds its own randomness.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from vivant.training.protocol import Batch, Samples
from vivant.training.schedule import step_seed
from vivant.training.step import TrainStep

SHEET_COLUMNS = 8
VALIDATION_BATCHES = 4


def _fixed_batch(step: TrainStep, samples: Samples, seed: int, number: int, count: int) -> Batch:
    """Always the same samples with the same augmentation for the same ``seed`` and ``number``."""
    index = samples.draw(number, seed, count, {}).to(step.device)
    mixed = step_seed(seed, "fixed", number)
    torch.manual_seed(mixed)
    return step.objective.augment(samples.gather(index), torch.Generator(step.device).manual_seed(mixed))


@contextmanager
def _evaluation(modules: dict[str, nn.Module]) -> Iterator[None]:
    before = [(m, m.training) for top in modules.values() for m in top.modules()]
    for module, _ in before:
        module.training = False
    try:
        yield
    finally:
        for module, was in before:
            module.training = was


@torch.no_grad()
def validate(step: TrainStep, samples: Samples, seed: int) -> dict[str, float]:
    """Mean loss terms of a few fixed batches, and their ``total``."""
    sums: dict[str, Tensor] = {}
    count = max(1, step.stage.batch // step.stage.accumulate)
    with step.average.swapped(), _evaluation(step.modules):
        for number in range(VALIDATION_BATCHES):
            batch = _fixed_batch(step, samples, seed, number, count)
            with step.autocast():
                terms, _ = step.objective.losses(batch, False)
            for name, value in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=step.device)) + value.detach().float()
    means = {name: float(value) / VALIDATION_BATCHES for name, value in sums.items()}
    return {**means, "total": sum(means.values())}


@torch.no_grad()
def sample_sheet(step: TrainStep, samples: Samples, seed: int) -> np.ndarray:
    """The objective's sheet of fixed samples, (rows*H, 8*W, 3) uint8 RGB."""
    batch = _fixed_batch(step, samples, seed, 0, SHEET_COLUMNS)
    with step.autocast():
        images = step.objective.sheet(batch, step.average.modules)
    return tile(images, SHEET_COLUMNS)


def write_sheet(path: Path, image: np.ndarray) -> None:
    """Write an image (H,W,3) uint8 RGB as JPEG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    path.write_bytes(data.tobytes())


def tile(images: Tensor, columns: int) -> np.ndarray:
    """Put images (N,3,H,W) in 0..1 in rows of ``columns``. Returns (rows*H, columns*W, 3) uint8 RGB; empty
    places are black."""
    count, _, height, width = images.shape
    rows = -(-count // columns)
    canvas = torch.zeros(rows * columns, 3, height, width)
    canvas[:count] = images.detach().float().cpu()
    grid = canvas.view(rows, columns, 3, height, width).permute(0, 3, 1, 4, 2)
    flat = grid.reshape(rows * height, columns * width, 3)
    return (flat.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
