"""Options of a run that all methods which denoise whole clips have; a method's ``Options`` add its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

ClipSampler = Literal["ddim", "euler", "dpm-solver", "lcm"]


def own(text: str, low: float, high: float) -> dict[str, Any]:
    """Metadata of an option that takes the preset's value if nobody asks."""
    return {"help": f"{text}; without it the preset's own", "range": (low, high)}


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is made. Options that are None take the preset's own value."""

    steps: int | None = field(default=None, metadata=own("sampling steps", 1, 300))
    guidance: float | None = field(default=None, metadata=own("classifier-free guidance, 1 for none", 0, 30))
    sampler: ClipSampler = field(default="ddim", metadata={"help": "sampler"})
    window: int | None = field(default=None, metadata=own("frames computed at once", 1, 32))
    overlap: int | None = field(default=None, metadata=own("frames that neighbouring windows share", 0, 31))
    shift: int = field(
        default=0, metadata={"help": "frames by which windows move on in every step, against seams", "range": (0, 31)}
    )
    batch: int = field(default=1, metadata={"help": "windows computed at once"})
    guidance_from: float = field(
        default=0.0, metadata={"help": "approximate: part of the schedule where guidance begins", "range": (0, 1)}
    )
    guidance_to: float = field(
        default=1.0, metadata={"help": "approximate: part of the schedule where guidance ends", "range": (0, 1)}
    )
    preview_decoder: str = field(
        default="",
        metadata={"help": "approximate: decode Stable Diffusion's latents by the small decoder; hub, or its folder"},
    )
    compile: bool = field(default=False, metadata={"help": "compile net and decoder (slow start, then faster on GPUs)"})
    seed: int = field(default=0, metadata={"help": "random seed"})


@dataclass(frozen=True)
class ReferenceNetOptions(ClipOptions):
    """And what the published reference-net methods have in common."""

    reuse: int = field(
        default=1, metadata={"help": "approximate: deep features serve so many steps; 1 is exact", "range": (1, 10)}
    )
    upstream: bool = field(
        default=False, metadata={"help": "as the released code does it, its mistakes included, for parity"}
    )
