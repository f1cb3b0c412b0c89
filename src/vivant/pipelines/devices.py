"""Which device and number type a pipeline computes with."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from vivant.core.errors import ConfigError
from vivant.pipelines.options import unknown

if TYPE_CHECKING:
    import torch

DTYPES = {"fp32": "float32", "float32": "float32", "fp16": "float16", "float16": "float16"} | {
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
}


def pick_device(name: str = "auto") -> str:
    """A usable torch device: ``"auto"`` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        ConfigError: unknown name, or that hardware is not there.
    """
    import torch

    have = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if have[kind])
    kind = name.split(":")[0]
    if kind not in have:
        raise unknown("device", name, ["auto", *have])
    if not have[kind]:
        raise ConfigError(f"There is no {kind} device on this machine: use --device cpu or auto.")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError):
        raise ConfigError(f"The device '{name}' does not exist on this machine: use {kind} or auto.") from None
    return name


def pick_dtype(name: str, device: str) -> torch.dtype:
    """The torch number type. ``"auto"`` is bf16 on processors that compute in it (about twice as fast in the decoder,
    and no metric of the README's table changes), else fp32; fp16 needs a GPU.

    Raises:
        ConfigError: unknown name, or fp16 on the CPU.
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if device == "cpu" and has_native_bf16() else torch.float32
    if name not in DTYPES:
        raise unknown("number type", name, ["auto", "fp32", "fp16", "bf16"])
    if DTYPES[name] == "float16" and device == "cpu":
        raise ConfigError("fp16 needs a GPU: use --dtype fp32 (or bf16) on the CPU.")
    kind: torch.dtype = getattr(torch, DTYPES[name])
    if kind == torch.bfloat16 and device == "cpu" and not has_native_bf16():
        warnings.warn(
            "This processor has no bf16 instructions, so bf16 may be a hundred times slower here than fp32: use "
            "--dtype auto or fp32.",
            stacklevel=2,
        )
    return kind


def has_native_bf16() -> bool:
    """Whether this processor has bf16 instructions; without them bf16 is slower than fp32."""
    import torch

    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
