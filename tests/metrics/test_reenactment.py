from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from known_faces import KnownFinder

from vivant.core.errors import FaceError, MediaError
from vivant.core.face import FaceCrop
from vivant.media.image import write_image
from vivant.metrics import runner
from vivant.metrics.reenactment import (
    Animator,
    Case,
    Reading,
    Record,
    parse_record,
    read_records,
    record_line,
    resized,
    run_case,
    true_frames,
)
from vivant.metrics.runner import Made, run_protocol
from vivant.metrics.statistics import Moments

Maker = Callable[..., np.ndarray]
READING = Reading(stride=1, frames=20, size=96)
MOTION = [
    {"yaw": 8 * np.sin(i), "mouth": 0.5 + 0.5 * np.sin(2 * i), "gaze": (0.1 * np.cos(i), 0.1 * np.sin(3 * i))}
    for i in range(8)
]


def frame_of(picture: np.ndarray, number: int) -> np.ndarray:
    image = np.roll(picture, number, axis=1)
    image[0, 0] = number
    return image


@pytest.fixture
def clip(tmp_path: Path, picture: np.ndarray, face: Maker, finder: KnownFinder) -> Path:
    """A folder of PNG frames whose faces the finder knows."""
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, pose in enumerate(MOTION):
        image = frame_of(picture, number)
        finder.tell(image, face(**pose))
        write_image(folder / f"{number:03d}.png", image)
    return folder


@pytest.fixture(autouse=True)
def plain_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identity has its own test; here the net would only take time."""

    def distances(source: FaceCrop, images: Sequence[np.ndarray], points: Sequence[np.ndarray | None]) -> np.ndarray:
        return np.array([np.nan if p is None else 0.25 for p in points])

    monkeypatch.setattr("vivant.metrics.reenactment.identity_distances", distances)


def telling(finder: KnownFinder, picture: np.ndarray, poses: Iterable[dict[str, object]], face: Maker) -> Animator:
    """A method whose frames show faces in the given poses."""

    def animate(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterable[np.ndarray]:
        for number, pose in enumerate(poses):
            image = frame_of(picture, number)
            image[1, 1] = 77
            if pose is not None:
                finder.tell(image, face(**pose))
            yield image

    return animate


def score(case: Case, finder: KnownFinder, animator: Animator) -> Record:
    (record,) = run_case(case, {"it": ("s", animator)}, finder, READING, set())
    return record


def test_true_frames_have_no_error(clip: Path, finder: KnownFinder) -> None:
    record = score(Case("a", "self", clip, person="p"), finder, true_frames)
    assert record.frames == len(MOTION) - 1 and record.missing == 0
    assert record.values["landmark_error"] == 0 and record.values["l1"] == 0
    assert record.values["rotation_error"] == pytest.approx(0, abs=1e-5)
    assert record.values["ssim"] == pytest.approx(1) and record.values["psnr"] == 100
    for series in ("mouth", "gaze_x", "gaze_y"):
        assert record.moments[series].correlation == pytest.approx(1)
        assert record.moments[series].gain == pytest.approx(1)


def test_half_the_mouth_lowers_its_gain_only(clip: Path, finder: KnownFinder, picture: np.ndarray, face: Maker) -> None:
    poses = [pose | {"mouth": 0.5 * float(pose["mouth"])} for pose in MOTION]
    record = score(Case("a", "self", clip), finder, telling(finder, picture, poses, face))
    assert record.moments["mouth"].gain == pytest.approx(0.5, abs=0.02)
    assert record.moments["mouth"].correlation > 0.99
    assert record.moments["gaze_x"].gain == pytest.approx(1, abs=1e-3)
    assert record.values["rotation_error"] == pytest.approx(0, abs=1e-3)


def test_late_motion_lowers_correlation(clip: Path, finder: KnownFinder, picture: np.ndarray, face: Maker) -> None:
    poses = [MOTION[max(i - 1, 0)] for i in range(len(MOTION))]
    record = score(Case("a", "self", clip), finder, telling(finder, picture, poses, face))
    assert record.moments["mouth"].correlation < 0.8


def test_blur_lowers_the_picture_but_not_the_motion(clip: Path, finder: KnownFinder, face: Maker) -> None:
    def blurred(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterable[np.ndarray]:
        for driver, pose in zip(drivers, MOTION):
            assert driver is not None
            image = cv2.GaussianBlur(driver.image, (0, 0), 1.5)
            finder.tell(image, face(**pose))
            yield image

    record = score(Case("a", "self", clip), finder, blurred)
    assert record.values["psnr"] < 40 and record.values["ssim"] < 0.98
    assert record.values["rotation_error"] == pytest.approx(0, abs=1e-5)


def test_frames_without_a_face_are_counted(clip: Path, finder: KnownFinder, picture: np.ndarray, face: Maker) -> None:
    poses = [None if i in (2, 5) else pose for i, pose in enumerate(MOTION)]
    record = score(Case("a", "self", clip), finder, telling(finder, picture, poses, face))
    assert (record.frames, record.missing) == (7, 2)
    assert record.values["landmark_error"] == pytest.approx(0, abs=1e-6)
    assert record.moments["mouth"].count == 5


def test_cross_reenactment_compares_changes(
    clip: Path, tmp_path: Path, finder: KnownFinder, picture: np.ndarray, face: Maker
) -> None:
    portrait = tmp_path / "portrait.png"
    image = frame_of(picture, 50)
    finder.tell(image, face(size=3.0))
    write_image(portrait, image)
    case = Case("a by b", "cross", clip, portrait)
    same = score(case, finder, telling(finder, picture, MOTION, face))
    assert same.values["rotation_error"] == pytest.approx(0, abs=1e-4)
    assert "psnr" not in same.values and same.frames == len(MOTION)
    still = score(case, finder, telling(finder, picture, [MOTION[0]] * len(MOTION), face))
    assert still.values["rotation_error"] > 2
    assert still.moments["mouth"].gain == pytest.approx(0, abs=1e-6)


def test_what_cannot_be_measured(clip: Path, finder: KnownFinder, tmp_path: Path, picture: np.ndarray) -> None:
    with pytest.raises(FaceError, match="first frame"):
        list(run_case(Case("a", "self", clip), {"it": ("s", true_frames)}, KnownFinder(), READING, set()))
    short: Animator = lambda source, drivers, relative: iter([source.image])  # noqa: E731
    with pytest.raises(MediaError, match="gave 1 frames for 8"):
        list(run_case(Case("a", "self", clip), {"it": ("s", short)}, finder, READING, set()))
    with pytest.raises(MediaError, match="not a square"):
        resized(np.zeros((4, 6, 3), np.uint8), 4)


def test_records_survive_writing(tmp_path: Path) -> None:
    record = Record("self", "a", "m", "p", "s", 3, 1, {"psnr": float("nan"), "l1": 0.5}, {"mouth": Moments(3, 1, 2, 1)})
    again = parse_record(record_line(record))
    assert again.moments == record.moments and again.key == record.key
    assert np.isnan(again.values["psnr"]) and again.values["l1"] == 0.5
    path = tmp_path / "records.jsonl"
    path.write_text(record_line(record) + "\n" + record_line(record)[:40])
    assert len(read_records(path)) == 1
    assert read_records(tmp_path / "none.jsonl") == []


def test_protocol_resumes_and_reports(
    clip: Path, tmp_path: Path, finder: KnownFinder, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterable[np.ndarray]:
        calls.append("x")
        return true_frames(source, drivers, relative)

    monkeypatch.setattr(runner, "BASELINES", {"repeat the still": runner.BASELINES["repeat the still"]})
    made = Made("ours", {"self": counted, "cross": counted}, {"weights": "w"})
    cases = [Case("a", "self", clip, person="p")]
    out = tmp_path / "out"
    text = run_protocol(cases, made, READING, finder, out, {"split": "test"})
    assert run_protocol(cases, made, READING, finder, out, {"split": "test"}) == text
    assert len(calls) == 1
    cases.append(Case("b", "self", clip, person="q"))
    with (out / "records.jsonl").open("a") as file:
        file.write('{"task": "self", "case": "b", "cut')
    run_protocol(cases, made, READING, finder, out, {"split": "test"})
    assert len(calls) == 2 and len(read_records(out / "records.jsonl")) == 6
    rows = json.loads((out / "results.json").read_text())["tables"][0]["methods"]
    assert rows["ours"]["clips"] == 2 and rows["ours"]["landmark_error"]["value"] == 0
    assert rows["repeat the still"]["mouth_gain"]["value"] == pytest.approx(0, abs=1e-9)
    assert rows["repeat the still"]["mouth_correlation"]["value"] is None
    assert (out / "contact_sheet.jpg").stat().st_size > 1000
    other = Made("ours", made.animators, {"weights": "other"})
    run_protocol(cases, other, READING, finder, out, {"split": "test"})
    assert len(calls) == 4
    os.utime(min(clip.iterdir()), (2**33, 2**33))  # another picture under the old name
    run_protocol(cases, other, READING, finder, out, {"split": "test"})
    assert len(calls) == 6 and len(read_records(out / "records.jsonl")) == 6

    def breaks(source: FaceCrop, drivers: Sequence[FaceCrop | None], relative: bool) -> Iterable[np.ndarray]:
        raise cv2.error("bad argument")

    broken = Made("ours", {"self": breaks, "cross": breaks}, {"weights": "broken"})
    assert "Left out: a: error: bad argument" in run_protocol(cases, broken, READING, finder, out, {"split": "test"})


def test_protocol_without_any_face_says_so(clip: Path, tmp_path: Path) -> None:
    made = Made("ours", {"self": true_frames, "cross": true_frames}, {})
    with pytest.raises(FaceError, match="Nothing could be measured"):
        run_protocol([Case("a", "self", clip)], made, READING, KnownFinder(), tmp_path / "out", {})
