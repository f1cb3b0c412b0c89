"""Small portraits and motions for the tests of generation."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.face import FaceCrop
from vivant.core.facemesh import TRAINING_POINTS
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.generate import Generator
from vivant.methods.live_portrait.model import build_modules
from vivant.methods.live_portrait.motion import Motion, MotionTemplate

SIDE = 128


def crop(seed: int, lip: float = 0.0, eyes: float = 0.3, to_frame: np.ndarray | None = None) -> FaceCrop:
    """A smooth random picture with landmarks that show the given opening ratios."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.random((1, 3, 5, 5)).astype(np.float32))
    image = torch.nn.functional.interpolate(coarse, SIDE, mode="bicubic").clamp(0, 1)[0].permute(1, 2, 0)
    points = np.full((478, 3), SIDE / 2, np.float32)
    for (top, bottom, left, right), ratio in (
        ((159, 145, 33, 133), eyes), ((386, 374, 263, 362), eyes), ((13, 14, 61, 291), lip)
    ):  # fmt: skip
        points[left, 0], points[right, 0] = 40, 60
        points[top, 1], points[bottom, 1] = 50, 50 + 20 * ratio
    place = np.array([[2.0, 0, 100], [0, 2.0, 60]]) if to_frame is None else to_frame
    return FaceCrop((image.numpy() * 255).astype(np.uint8), points, place, (480, 640))


class Watcher(nn.Module):
    """A motion extractor that reacts strongly to its picture, as a trained one does and a random one does not."""

    def __init__(self, points: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.sizes = {"kp": 3 * points, "exp": 3 * points, "scale": 1, "t": 3, "pitch": 1, "yaw": 1, "roll": 1}
        self.register_buffer("mix", torch.randn(48, sum(self.sizes.values()), generator=random) / 7)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        seen = torch.nn.functional.adaptive_avg_pool2d(image, 4).flatten(1) - 0.5
        parts = dict(zip(self.sizes, (seen @ self.mix).split(list(self.sizes.values()), 1)))
        degrees = {name: 30 * parts[name] for name in ("pitch", "yaw", "roll")}
        fixed = (self.mix[:1, : self.sizes["kp"]] * 3).expand(len(image), -1)
        return {**parts, "kp": fixed, "exp": parts["exp"] * 0.1, "scale": 1 + 0.1 * parts["scale"], **degrees}


class DotFinder(nn.Module):
    """A motion extractor that sees the brightest spot: place as translation, size as scale."""

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        light = image.mean(1) ** 2
        axis = (torch.arange(image.shape[-1]) + 0.5) / image.shape[-1] * 2 - 1
        total = light.sum((1, 2)) + 1e-9
        x, y = (light.sum(1) * axis).sum(1) / total, (light.sum(2) * axis).sum(1) / total
        spread = ((light * ((axis[None, None] - x[:, None, None]) ** 2)).sum((1, 2)) / total).sqrt()
        nil, angle = torch.zeros(len(image), 99), torch.zeros(len(image), 1)
        place = torch.stack([x, y, torch.zeros_like(x)], 1)
        return {"kp": nil, "exp": nil, "scale": spread[:, None], "t": place} | dict.fromkeys(
            ("pitch", "yaw", "roll"), angle
        )


@cache
def generator(preset: str = "tiny", trained: bool = False) -> Generator:
    """A generator with random weights; ``trained``: the nets of stage II answer something, too."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    config = PRESETS[preset]
    modules = build_modules(config)
    for weights in modules["stitching_retargeting_module"].parameters():
        if trained and weights.ndim == 2:
            torch.nn.init.normal_(weights, std=0.1)
    if preset == "tiny":
        modules["motion_extractor"] = Watcher(config.space.keypoints)
    return Generator(modules, config)


def motion(count: int, points: int, seed: int = 0, spread: float = 0.05) -> Motion:
    """B = ``count`` random, plausible motions."""
    from vivant.methods.live_portrait.algebra import rotation_matrix

    random = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random)

    in_plane = noise(count, 3) * spread * torch.tensor([1.0, 1.0, 0.0])
    return Motion(
        exp=noise(count, points, 3) * spread,
        rotation=rotation_matrix(*(noise(count) * 10 for _ in range(3))),
        scale=1.2 + noise(count, 1) * spread,
        translation=in_plane,
        canonical=noise(1, points, 3).expand(count, -1, -1) * 0.3,
        eyes=(0.3 + noise(count, 2) * spread).clamp(0, 0.8),
        lip=(0.1 + noise(count, 1) * spread).clamp(0, 0.8),
    )


def template(count: int, points: int, space: str, seed: int = 0) -> MotionTemplate:
    """A template of ``count`` random motions at 30000/1001 frames per second."""
    made = motion(count, points, seed)
    names = ("exp", "rotation", "scale", "translation", "canonical", "eyes", "lip")
    arrays = {name: getattr(made, name).numpy() for name in names}
    return MotionTemplate(Fraction(30000, 1001), space, keypoints=made.keypoints().numpy(), **arrays)


def raw_pair(face, size: int = 256, count: int = 2) -> dict[str, Tensor]:
    """What FaceClips gives, for a face that stays as it is."""
    image, marks, _ = face
    picture = (torch.nn.functional.interpolate(image, size) * 255).to(torch.uint8).expand(count, -1, -1, -1)
    raw = {"neutral": marks.expand(count, -1, -1), "weight": torch.ones(count, len(TRAINING_POINTS))}
    raw["still"] = torch.ones(count)
    for name in ("source", "driver"):
        raw |= {
            name: picture, f"{name}_landmarks": marks.expand(count, -1, -1), f"{name}_rotation": torch.zeros(count, 3),
            f"{name}_scale": torch.full((count,), 1.1), f"{name}_translation": torch.zeros(count, 2),
        }  # fmt: skip
    return raw


def modules_of(preset: str) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {name: module.eval() for name, module in build_modules(PRESETS[preset]).items()}
