"""A video net with everything a clip is conditioned on, as the prediction that overlapping windows ask for.

What does not change between sampling steps is computed once: the reference's keys and values, the context's keys and
values of each frame, the single context token's vector, the features of the drawings. Unconditional rows of guidance
are not computed where they are constant (see :mod:`vivant.nn.transformer`).

Axis letters: B windows, F frames of a window, C channels, h w latent grid, T context tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError, WeightsError
from vivant.diffusion.frame_store import Compute, FrameStore
from vivant.diffusion.guidance import active, guide
from vivant.diffusion.precision import widen
from vivant.diffusion.samplers import Moment
from vivant.nn.attention import KeyValue
from vivant.nn.transformer import BlockContext, Strength
from vivant.nn.video_dit import VideoDiT
from vivant.nn.video_unet import VideoUNet

Bank = Mapping[str, Tensor]


@dataclass(frozen=True)
class ClipConditions:
    """What a clip is made from, as functions, so that it can be computed again in another precision.

    ``reference``: the reference net's tokens by path, one row; or two rows, the first of them for the unconditional
    half, which then sees a reference, too. ``token``: one context token (rows, 1, D) of the whole clip, or None.
    ``context``: frames a..b-1 -> context tokens (b - a, T, D), or None. ``added``: frames a..b-1 -> features
    (b - a, C, h, w), or None. ``added_free``: the unconditional half gets these features, too. ``attributes``: tokens
    (1, T, D), or None.
    """

    reference: Callable[[], Bank | None]
    token: Callable[[], Tensor] | None = None
    context: Compute | None = None
    added: Compute | None = None
    added_free: bool = False
    attributes: Callable[[], Tensor] | None = None
    free_reference: bool = False


@dataclass(frozen=True)
class GuidanceScale:
    """``scale`` of classifier-free guidance, 1 for none, in the part ``span`` of the schedule (an approximation if it
    is not the whole), with ``rescale`` of the spread."""

    scale: float = 3.5
    span: tuple[float, float] = (0.0, 1.0)
    rescale: float = 0.0

    def __post_init__(self) -> None:
        if self.scale < 0 or not 0 <= self.span[0] <= self.span[1] <= 1:
            raise ConfigError(
                f"Guidance of scale {self.scale} from {self.span[0]} to {self.span[1]} of the schedule makes no sense: "
                "the scale is 0 or more, and the part lies within 0 to 1 and does not end before it begins."
            )


class ClipDenoiser:
    """Answers of ``unet`` for windows of one clip: a :data:`vivant.diffusion.windows.PredictWindows`.

    ``net``: what is called, a compiled form of ``unet``, or with ``reuse`` of its ``with_deep``; None calls these
    themselves. ``modules``: all nets that take part, which go to another precision together when half precision breaks.
    ``reuse``: run the deep part of the net only in every n-th step and keep its features in between (DeepCache, Ma et
    al. 2023, arXiv:2312.00858): an approximation, exact for 1.
    """

    def __init__(
        self,
        unet: VideoUNet | VideoDiT,
        conditions: ClipConditions,
        count: int,
        guidance: GuidanceScale,
        strength: Strength = Strength(),  # noqa: B008 - a tuple of numbers
        net: Callable[..., Tensor] | None = None,
        modules: Iterable[nn.Module] = (),
        reuse: int = 1,
    ) -> None:
        self.unet, self.conditions, self.guidance, self.strength = unet, conditions, guidance, strength
        if reuse < 1:
            raise ConfigError(f"Deep features are reused for {reuse} steps: give 1 (exact) or more.")
        if reuse > 1:
            assert isinstance(unet, VideoUNet), "only U-Nets have deep features"
        own: Any = unet if reuse == 1 else unet.with_deep
        self._net: Any = own if net is None else net  # a compiled module has no truth value
        self._modules = [unet, *modules]
        self._stores = {
            name: FrameStore(compute, count)
            for name, compute in (("added", conditions.added), ("context", self._projected_context()))
            if compute is not None
        }
        self._fixed: dict[str, BlockContext] | None = None
        self._reuse, self._deep = reuse, {}  # type: ignore[var-annotated]

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the nets at this moment."""
        return next(self.unet.parameters()).dtype

    @torch.inference_mode()
    def __call__(self, x: Tensor, moment: Moment, starts: Sequence[int]) -> Tensor:
        """Windows (B, C, F, h, w) that start at frames ``starts`` -> answers of the same shape, float32."""
        answer = self._answer(x, moment, starts)
        while not bool(torch.isfinite(answer).all()):
            self._raise_precision()
            answer = self._answer(x, moment, starts)
        if moment.index == moment.count - 1:
            for store in self._stores.values():
                store.release(starts[0])
        return answer

    def _answer(self, x: Tensor, moment: Moment, starts: Sequence[int]) -> Tensor:
        rows = x.transpose(1, 2).to(self.dtype)
        with_guidance = active(self.guidance.scale, self.guidance.span, moment)
        added, contexts = self._conditions(starts, rows.shape[1], with_guidance)
        if with_guidance:
            rows = torch.cat([rows, rows])
            if added is not None and self.conditions.added_free:
                added = torch.cat([added, added])
        free = len(starts) if with_guidance and not self.conditions.free_reference else 0
        if free == 0 and with_guidance and added is not None and len(added) < len(rows):
            added = torch.cat([torch.zeros_like(added), added])
        answer = self._run(rows, moment, starts, contexts, added, free).float().transpose(1, 2)
        if not with_guidance:
            return answer
        unconditional, conditional = answer.chunk(2)
        return guide(unconditional, conditional, self.guidance.scale, self.guidance.rescale)

    def _run(
        self,
        rows: Tensor,
        moment: Moment,
        starts: Sequence[int],
        contexts: Mapping[str, BlockContext],
        added: Tensor | None,
        free: int,
    ) -> Tensor:
        time = torch.tensor(moment.timestep, device=rows.device)
        if self._reuse == 1:
            found: Tensor = self._net(rows, time, contexts, added, free, self.strength)
            return found
        key = tuple(starts)
        kept = self._deep.pop(key, None) if moment.index % self._reuse else None
        if kept is not None and len(kept) != len(rows) * rows.shape[1]:  # guidance began or ended in between
            kept = None
        answer, deep = self._net(rows, time, contexts, added, free, self.strength, kept)
        if (moment.index + 1) % self._reuse and moment.index + 1 < moment.count:
            self._deep[key] = deep
        return answer

    def _conditions(
        self, starts: Sequence[int], length: int, with_guidance: bool
    ) -> tuple[Tensor | None, dict[str, BlockContext]]:
        """Features (B, F, C, h, w) and what each block looks at, for the conditional windows."""
        windows = {name: torch.stack([s.window(a, length) for a in starts]) for name, s in self._stores.items()}
        contexts = self._once()
        if self.conditions.free_reference and not with_guidance:
            contexts = {path: _last_row(seen) for path, seen in contexts.items()}
        if "context" in windows:
            contexts = self._with_frames(contexts, windows["context"].flatten(0, 1))
        return windows.get("added"), contexts

    def _once(self) -> dict[str, BlockContext]:
        """What does not depend on the frame: projected at the first call and kept."""
        if self._fixed is None:
            token, attributes = self.conditions.token, self.conditions.attributes
            self._fixed = self.unet.project(
                self.conditions.reference(),
                token() if token is not None else None,
                attributes() if attributes is not None else None,
            )
        return self._fixed

    def _projected_context(self) -> Compute | None:
        """Keys and values of all blocks, one flat row a frame."""
        context = self.conditions.context
        if context is None:
            return None

        def compute(first: int, stop: int) -> Tensor:
            tokens = context(first, stop)
            pairs = [self.unet.context_attention(path).keys_values(tokens) for path in self.unet.config.paths]
            return torch.cat([part.flatten(1) for pair in pairs for part in pair], 1)

        return compute

    def _with_frames(self, contexts: Mapping[str, BlockContext], rows: Tensor) -> dict[str, BlockContext]:
        """``contexts`` with keys and values cut from flat ``rows`` (B F, all blocks)."""
        attentions = {path: self.unet.context_attention(path) for path in self.unet.config.paths}
        total = sum(2 * a.to_k.out_features for a in attentions.values())
        tokens, found, at = rows.shape[1] // total, {}, 0
        for path, attention in attentions.items():
            size = tokens * attention.to_k.out_features
            shape = (len(rows), attention.heads, tokens, -1)
            pair = KeyValue(*(rows[:, at + i * size : at + (i + 1) * size].reshape(shape) for i in range(2)))
            found[path] = contexts[path]._replace(context=pair)
            at += 2 * size
        return found

    def _raise_precision(self) -> None:
        """Go on in bfloat16 where there is such, else in float32, with everything computed again.

        Raises:
            WeightsError: the numbers are broken in float32, too.
        """
        before = self.dtype
        if before == torch.float32:
            raise WeightsError("The net's answer is not finite in float32: its weights are damaged or untrained.")
        widen(self._modules, before, next(self.unet.parameters()).device)
        self._fixed, self._deep = None, {}
        for store in self._stores.values():
            store.forget()


def _last_row(seen: BlockContext) -> BlockContext:
    """The conditional row of what two rows look at."""
    reference = None if seen.reference is None else KeyValue(*(t[-1:] for t in seen.reference))
    return seen._replace(reference=reference, vector=None if seen.vector is None else seen.vector[-1:])
