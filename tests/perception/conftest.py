from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vivant.perception.faces import FaceFinder

torch.set_num_threads(1)  # the nets are small: more threads only wait for each other
FACES = Path(__file__).resolve().parents[1] / "data" / "faces"


def load(name: str) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(FACES / f"{name}.jpg")), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="session")
def finder() -> FaceFinder:
    return FaceFinder(threads=1)


@pytest.fixture(scope="session")
def woman() -> np.ndarray:
    return load("still_woman")


@pytest.fixture(scope="session")
def man() -> np.ndarray:
    return load("still_man")


@pytest.fixture(scope="session")
def speaker() -> tuple[np.ndarray, np.ndarray]:
    return load("grid_frame_05"), load("grid_frame_50")


@pytest.fixture(scope="module")
def bowed():
    return load("bowed")
