"""Computing parts of a batch side by side changes nothing but the time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.generate import Generator
from vivant.methods.live_portrait.model import build_modules
from vivant.nn.side_by_side import SideBySide


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def crop(seed: int) -> FaceCrop:
    rng = np.random.default_rng(seed)
    landmarks = rng.uniform(64, 192, (478, 3)).astype(np.float32)
    return FaceCrop(rng.integers(0, 255, (256, 256, 3), dtype=np.uint8), landmarks, np.eye(2, 3), (256, 256))


def frames(sources: FaceCrop | list[FaceCrop]) -> np.ndarray:
    torch.manual_seed(0)
    generator = Generator(build_modules(PRESETS["tiny"]), PRESETS["tiny"])
    motion = generator.motion([crop(seed) for seed in range(5)])
    return np.stack(list(generator.animate(sources, motion))).astype(int)


@pytest.mark.parametrize("sources", [crop(9), [crop(seed) for seed in range(10, 15)]], ids=["still", "video"])
def test_two_threads_give_the_frames_of_one(sources: FaceCrop | list[FaceCrop], two_threads: None) -> None:
    side_by_side = frames(sources)
    torch.set_num_threads(1)
    assert np.abs(frames(sources) - side_by_side).max() <= 1
    assert len(side_by_side) == 5


def test_parts_come_back_in_order_also_of_dictionaries(two_threads: None) -> None:
    apply = SideBySide(torch.device("cpu"))
    batch = torch.arange(5.0)[:, None]
    assert torch.equal(apply(lambda part: part * 2, batch), batch * 2)
    found = apply(lambda part: {"twice": part * 2, "rows": torch.full((len(part),), float(len(part)))}, batch)
    assert torch.equal(found["twice"], batch * 2)
    assert found["rows"].tolist() == [3, 3, 3, 2, 2]
