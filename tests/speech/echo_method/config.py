from dataclasses import dataclass, field

from vivant.methods.live_portrait.config import CropConfig

VIEW = CropConfig(1.8, -0.033, True, "mesh")


@dataclass(frozen=True)
class Config:
    speech_encoders: tuple[str, ...] = ("mel",)
    input_size: int = 64
    output_size: int = 64
    source_crop: CropConfig = VIEW
    driving_crop: CropConfig = VIEW


PRESETS = {"tiny": Config()}


@dataclass(frozen=True)
class Options:
    strength_loudness: float = field(default=1.0, metadata={"help": "brightness"})
    seed: int = 0
