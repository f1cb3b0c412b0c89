from dataclasses import dataclass


@dataclass(frozen=True)
class Space:
    landmarks: tuple[int, ...] = (1, 33)


@dataclass(frozen=True)
class Config:
    space: Space = Space()


PRESETS = {"small": Config()}
