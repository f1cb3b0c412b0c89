from __future__ import annotations

from typing import Any

from torch import Generator, Tensor, nn

from vivant.training.stage import Stage

STAGES = {
    "first": Stage("first", ("net",), steps=6, batch=4, learning_rate=1e-2, warmup=1, mix={"rig": 0.5, "grid": 0.5}),
    "second": Stage("second", ("net",), steps=4, batch=4, learning_rate=1e-3, warmup=1),
}
started: list[Tensor] = []


def initialise(modules: dict[str, nn.Module], config: Any, samples: Any) -> None:
    started.append(samples.mean_shape(config.space.landmarks))


class Objective:
    def __init__(self, modules: dict[str, nn.Module], config: object, stage: Stage, device: object) -> None:
        self.modules = modules
        self.critics: dict[str, nn.Module] = {}

    def augment(self, raw: dict[str, Tensor], generator: Generator | None) -> dict[str, Tensor]:
        return {name: raw[name].float() / 255 for name in ("source", "driver")}

    def losses(self, batch: dict[str, Tensor], adversarial: bool) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"pixel": (self.modules["net"](batch["source"]) - batch["driver"]).abs().mean()}, {}

    def critic_losses(self, batch: dict[str, Tensor], aux: dict[str, Tensor]) -> dict[str, Tensor]:
        return {}

    def sheet(self, batch: dict[str, Tensor], modules: dict[str, nn.Module]) -> Tensor:
        return modules["net"](batch["source"])
