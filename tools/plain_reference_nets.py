"""V-Express and Animate Anyone computed in the plain way, to measure against: same layers, same numbers, nothing saved.

Two forms. "As released" does in every step what the released code does: the reference's tokens are copied for every
frame and row and their keys and values computed again, so are those of the context; attention on a single token has
queries and a softmax; Animate Anyone's unconditional rows are computed with the reference and then again without; one
window after the other; pictures are decoded one by one. The reference net, the drawings' features and the tokens of
speech or picture are computed once there. "Everything again" computes these in every step and window, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vivant.diffusion.codec import decode_stream
from vivant.diffusion.samplers import Moment
from vivant.diffusion.windows import denoise_stream
from vivant.methods.v_express.flicker import median_filter
from vivant.nn.transformer import Strength, TransformerBlock


class Seen(NamedTuple):
    """What a plain block looks at: ``tokens`` (1, N, C) of the reference, ``context`` (R F, T, D) of all rows."""

    tokens: Tensor
    context: Tensor


def plain_block(
    self: TransformerBlock, x: Tensor, frames: int, free: int, seen: Any, strength: Strength
) -> Tensor:  # fmt: skip
    """A transformer block of (R F, N, C), the first half of the rows unconditional."""
    rows, half = len(x), len(x) // 2
    copies = seen.tokens.repeat(rows, 1, 1)
    h = self.norm1(x)
    if self.reference == "concat":
        found = self.attn1(h, torch.cat([h, copies], 1))
        x = x + torch.cat([self.attn1(h[:half]), found[half:]])
    else:
        copies[:half] = 0
        x = x + self.attn1(h)
        x = x + strength.reference * self.attn1_5(self.norm1_5(x), copies)
    x = x + strength.context * self.attn2(self.norm2(x), seen.context)
    return x + self.ff(self.norm3(x))


@contextmanager
def plain_blocks() -> Iterator[None]:
    """Transformer blocks are plain ones inside."""
    ours = TransformerBlock.forward
    TransformerBlock.forward = plain_block  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        TransformerBlock.forward = ours  # type: ignore[method-assign]


def plain_step(
    unet: nn.Module, rows: Tensor, time: Tensor, bank: Mapping[str, Tensor], context: Tensor, added: Tensor,
    strength: Strength = Strength(),  # noqa: B008 - a tuple of numbers
) -> Tensor:  # fmt: skip
    """The answer (2, F, C, h, w) to both rows of guidance; ``context`` (2 F, T, D), ``added`` (2, F, C, h, w)."""
    with plain_blocks():
        found: Tensor = unet(
            rows, time, {path: Seen(t, context) for path, t in bank.items()}, added, strength=strength
        )  # fmt: skip
    return found


def inputs_of(module: nn.Module, work: Callable[[], Any]) -> list[tuple[Tensor, ...]]:
    """What ``module`` is called with while ``work`` runs."""
    found: list[tuple[Tensor, ...]] = []
    handle = module.register_forward_pre_hook(lambda _, given: found.append(given))
    try:
        work()
    finally:
        handle.remove()
    return found


class Plain:
    """The prediction of windows of ``count`` frames; ``again``: everything again, else as released."""

    def __init__(self, bench: Any, count: int, again: bool) -> None:
        generator = bench.generator
        denoiser = generator._denoiser(bench.source(), bench.controls(count), bench.options())
        self.conditions, self.unet, self.guidance = denoiser.conditions, denoiser.unet, denoiser.guidance
        self.strength, self.dtype, self.again = denoiser.strength, bench.dtype, again
        modules, speech = generator.modules, self.conditions.context
        self.reader = modules["reference_net" if speech else "reference_unet"]
        self.guider = modules["v_kps_guider" if speech else "pose_guider"]
        self.speaker = modules.get("audio_projection")
        parts = [(a, min(a + 16, count)) for a in range(0, count, 16)]
        with torch.inference_mode():
            self.read = inputs_of(self.reader, self.conditions.reference)[0]
            added = self.conditions.added
            assert added is not None
            self.drawn = torch.cat([d[0] for d in inputs_of(self.guider, lambda: [added(*p) for p in parts])], 1)
            self.heard = None
            if speech is not None:
                assert self.speaker is not None
                self.heard = torch.cat([h[0] for h in inputs_of(self.speaker, lambda: [speech(*p) for p in parts])])
            if not again:
                self.bank, self.tokens = self._bank(), self._context(slice(0, count))
                self.added = torch.cat([added(*p) for p in parts])

    def _bank(self) -> dict[str, Tensor]:
        """Tokens of the reference net; Animate Anyone's released code reads both rows of guidance and uses one."""
        if self.heard is not None:
            return dict(self.reader(*self.read))
        latent, token = self.read[0], self.read[1]
        both = self.reader(torch.cat([latent, latent]), torch.cat([torch.zeros_like(token), token]))
        return {path: tokens[1:] for path, tokens in both.items()}

    def _context(self, frames: slice) -> Tensor:
        if self.heard is not None:
            assert self.speaker is not None
            found: Tensor = self.speaker(self.heard[frames])
            return found
        return self.read[1].expand(len(self.drawn[0, frames]), -1, -1)

    @torch.inference_mode()
    def __call__(self, x: Tensor, moment: Moment, starts: Sequence[int]) -> Tensor:
        """As :class:`vivant.diffusion.clip_denoiser.ClipDenoiser`, window by window."""
        return torch.cat([self._window(x[i : i + 1], moment, start) for i, start in enumerate(starts)])

    def _window(self, x: Tensor, moment: Moment, start: int) -> Tensor:
        device = self.drawn.device
        part = x.transpose(1, 2).to(self.dtype).cpu().to(device)  # through the host, as released
        frames = slice(start, start + part.shape[1])
        bank = self._bank() if self.again else self.bank
        context = self._context(frames) if self.again else self.tokens[frames]
        added = self.guider(self.drawn[:, frames]) if self.again else self.added[None, frames]
        answer = plain_step(
            self.unet, torch.cat([part, part]), torch.tensor(moment.timestep, device=device), bank,
            torch.cat([torch.zeros_like(context), context]),
            torch.cat([added if self.conditions.added_free else torch.zeros_like(added), added]), self.strength,
        )  # fmt: skip
        free, asked = answer.float().transpose(1, 2).chunk(2)
        return free + self.guidance.scale * (asked - free)


def plain_clip(bench: Any, count: int, steps: int, again: bool) -> Iterator[np.ndarray]:
    """A whole clip in the plain form, decoded frame by frame."""
    plan = bench.generator._plan(count, bench.options(steps=steps))
    noise = plan.noise(bench.device)
    latents = denoise_stream(Plain(bench, count, again), noise, count, plan.sampling, plan.windows)
    frames = decode_stream(bench.generator.modules["codec"], latents, batch=1)
    return median_filter(frames, bench.device) if getattr(bench.config, "median", False) else frames
