"""The golden file's fill rule and inputs, and small nets for tests."""

import json
import math
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from vivant.core.controls import Controls
from vivant.core.face import FaceCrop
from vivant.core.speech import Speech
from vivant.methods.diffused_heads.audio import FEATURES
from vivant.methods.diffused_heads.config import Config

DATA = Path(__file__).parent / "data"
GOLDEN = json.loads((DATA / "golden.json").read_text())["outputs"]
SMALL_CONFIG = Config(
    image_size=32, width=32, multipliers=(1, 2), blocks=1, encoder="mel", audio_width=16, zero_start=False
)
SHAPES = json.loads((DATA / "shapes.json").read_text())


def gen(tag, shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(tag.encode())))


def fill(net):
    """Every number from the crc32 of its key, as the golden file says."""
    state = {}
    for key, value in net.state_dict().items():
        noise = gen(key, value.shape)
        if value.ndim >= 2:
            state[key] = noise / math.sqrt(value[0].numel())
        else:
            state[key] = 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise
    net.load_state_dict(state)
    return net.eval()


def error(tag, found):
    """Largest difference from the golden record of ``tag``."""
    want, flat = GOLDEN[tag], found.double().flatten()
    assert list(found.shape) == want["shape"]
    ends = torch.cat([flat[:8], flat[-4:]]) - torch.tensor(want["first8"] + want["last4"], dtype=torch.float64)
    moments = [flat.mean() - want["mean"], flat.std() - want["std"], flat.abs().max() - want["absmax"]]
    return float(torch.cat([ends, torch.stack(moments)]).abs().max())


def portrait(size=48, seed=0):
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((1, 3, 4, 4))).float()
    image = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic").clamp(0, 1)[0]
    pixels = (image * 255).to(torch.uint8).permute(1, 2, 0).numpy()
    return FaceCrop(pixels, np.zeros((478, 3), np.float32), np.eye(2, 3), (size, size))


def speech(config, count, seed=0, fps=Fraction(25)):
    rng = np.random.default_rng(seed)
    samples = (0.1 * rng.standard_normal(int(count * 16000 / fps))).astype(np.float32)
    widths = {"mel": (4, 80), "whisper-tiny-en": (2, 5 * 384)}
    features = {n: rng.standard_normal((count, *widths[n])).astype(np.float32) for n in config.speech_encoders}
    assert set(widths) == set(FEATURES)
    return Speech(samples, fps, np.ones(count, np.float32), features)


def controls(config, count, seed=0):
    return Controls(Fraction(25), count, speech(config, count, seed))
