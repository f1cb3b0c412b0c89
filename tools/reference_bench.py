"""One of the reference-net methods with random weights on a device, and made-up input: what measurements run on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.face import FaceCrop
from vivant.core.registry import get_method
from vivant.core.speech import Speech


class Bench:
    """One method with random weights on the device."""

    def __init__(self, name: str, tiny: bool) -> None:
        self.name, self.spec = name, get_method(name)
        self.config = self.spec.part("config").PRESETS["tiny" if tiny else "paper"]
        self.device = torch.device("cpu" if tiny else "cuda")
        self.dtype = torch.float32 if tiny else torch.float16
        torch.manual_seed(0)
        with fresh_clip(), self.device:
            modules = self.spec.part("model").build_modules(self.config)
        for module in modules.values():
            for parameter in module.parameters():
                if parameter.ndim > 1 and not parameter.any():
                    nn.init.normal_(parameter, std=0.02)
        self.generator = self.spec.part("generate").Generator(modules, self.config, self.device, self.dtype)

    def ordered(self, kind: torch.memory_format) -> None:
        """The nets' weights in one order of memory: the released code has the contiguous one, ours channels last."""
        for name, module in self.generator.modules.items():
            if self.device.type == "cuda" and name not in ("audio_projection", "image_encoder"):
                module.to(memory_format=kind)  # type: ignore[call-overload]

    def source(self) -> FaceCrop:
        """Noise with landmarks of a face."""
        landmarks = np.zeros((478, 3), np.float32)
        landmarks[[33, 133]], landmarks[[362, 263]], landmarks[1] = (
            [[80, 100, 0]] * 2,
            [[160, 100, 0]] * 2,
            [120, 150, 0],
        )
        image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), dtype=np.uint8)
        return FaceCrop(image, landmarks, np.eye(2, 3), (256, 256))

    def controls(self, count: int) -> Controls:
        """Made-up controls of ``count`` frames."""
        rng, fps = np.random.default_rng(1), Fraction(25)
        pose = rng.uniform(-0.8, 0.8, (count, 60, 3)).astype(np.float32)
        pose[..., 2] = 1
        points = np.array([[-0.3, -0.1], [0.3, -0.1], [0, 0.2]], np.float32) + rng.normal(0, 0.01, (count, 3, 2))
        speech = None
        if self.config.speech_encoders:
            audio = self.config.audio
            values = rng.normal(size=(count, audio.steps, audio.inputs)).astype(np.float32)
            speech = Speech(np.zeros(count * 640, np.float32), fps, np.ones(count, np.float32), {audio.encoder: values})
        return Controls(fps, count, speech, None, points.astype(np.float32), pose)

    def options(self, **values: Any) -> Any:
        """The method's options."""
        return self.spec.part("config").Options(**values)

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def timed(self, work: Callable[[], Any], repeats: int) -> float:
        """Median seconds of ``work``, after one run that does not count."""
        work()
        seconds = []
        for _ in range(repeats):
            self.synchronize()
            start = time.perf_counter()
            work()
            self.synchronize()
            seconds.append(time.perf_counter() - start)
        return float(np.median(seconds))


@contextmanager
def fresh_clip() -> Iterator[None]:
    """CLIP is frozen and runs once a video; where its package is missing a stand-in of the same width serves."""
    import vivant.methods.animate_anyone.model as model
    from vivant.nn.picture_encoder import ClipEncoder

    original = model.picture_encoder

    def encoder(name: str, blocks: int = 16) -> nn.Module:
        try:
            return original(name, blocks)
        except Exception:
            return _StandIn()

    model.picture_encoder = encoder  # type: ignore[attr-defined]
    assert ClipEncoder
    try:
        yield
    finally:
        model.picture_encoder = original  # type: ignore[attr-defined]


class _StandIn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 768)

    def forward(self, image: Tensor) -> Tensor:
        return self.linear(image.mean((2, 3)))


def samples_of(config: Any, frames: int, device: torch.device, windows: Any, clip: Any) -> Any:
    """Two clips of random numbers in the shapes of real ones."""
    count, side = 2 * frames, config.output_size // 8
    driven = hasattr(config, "driven")  # MegActor-Sigma
    channels = (config.net if driven else config.unet).channels
    arrays: dict[str, Tensor] = {"latents": torch.randn(count, channels, side, side, device=device).half()}
    if driven:
        from vivant.core.facemesh import FACE_POINTS

        audio, size = config.audio, config.output_size
        arrays["picture"] = torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8, device=device)
        arrays["points"] = torch.rand(count, len(FACE_POINTS), 2, device=device) - 0.5
        arrays["speech"] = torch.randn(count, audio.steps, audio.numbers, device=device).half()
        arrays["heard"] = torch.ones(count, device=device)
    elif config.speech_encoders:
        audio = config.audio
        arrays["v_kps"] = torch.tensor([[-0.3, -0.1], [0.3, -0.1], [0.0, 0.2]], device=device).repeat(count, 1, 1)
        arrays["mouth"] = torch.tensor([[-0.2, 0.3, 0.2, 0.6]], device=device).repeat(count, 1)
        arrays["speech"] = torch.randn(count, audio.steps, audio.inputs, device=device).half()
        arrays["heard"] = torch.ones(count, device=device)
    else:
        size = config.output_size
        arrays["drawing"] = torch.randint(0, 255, (count, 3, size, size), dtype=torch.uint8, device=device)
        arrays["look"] = torch.randn(count, 24 if config.image == "lite0" else 768, device=device).half()
    return windows([clip("a", "random", frames), clip("b", "random", frames)], arrays, frames)
