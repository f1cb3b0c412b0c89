"""A method small enough to train in a test: one net maps source pixels to driver pixels, one critic judges."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vivant.training.stage import Stage


class ToySamples:
    """Random images; the driver is the source with its colours turned round."""

    def __init__(self, count: int = 24, size: int = 8, device: str = "cpu", poison: int | None = None) -> None:
        generator = torch.Generator().manual_seed(5)
        self.images = torch.rand(count, 3, size, size, generator=generator).to(device)
        if poison is not None:
            self.images[poison] = float("nan")
        self.names = [f"clip{i}" for i in range(count)]

    def draw(self, step: int, seed: int, batch: int, mix: dict[str, float], rank: int = 0, world: int = 1) -> Tensor:
        generator = torch.Generator().manual_seed(seed * 7919 % (1 << 40) + step)
        index = torch.randint(len(self.images), (batch * world, 1), generator=generator)
        return index.expand(-1, 3).contiguous()[rank * batch : (rank + 1) * batch]

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        source = self.images.index_select(0, index[:, 0])
        return {"source": source, "driver": source.flip(1)}

    def describe(self, index: Tensor) -> list[str]:
        return [self.names[i] for i in index[:, 0].tolist()]


def toy_modules(norm: bool = True) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    middle: list[nn.Module] = [nn.BatchNorm2d(6)] if norm else []
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1, bias=not norm), *middle, nn.ReLU(), nn.Conv2d(6, 3, 1))
    return {"net": net, "frozen": nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))}


class ToyObjective:
    """Pixel loss of the net's answer, with noise as augmentation and a hinge critic."""

    noise = 0.1

    def __init__(self, modules: dict[str, nn.Module], config: object, stage: Stage, device: object) -> None:
        self.modules, self.weights = modules, stage.loss_weights
        torch.manual_seed(1)
        critic = nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 1, 3))
        self.critics: dict[str, nn.Module] = {"whole": critic.to(device)}

    def augment(self, raw: dict[str, Tensor], generator: torch.Generator | None) -> dict[str, Tensor]:
        source = raw["source"]
        noise = torch.rand(source.shape, generator=generator, device=source.device)
        return {**raw, "source": source + self.noise * noise}

    def losses(self, batch: dict[str, Tensor], adversarial: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        out = self.modules["net"](self.modules["frozen"](batch["source"]))
        terms = {"pixel": self.weights.get("pixel", 1.0) * F.mse_loss(out.float(), batch["driver"])}
        if adversarial:
            terms["adversarial"] = -0.01 * self.critics["whole"](out).mean()
        return terms, {"out": out.detach()}

    def critic_losses(self, batch: dict[str, Tensor], aux: dict[str, Tensor]) -> dict[str, Tensor]:
        critic = self.critics["whole"]
        real, fake = critic(batch["driver"]), critic(aux["out"])
        return {"hinge": F.relu(1 - real).mean() + F.relu(1 + fake).mean()}

    def sheet(self, batch: dict[str, Tensor], modules: dict[str, nn.Module]) -> Tensor:
        out = modules["net"](modules["frozen"](batch["source"]))
        return torch.cat([batch["source"], batch["driver"], out.clamp(0, 1)])


class QuietObjective(ToyObjective):
    """Without randomness, so that runs with different numbers of processes can be compared."""

    noise = 0.0


def toy_stage(**changes: object) -> Stage:
    base = Stage("toy", ("net",), steps=20, batch=8, learning_rate=1e-2, warmup=3, ema_decay=0.9)
    return base.changed(changes)
