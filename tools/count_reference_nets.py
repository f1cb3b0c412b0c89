"""Work of V-Express and Animate Anyone in published size: floating-point operations of the forms that are measured.

Layers run on torch's ``meta`` device, which knows shapes and computes nothing; a multiplication with its addition is
two operations. Matrix products and convolutions are counted, which is nearly all there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from plain_reference_nets import plain_step
from reference_bench import fresh_clip
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vivant.core.registry import get_method
from vivant.diffusion.windows import Windows

FRAMES, SIDE = 24, 64
_TERA = 1e12


def operations(work: Callable[[], Any]) -> float:
    """Tera-operations of ``work``."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / _TERA


class Parts:
    """Tera-operations of each part of a method: of a window of 24 frames with guidance, of a clip, of a frame."""

    def __init__(self, name: str) -> None:
        spec = get_method(name)
        self.config = spec.part("config").PRESETS["paper"]
        with fresh_clip(), torch.device("meta"):
            built = spec.part("model").build_modules(self.config)
        self.modules = {name: module.eval().requires_grad_(False) for name, module in built.items()}
        self.speaks = "audio_projection" in self.modules
        self.unet = self.modules["denoising_unet"]
        reader = self.modules["reference_net" if self.speaks else "reference_unet"]
        guider = self.modules["v_kps_guider" if self.speaks else "pose_guider"]
        size = 8 * SIDE
        with torch.device("meta"), torch.inference_mode():
            latent, token = torch.empty(1, 4, SIDE, SIDE), torch.empty(1, 1, self.config.unet.context)
            self.bank = reader(latent, None if self.speaks else token)
            self.context = torch.empty(1, FRAMES, 5, 768) if self.speaks else token
            one = () if self.speaks else (token,)
            two = () if self.speaks else (torch.empty(2, 1, self.config.unet.context),)
            rows = 1 if self.speaks else 2  # what the released code reads
            drawn = torch.empty(1, FRAMES, 3, size, size)
            self.read = operations(lambda: reader(latent, *one))
            self.read_again = operations(
                lambda: reader(torch.empty(rows, 4, SIDE, SIDE), *(one if self.speaks else two))
            )
            self.features = operations(lambda: guider(drawn))
            self.speech = 0.0
            if self.speaks:
                audio = self.config.audio
                heard = torch.empty(FRAMES, audio.window, audio.inputs)
                self.speech = operations(lambda: self.modules["audio_projection"](heard))
            self.project = operations(lambda: self.unet.project(self.bank, self.context))
            self.plain = operations(self._plain)
            self.exact = operations(lambda: self._ours(2))
            self.unguided = operations(lambda: self._ours(1))
            self.decode = operations(lambda: self.modules["codec"].decode(latent))
            deep = self.unet.with_deep(*self._inputs(2), free=1)[1]
            self.shallow = operations(lambda: self.unet.with_deep(*self._inputs(2), free=1, deep=deep))

    def _inputs(self, rows: int) -> tuple[Any, ...]:
        contexts = self.unet.project(self.bank, self.context)  # type: ignore[operator]
        added = torch.empty(1 if self.speaks else rows, FRAMES, 320, SIDE, SIDE)
        return torch.empty(rows, FRAMES, 4, SIDE, SIDE), torch.empty((), dtype=torch.int64), contexts, added

    def _ours(self, rows: int) -> Tensor:
        # keys and values are not counted here: they are computed once
        found: Tensor = self.unet(*self._inputs(rows), free=rows - 1)
        return found

    def _plain(self) -> Tensor:
        rows, time, _, _ = self._inputs(2)
        context = torch.empty(2 * FRAMES, 5 if self.speaks else 1, 768)
        return plain_step(self.unet, rows, time, self.bank, context, torch.empty(2, FRAMES, 320, SIDE, SIDE))


def table(name: str, seconds: int, steps: int) -> dict[str, Any]:
    """Tera-operations of a guided step of 24 frames, and of a clip at 25 frames a second, in every form."""
    parts = Parts(name)
    exact, unguided = parts.exact - parts.project, parts.unguided - parts.project
    again = parts.plain + parts.read_again + parts.features + parts.speech
    count = 25 * seconds
    windows = len(Windows(FRAMES, 4).starts(count))
    each = parts.features + parts.speech
    once = parts.read + parts.project + each * count / FRAMES + parts.decode * count
    plain_once = parts.read_again + each * count / FRAMES + parts.decode * count
    return {
        "step": {
            "everything again": round(again, 2), "as released": round(parts.plain, 2), "exact": round(exact, 2),
            "without guidance": round(unguided, 2),
            "with deep features of a step before": round(parts.shallow - parts.project, 2),
        },
        "parts": {
            "reference net": round(parts.read, 3), "features of 24 drawings": round(parts.features, 3),
            "audio tokens of 24 frames": round(parts.speech, 4), "keys and values once": round(parts.project, 3),
            "decoding one frame": round(parts.decode, 3),
        },
        "clip": {
            "seconds": seconds, "windows": windows, "steps": steps,
            "everything again": round(windows * steps * again + parts.decode * count),
            "as released": round(windows * steps * parts.plain + plain_once),
            "exact": round(windows * steps * exact + once),
            "4 steps without guidance": round(windows * 4 * unguided + once),
        },
    }  # fmt: skip
