"""How many bytes a denoising step of MegActor-Sigma moves: `tools/measure_megactor_sigma.py bytes` counts it.

Nothing is computed: the nets run on the meta device. Of every operation that is not a matrix product, an attention or
a view, what it reads and writes is added up, each tensor once. What CUDA's kernels do beside that is added: layer norm
and group norm copy an input that does not lie in memory as they want it, and so does a linear layer (torch's own
decomposition shows that copy); an attention mask of truth values becomes one of numbers, which each head reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vivant.methods.megactor_sigma.config import PRESETS
from vivant.nn.video_dit import ReferenceDiT, VideoDiT

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "convolution"}
FREE = {"empty", "empty_like", "empty_strided", "new_empty", "arange", "lift_fresh", "_local_scalar_dense"}
MIXED = "of these, between tensors in different orders"
NORMS = {"native_layer_norm", "native_group_norm"}


def size(tensor: Tensor) -> int:
    """Bytes of a tensor, without those that are repeated by a stride of 0."""
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride()):
        count *= length if stride else 1
    return count * tensor.element_size()


def mixed(tensors: list[Tensor]) -> bool:
    """Whether neighbours in memory differ in the largest of some tensors: one of them is not read in one go."""
    largest = max((t.numel() for t in tensors), default=0)
    shapes = [t for t in tensors if t.numel() == largest]
    fastest = {
        tuple(s == 1 and n > 1 for n, s in zip(t.shape, t.stride())) for t in shapes if t.shape == shapes[0].shape
    }
    return len(fastest) > 1


class Bytes(TorchDispatchMode):
    """Adds up what operations move; ``found``: name of the operation -> bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, int] = {}

    def add(self, name: str, count: int) -> None:
        """``count`` more bytes."""
        self.found[name] = self.found.get(name, 0) + count

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if func.is_view or name in PRODUCTS or name in FREE or name == "_unsafe_view":
            return result
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        made = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        if name.endswith("_") and name not in ("copy_", "fill_", "zero_"):
            given, made = given, made[:1]
        elif name in ("copy_", "fill_", "zero_"):
            given = given[1:]
        self.add(name, sum(map(size, given)) + sum(map(size, made)))
        if mixed([*given, *made]):
            self.add(MIXED, sum(map(size, given)) + sum(map(size, made)))
        if name in NORMS and not given[0].is_contiguous():
            self.add("copy before a norm", 2 * size(given[0]))
            self.add(MIXED, 2 * size(given[0]))
        return result

    def attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, *_: Any, **__: Any
    ) -> Tensor:
        """In place of torch's attention: its answer lies in memory as CUDA's kernels leave it."""
        if attn_mask is not None:
            if attn_mask.dtype == torch.bool:
                self.add("attention mask to numbers", attn_mask.numel() * (1 + query.element_size()))
            self.add("attention mask, read by each head", query.shape[1] * attn_mask.numel() * query.element_size())
        rows, heads, tokens, _width = query.shape
        return query.new_empty(rows, tokens, heads, value.shape[-1]).transpose(1, 2)


def counted(work: Callable[[], Any]) -> dict[str, int]:
    """Bytes of a call by operation."""
    mode = Bytes()
    with mock.patch.object(F, "scaled_dot_product_attention", mode.attention), mode, torch.no_grad():
        work()
    return mode.found


def per_block(call: Callable[[int], Callable[[], Any]], blocks: int) -> dict[str, float]:
    """Megabytes a block by operation: a net with ``blocks`` blocks more than another, divided by their number."""
    small, large = counted(call(blocks)), counted(call(2 * blocks))
    rows = {name: (large[name] - small.get(name, 0)) / blocks / 1e6 for name in large}
    rows = {name: round(count, 1) for name, count in sorted(rows.items(), key=lambda row: -row[1]) if count >= 0.05}
    total = sum(count for name, count in rows.items() if name != MIXED)
    return {"all": round(total, 1), MIXED: rows.pop(MIXED, 0.0), **rows}


def moved(tiny: bool) -> dict[str, Any]:
    """Megabytes that a block moves in the steps that `speed` times, and those of diffusers' PixArt."""
    net = PRESETS["tiny" if tiny else "paper"].net
    frames, side, kind = 4 if tiny else 16, net.side, torch.float16
    tokens = PRESETS["tiny" if tiny else "paper"].audio.tokens

    def randn(*shape: int) -> Tensor:
        return torch.empty(shape, device="meta", dtype=kind)

    def ours(temporal: str, reference: bool, masks: bool, free: int = 0) -> Callable[[int], Callable[[], Any]]:
        def call(depth: int) -> Callable[[], Any]:
            sizes = replace(net, depth=depth, injected=depth * reference, temporal=temporal)  # type: ignore[arg-type]
            with torch.device("meta"):
                whole, reader = VideoDiT(sizes).to(kind), ReferenceDiT(sizes).to(kind)
            bank = reader(randn(1, net.channels, side, side)) if reference else None
            seen = whole.project(bank, randn(1, frames, tokens, net.context))
            added = randn(1, frames, net.extra + 2 * masks, side, side)
            x, when = randn(1 + free, frames, net.channels, side, side), torch.tensor(500, device="meta")
            return lambda: whole(x, when, seen, added, free)

        return call

    def reads(depth: int) -> Callable[[], Any]:
        with torch.device("meta"):
            reader = ReferenceDiT(replace(net, depth=depth, injected=1)).to(kind)
        return lambda: reader(randn(frames, net.channels, side, side))

    return {
        "MB of a tensor of all tokens": round(frames * (side // net.patch) ** 2 * net.width * 2 / 1e6, 1),
        "ours without temporal modules and reference": per_block(ours("none", False, False), 2),
        "ours with the reference, without temporal modules": per_block(ours("none", True, False), 2),
        "ours with the reference and guidance, both halves": per_block(ours("none", True, False, 1), 2),
        "ours, temporal plain": per_block(ours("plain", True, False), 2),
        "ours, temporal grid": per_block(ours("grid", True, False), 2),
        "ours, reference and attention masks, without temporal modules": per_block(ours("none", True, True), 2),
        "reference transformer": per_block(reads, 2),
        "diffusers' PixArt, 120 text tokens": pixart(net, frames, kind),
    }


def pixart(net: Any, frames: int, kind: torch.dtype) -> dict[str, float] | str:
    """The same of diffusers' net on as many pictures."""
    try:
        from diffusers import PixArtTransformer2DModel
    except ImportError as error:
        return f"not counted: diffusers is not installed ({error})"

    def call(depth: int) -> Callable[[], Any]:
        with torch.device("meta"):
            theirs = PixArtTransformer2DModel(
                num_attention_heads=net.heads, attention_head_dim=net.width // net.heads, in_channels=4,
                out_channels=8, num_layers=depth, cross_attention_dim=net.width, sample_size=net.side,
                caption_channels=4096,
            ).to(kind).eval()  # fmt: skip
        x = torch.empty(frames, 4, net.side, net.side, device="meta", dtype=kind)
        words = torch.empty(frames, 120, 4096, device="meta", dtype=kind)
        times = torch.full((frames,), 500, device="meta")
        return lambda: theirs(x, encoder_hidden_states=words, timestep=times, added_cond_kwargs={})

    return per_block(call, 2)
