"""How clips are cut and scaled before they are compared."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write

from vivant.core.errors import MediaError
from vivant.metrics.measure import make_plan, measure
from vivant.metrics.probes.base import Findings, Lab
from vivant.metrics.subject import Subject
from vivant.metrics.view import Align, View


def found(subject: Subject, view: View, *names: str) -> Findings:
    return measure(subject, make_plan(names, view, Lab())).findings


@pytest.fixture(scope="module")
def sizes(speaker: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same frames at 144 and at 288 pixels."""
    root = tmp_path_factory.mktemp("sizes")
    large = [cv2.resize(frame, (288, 288), interpolation=cv2.INTER_CUBIC) for frame in speaker[:6]]
    return write(root / "small.mp4", speaker[:6]), write(root / "large.mp4", large)


@pytest.mark.parametrize("align", ["square", "face"])
def test_clips_of_two_sizes_want_one_however_they_are_cut(sizes: tuple[Path, Path], align: Align) -> None:
    """Landmarks in pixels of two pictures of different sizes would be compared otherwise."""
    subject = Subject("a", sizes[1], sizes[0])
    with pytest.raises(MediaError, match="give --size"):
        found(subject, View(align=align), "landmark-error")
    scaled = found(subject, View(align=align, size=(144, 144)), "landmark-error")
    assert 0 < scaled.values["landmark-error"] < 0.05


def test_a_driver_may_have_a_size_of_its_own(sizes: tuple[Path, Path]) -> None:
    values = found(Subject("a", sizes[0], driver=sizes[1]), View(), "aed-blendshapes", "apd-mesh").values
    assert values["aed-blendshapes"] < 0.05 and values["apd-mesh"] < 3


def test_a_driver_is_cut_around_its_own_face(
    sizes: tuple[Path, Path], speaker: list[np.ndarray], tmp_path: Path
) -> None:
    wide = []
    for frame in speaker[:6]:
        picture = np.full((144, 720, 3), 127, np.uint8)
        picture[:, -144:] = frame
        wide.append(picture)
    driver = write(tmp_path / "driver.mp4", wide)
    view = View(align="face", size=(128, 128))
    values = found(Subject("a", sizes[0], driver=driver), view, "aed-blendshapes", "mouth-gain").values
    assert np.isfinite(values["aed-blendshapes"]) and values["aed-blendshapes"] < 0.05


def test_a_driver_of_another_shape_is_not_stretched(
    sizes: tuple[Path, Path], speaker: list[np.ndarray], tmp_path: Path
) -> None:
    wide = [np.pad(frame, ((0, 0), (144, 144), (0, 0)), mode="edge") for frame in speaker[:6]]
    driver = write(tmp_path / "driver.mp4", wide)
    names = ("aed-blendshapes", "apd-mesh")
    values = found(Subject("a", sizes[0], driver=driver), View(size=(144, 144)), *names).values
    assert values["aed-blendshapes"] < 0.03 and values["apd-mesh"] < 2
