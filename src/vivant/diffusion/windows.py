"""Long clips through nets that see a few frames at once: overlapping windows whose predictions are averaged.

In every step each window's prediction is computed, predictions are averaged where windows overlap, and each frame
takes its step. A window of one step needs only its own frames of the step before, so steps follow one another along
the clip like a row of workers: every step keeps a few windows of frames, and memory does not grow with the length. The
result is that of computing whole steps one after another.

This is V-Express's split into segments of 12 frames with 4 shared (arXiv:2406.02511, section 3.5) and Animate Anyone's
temporal aggregation with 24 and 4 (arXiv:2311.17117). Windows never wrap around from the end to the beginning.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.samplers import Guess, Moment, Sampling, draw_noise, get_sampler

MOST_STEPS = 300
"""Steps that :func:`denoise_stream` can chain (each is one nested iterator)."""

PredictWindows = Callable[[Tensor, Moment, Sequence[int]], Tensor]
"""The net with its conditions: windows (B, C, F, h, w) at a moment, and the clip's frame number that each of the B
windows starts at, to the net's raw answers (B, C, F, h, w) (2C channels with a learned variance)."""


@dataclass(frozen=True)
class Windows:
    """How a clip is cut: ``size`` frames a window, ``overlap`` of them shared with the next one.

    ``shift``: frames that the grid moves on in every step, so that seams do not stay where they are; 0 keeps it.
    ``weights``: "uniform" averages, "triangle" trusts the middle of a window more.
    """

    size: int = 24
    overlap: int = 4
    shift: int = 0
    weights: Literal["uniform", "triangle"] = "uniform"

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.overlap < self.size or self.shift < 0:
            raise ConfigError(
                f"Windows of {self.size} frames with {self.overlap} shared, shifted by {self.shift}, make no sense: "
                "the overlap must be 0 or more and smaller than the window."
            )
        if self.weights not in ("uniform", "triangle"):
            raise ConfigError(f"There are no window weights '{self.weights}': use uniform or triangle.")

    def starts(self, count: int, step: int = 0) -> list[int]:
        """First frames of the windows over ``count`` frames in sampling step ``step``, rising.

        Every window has :meth:`length` frames; the last one ends with the clip, overlapping more if need be.
        """
        if count < 1:
            raise ConfigError("A clip needs at least one frame.")
        stride = self.size - self.overlap
        offset = self.shift * step % stride
        last = max(0, count - self.size)
        inner = range(stride - offset if offset else stride, last, stride)
        return sorted({0, *inner, last})

    def length(self, count: int) -> int:
        """Frames of each window: ``size``, or all of a shorter clip."""
        return min(self.size, count)

    def weight(self, length: int) -> Tensor:
        """(length,) how much each frame of a window counts in the average."""
        if self.weights == "uniform":
            return torch.ones(length)
        place = torch.arange(length)
        return torch.minimum(place + 1, length - place).float()


def frame_noise(shape: Sequence[int], seed: int, device: torch.device | str = "cpu") -> Iterator[Tensor]:
    """Endless standard normal frames of ``shape`` (C, h, w), each drawn when it is needed; the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(tuple(shape), generator=generator).to(device)


def denoise_stream(
    predict: PredictWindows,
    noise: Iterable[Tensor],
    count: int,
    sampling: Sampling,
    windows: Windows,
    batch: int = 1,
    seed: int = 0,
    watch: Callable[[Moment, int], None] | None = None,
) -> Iterator[Tensor]:
    """Clean frames (C, h, w) of a clip in order, each as soon as it is done.

    Args:
        predict: the net on windows.
        noise: at least ``count`` frames (C, h, w) of standard normal noise, read one by one.
        count: frames of the clip.
        sampling: times, sampler, prediction.
        windows: how the clip is cut.
        batch: windows computed at once; the frames do not depend on it but for rounding.
        seed: of the fresh noise of samplers that need some.
        watch: called with the moment and the number of frames that have left it, whenever a step lets frames go.

    Raises:
        ConfigError: no frames, or more than :data:`MOST_STEPS` steps.
    """
    if len(sampling.table) > MOST_STEPS:
        raise ConfigError(f"{len(sampling.table)} steps are too many for windows: give at most {MOST_STEPS}.")
    if batch < 1:
        raise ConfigError(f"A batch of {batch} windows makes no sense: give 1 or more.")
    windows.starts(count)
    frames: Iterator[_Frame] = ((frame, None) for frame in islice(noise, count))
    for index in range(len(sampling.table)):
        frames = _Worker(predict, sampling, index, windows, count, batch, seed, watch).run(frames)
    return (x for x, _ in frames)


_Frame = tuple[Tensor, "Guess | None"]


class _Worker:
    """One sampling step, moving along the clip; holds the frames of the windows in work and nothing else."""

    def __init__(
        self,
        predict: PredictWindows,
        sampling: Sampling,
        index: int,
        windows: Windows,
        count: int,
        batch: int,
        seed: int,
        watch: Callable[[Moment, int], None] | None,
    ) -> None:
        self.predict, self.sampling, self.index, self.count = predict, sampling, index, count
        self.moment = sampling.moment(index)
        self.starts, self.length, self.batch = windows.starts(count, index), windows.length(count), batch
        self.weight = windows.weight(self.length).tolist()
        self.watch = watch
        sampler = get_sampler(sampling.sampler)
        self.noisy = sampler.noisy and index < len(sampling.table) - 1
        self.remembers = sampler.remembers
        self.generator = torch.Generator().manual_seed(seed * 1_000_003 + index + 1)

    def run(self, frames: Iterator[_Frame]) -> Iterator[_Frame]:
        """Frames of the step before in, frames of this step out, in order."""
        held: deque[_Frame] = deque()  # frames from number `first` on
        sums: deque[list[Any]] = deque()  # their weighted predictions and the weights so far
        first = 0
        for at in range(0, len(self.starts), self.batch):
            group = self.starts[at : at + self.batch]
            while first + len(held) < group[-1] + self.length:
                held.append(self._next(frames))
                sums.append([])
            parts = [[held[s - first + k][0] for k in range(self.length)] for s in group]
            x = torch.stack([torch.stack(part, 1) for part in parts])
            answer = self.predict(x, self.moment, group).float()
            for row, start in enumerate(group):
                self._add(sums, start - first, answer[row])
            following = self.starts[at + self.batch :]
            done = (following[0] if following else self.count) - first
            yield from self._finish(held, sums, done)
            first += done
            if self.watch is not None:
                self.watch(self.moment, first)

    def _next(self, frames: Iterator[_Frame]) -> _Frame:
        try:
            return next(frames)
        except StopIteration:
            raise ConfigError(f"The noise ended before the clip's {self.count} frames: give one frame each.") from None

    def _add(self, sums: deque[list[Any]], offset: int, answer: Tensor) -> None:
        """Add one window's answer (C, F, h, w) to the frames it covers."""
        for k, weight in enumerate(self.weight):
            entry = sums[offset + k]
            if entry:
                entry[0], entry[1] = entry[0] + weight * answer[:, k], entry[1] + weight
            else:
                entry += [weight * answer[:, k], weight]

    def _finish(self, held: deque[_Frame], sums: deque[list[Any]], done: int) -> list[_Frame]:
        """The first ``done`` frames after their step, computed together."""
        if not done:
            return []
        frames = [held.popleft() for _ in range(done)]
        answers = [total / weight for total, weight in (sums.popleft() for _ in range(done))]
        x = torch.stack([frame for frame, _ in frames])
        noise = torch.stack([draw_noise(frame, self.generator) for frame in x]) if self.noisy else None
        past = _stack([guess for _, guess in frames])
        moved, now = self.sampling.step(self.index, x, torch.stack(answers), past, noise)
        kept = [Guess(*pair) for pair in zip(now.x0, now.noise)] if self.remembers else [None] * done
        return list(zip(moved, kept))


def _stack(guesses: Sequence[Guess | None]) -> Guess | None:
    """The guesses of several frames as one; None if the sampler keeps none."""
    known = [guess for guess in guesses if guess is not None]
    return Guess(torch.stack([g.x0 for g in known]), torch.stack([g.noise for g in known])) if known else None
