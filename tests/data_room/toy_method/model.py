from torch import nn

from toy_method.config import Config


def build_modules(config: Config) -> dict[str, nn.Module]:
    return {"net": nn.Conv2d(3, 3, 1), "shape": nn.Linear(3, len(config.space.landmarks))}
