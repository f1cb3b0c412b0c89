"""Metrics in closed form: blinks, beats, words, flow, steadiness, gaze, V-Kps, identity, views."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import write
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.functional.text import word_error_rate as reference_wer

from vivant.core.errors import ConfigError, FaceError, WeightsError
from vivant.core.face import Face
from vivant.metrics.beats import beat_alignment, motion_beats, onsets
from vivant.metrics.blinks import blinks
from vivant.metrics.image import psnr, ssim
from vivant.metrics.metric import all_metrics
from vivant.metrics.motion import EYE_CORNERS, EYE_RADIUS, eye_distance, gaze_angles, v_kps
from vivant.metrics.probes import flow, geometry, identity, pixels, steadiness
from vivant.metrics.probes.base import Case, Findings, Lab, slope
from vivant.metrics.subject import Subject
from vivant.metrics.view import Block, View, centre_square, cut, face_square, scaled
from vivant.metrics.words import lacking_recogniser, word_error_rate, words_of

Maker = Callable[..., np.ndarray]
HERE = Path(__file__)


def collect(module: object, made: list[np.ndarray], true: list[np.ndarray] | None = None,
            faces: dict[str, list[Face | None]] | None = None, fps: int = 25) -> Findings:  # fmt: skip
    case = Case(Subject("x", HERE, None if true is None else HERE), View(), Fraction(fps))
    names = {metric.name: metric for metric in module.METRICS if not metric.weights}  # type: ignore[attr-defined]
    collector = module.start(Lab(), names, case)  # type: ignore[attr-defined]
    collector.see(Block(0, made, true, None, lambda role: (faces or {})[role]))
    return collector.finish()


def as_face(landmarks: np.ndarray | None, shapes: np.ndarray | None = None) -> Face | None:
    if landmarks is None:
        return None
    box = np.concatenate([landmarks[:, :2].min(0), landmarks[:, :2].max(0)])
    return Face(landmarks, box, 1.0, np.zeros(52, np.float32) if shapes is None else shapes)


@pytest.mark.parametrize("sigma", [0.8, 2.5])
def test_psnr_and_ssim_agree_with_torchmetrics(picture: np.ndarray, sigma: float) -> None:
    import torch

    other = cv2.GaussianBlur(picture, (0, 0), sigma)
    a, b = (torch.tensor(x.transpose(2, 0, 1)[None].astype(np.float64)) for x in (other, picture))
    assert psnr(other, picture) == pytest.approx(float(peak_signal_noise_ratio(a, b, data_range=255.0)), abs=1e-5)
    # torchmetrics also counts the rim, where windows reach into mirrored pixels; the inside must agree
    _, whole = structural_similarity_index_measure(a, b, data_range=255.0, sigma=1.5, return_full_image=True)
    assert ssim(other, picture) == pytest.approx(float(whole[..., 5:-5, 5:-5].mean()), abs=1e-6)


def test_wrapped_psnr_in_closed_form() -> None:
    grey, lighter = np.full((8, 8, 3), 100, np.uint8), np.full((8, 8, 3), 110, np.uint8)
    assert pixels.wrapped_psnr(lighter, grey) == pytest.approx(psnr(lighter, grey))
    far = np.full((8, 8, 3), 120, np.uint8)  # 20 * 20 = 400 wraps to 144
    assert pixels.wrapped_psnr(far, grey) == pytest.approx(10 * np.log10(255**2 / 144))
    assert pixels.wrapped_psnr(grey, far) == pixels.wrapped_psnr(far, grey)  # -20 wraps to 236, its square to 144, too


def test_blinks_are_counted_and_timed() -> None:
    fps, opening = 100, np.full(1000, 0.3)
    for start, length in ((100, 20), (400, 10), (700, 80), (990, 10)):  # the third is too long, the last never opens
        opening[start : start + length] = 0.0
    rate, length = blinks(opening, fps)
    assert rate == pytest.approx(2 / 10)
    assert length == pytest.approx((0.20 + 0.10) / 2, abs=1e-9)
    assert blinks(np.full(50, 0.3), 25)[0] == 0
    assert np.isnan(blinks(np.full(50, np.nan), 25)[0])
    opening[[399, 705]] = np.nan
    assert blinks(opening, fps)[0] == pytest.approx(1 / 9.98)


def test_a_blink_between_frames_is_interpolated() -> None:
    opening = np.array([0.4] * 5 + [0.1, 0.1] + [0.4] * 10)
    rate, length = blinks(opening, 25)
    assert rate == pytest.approx(25 / 17)
    assert length == pytest.approx((1 + 2 * (1 - 2 / 3)) / 25)  # 0.2 is crossed two thirds of the way down


def test_words() -> None:
    assert words_of("Don't stop, it's 9 o’clock!") == ["don't", "stop", "it's", "9", "o'clock"]
    for heard, said in (("a b c", "a b c"), ("a x c", "a b c"), ("a c", "a b c"), ("a b b c d", "a b c"), ("", "a b")):
        assert word_error_rate(heard, said) == pytest.approx(float(reference_wer([heard], [said])))
    assert np.isnan(word_error_rate("a", "..."))
    with pytest.raises(ConfigError, match="no recogniser"):
        lacking_recogniser("ears")


def test_beats_at_onsets_align() -> None:
    rate = 16_000
    times = np.array([0.5, 1.1, 1.7, 2.4])
    sound = np.zeros(3 * rate, np.float32)
    rng = np.random.default_rng(0)
    for time in times:
        start = round(time * rate)
        sound[start : start + 1600] = rng.normal(0, 0.3, 1600)
    found = onsets(sound, rate)
    assert all(np.abs(found - time).min() < 0.03 for time in times)
    assert beat_alignment(times, times) == 1
    assert beat_alignment(times + 0.12, times) == pytest.approx(np.exp(-0.5), rel=1e-6)
    assert np.isnan(beat_alignment(np.empty(0), times)) and not len(onsets(np.zeros(100, np.float32), rate))
    speed = 2 + np.cos(2 * np.pi * (np.arange(75) + 0.3) / 25)  # least once a second, half a second after its start
    assert motion_beats(speed, 25) == pytest.approx([0.5, 1.5, 2.5], abs=0.041)


def test_flow_of_a_moving_picture(speaker: list[np.ndarray]) -> None:
    large = cv2.resize(cv2.GaussianBlur(speaker[0], (0, 0), 1), (128, 128))
    made = [np.roll(large, i, axis=1) for i in range(4)]
    still = [large] * 4
    found = collect(flow, made, still)
    # flat background shows no motion to any flow; where there is detail the picture moves by one pixel
    assert 0.4 < found.values["ofm"] < 1.1 and found.truth["ofm"] < 0.01
    assert found.values["flow-error"] == pytest.approx(found.values["ofm"], abs=0.01)
    assert found.truth["f-mse"] == 0 < found.values["f-mse"]
    assert np.isnan(found.series["ofm"][0]) and len(found.series["ofm"]) == 4


def test_published_quirks_of_flow_and_steps() -> None:
    grey, lighter = np.full((128, 128, 3), 50, np.uint8), np.full((128, 128, 3), 70, np.uint8)
    assert flow.step_error(grey, lighter) == 400
    assert flow.wrapped_step_error(grey, lighter) == 144
    magnitude = np.tile(np.linspace(0, 3, 128), (128, 1))
    assert flow.coloured_mean(magnitude) == pytest.approx(flow.coloured_mean(50 * magnitude), abs=0.5)


def test_flicker_and_drift_in_closed_form() -> None:
    base = np.full((64, 64, 3), 100, np.uint8)
    base[::2] += 40
    blink = [base + (5 if i % 2 else 0) for i in range(12)]
    found = collect(steadiness, blink, [base] * 12)
    assert found.values["flicker"] == pytest.approx(100 * 2.5 / 255, rel=1e-6)  # amplitude 2.5 around the mean
    assert found.truth["flicker"] == 0
    steady = collect(steadiness, [base + i for i in range(12)])
    assert steady.values["flicker"] == pytest.approx(0, abs=1e-9)
    assert steady.values["colour-drift"] == pytest.approx(25 * np.sqrt(3), rel=1e-6)
    assert steady.values["sharpness-drift"] == pytest.approx(0, abs=1e-3)
    sharp = steady.series[steadiness.SHARPNESS]
    assert sharp.shape == (12,) and float(np.ptp(sharp)) < 1e-4 and steadiness.SHARPNESS not in steady.values
    assert slope([1, 2, np.nan, 4], Fraction(10)) == pytest.approx(10)
    assert np.isnan(slope([1, 2], Fraction(10)))


def test_gaze_angles_and_v_kps(face: Maker) -> None:
    marks = face()
    eye = marks[list(EYE_CORNERS[0]), :2]
    width = np.linalg.norm(eye[1] - eye[0])
    for corners, iris in zip(EYE_CORNERS, (468, 473)):
        middle = marks[list(corners), :2].mean(0)
        marks[iris, :2] = middle + np.array([EYE_RADIUS * width * np.sin(np.radians(20)), 0])
    assert gaze_angles(marks) == pytest.approx((20, 0), abs=0.3)
    points = v_kps(marks)
    assert points.shape == (3, 2) and np.linalg.norm(points[0] - points[1]) == pytest.approx(eye_distance(marks))


def test_geometry_of_a_shifted_face(face: Maker) -> None:
    blank = np.zeros((256, 128, 3), np.uint8)
    true = [as_face(face(yaw=yaw, mouth=abs(yaw) / 10)) for yaw in (0, 5, 10, -5)]
    shift = np.array([6, 8, 0], np.float32)
    shapes = np.full(52, 0.1, np.float32)
    made = [as_face(one.landmarks + shift, shapes) if one else None for one in true]
    found = collect(geometry, [blank] * 4, [blank] * 4, {"made": made, "true": true}).values
    assert found["kpsdis"] == pytest.approx(10 * 512 / 256, rel=1e-4)
    assert found["landmark-error"] == pytest.approx(
        np.mean([10 / eye_distance(one.landmarks) for one in true if one]), rel=1e-4
    )
    assert found["aed-blendshapes"] == pytest.approx(0.1, rel=1e-5)
    for name in ("rotation-error", "apd-mesh", "eye-mae-iris", "rotation-change-error"):
        assert found[name] == pytest.approx(0, abs=1e-3), name
    assert found["mouth-gain"] == pytest.approx(1, rel=1e-3) and found["faceless"] == 0
    made[2] = None
    lost = collect(geometry, [blank] * 4, [blank] * 4, {"made": made, "true": true})
    assert lost.values["faceless"] == 25 and np.isnan(lost.series["kpsdis"][2])


def test_jitter_counts_alternation_only(face: Maker) -> None:
    marks = face()
    size = np.ptp(marks[:, :2], axis=0).max()
    blank = [np.zeros((96, 96, 3), np.uint8)] * 8
    step = np.array([0.01 * size, 0, 0], np.float32)
    trembling = [as_face(marks + step * (i % 2)) for i in range(8)]
    gliding = [as_face(marks + step * i) for i in range(8)]
    assert collect(geometry, blank, None, {"made": trembling}).values["jitter"] == pytest.approx(0.5, rel=1e-3)
    assert collect(geometry, blank, None, {"made": gliding}).values["jitter"] == pytest.approx(0, abs=1e-3)


def test_identity_of_one_person(speaker: list[np.ndarray]) -> None:
    from vivant.perception.faces import FaceFinder

    found = FaceFinder(threads=1).find(speaker[0])[0]
    faces: list[Face | None] = [found, found, None]
    values = collect(identity, [speaker[0]] * 3, [speaker[0]] * 3, {"made": faces, "true": faces})
    assert values.values["csim-dlib"] == pytest.approx(1, abs=1e-6)
    assert values.values["identity-distance-dlib"] == pytest.approx(0, abs=1e-4)
    assert values.values["dfacesim-dlib"] == pytest.approx(0, abs=1e-6)
    nobody = collect(identity, [speaker[0]], [speaker[0]], {"made": [None], "true": [None]})
    assert "no face" in nobody.missing["csim-dlib"]


@pytest.mark.parametrize(
    ("first", "levels", "drift"),
    [(0, [0, 30, 30, 30, 30], 0), (0, [0, 10, 20, 30, 40], 2.5), (1, [0, 10, 20, 30], 2.5)],
)
def test_a_first_frame_that_is_the_source_is_no_drift_of_identity(
    monkeypatch: pytest.MonkeyPatch, first: int, levels: list[int], drift: float
) -> None:
    """Here pictures of a level l are l / 100 from the source. A step from frame 0 up to what is made is none; where
    only frames from 1 on are scored, all of them count."""
    monkeypatch.setattr(
        identity, "embeddings", lambda pictures, points: np.array([[p.mean() / 100, 0] for p in pictures])
    )
    made, face = [np.full((8, 8, 3), level, np.uint8) for level in levels], as_face(np.zeros((478, 3)))
    names = {metric.name: metric for metric in identity.METRICS if not metric.weights}
    collector = identity.start(Lab(), names, Case(Subject("x", HERE, HERE), View(first=first), Fraction(25)))
    true = [np.zeros_like(picture) for picture in made]
    collector.see(Block(0, made, true, None, lambda role: [face] * len(made)))
    found = collector.finish().values
    assert found["identity-drift-dlib"] == pytest.approx(drift, abs=1e-9)
    assert found["identity-distance-dlib"] == pytest.approx(np.mean(levels) / 100)


def test_arcface_from_an_onnx_file(speaker: list[np.ndarray], tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    from vivant.metrics.nets.published import Store
    from vivant.perception.faces import FaceFinder

    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["y"])]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 112, 112])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "w600k_r50.onnx")
    lab = Lab(store=Store(tmp_path))
    names = {name: all_metrics()[name] for name in ("csim-arcface", "dfacesim-arcface")}
    assert identity.lacking(lab, names) == {} and set(identity.lacking(Lab(store=Store(None)), names)) == set(names)
    marks = FaceFinder(threads=1).find(speaker[0])[0].landmarks
    net = identity.ArcFace(str(tmp_path / "w600k_r50.onnx"))
    rows = net([speaker[0], speaker[0]], [marks, None])
    want = identity.arc_align(speaker[0], marks).reshape(-1, 3).mean(0) / 127.5 - 1
    assert rows[0] == pytest.approx(want, abs=1e-5) and np.isnan(rows[1]).all()
    aligned = identity.arc_align(speaker[0], marks)
    assert FaceFinder(threads=1).find(cv2.resize(aligned, (224, 224)))
    (tmp_path / "arcface.onnx").write_bytes(b"this is no net")
    with pytest.raises(WeightsError, match=r"arcface\.onnx cannot be loaded"):
        identity.ArcFace(str(tmp_path / "arcface.onnx"))


def test_views_cut_and_scale(speaker: list[np.ndarray], tmp_path: Path) -> None:
    assert centre_square(np.zeros((40, 60, 3), np.uint8)).shape == (40, 40, 3)
    assert scaled(speaker[0], (72, 100)).shape == (72, 100, 3)
    corner = cut(speaker[0], 0, 0, 0.5)
    assert corner.shape == (72, 72, 3) and np.array_equal(corner[36:, 36:], speaker[0][:36, :36])
    from vivant.media.video import open_clip

    path = write(tmp_path / "clip.mp4", speaker[:2])
    x, y, side = face_square(open_clip(path))
    assert 0.3 < x < 0.7 and 0.3 < y < 0.8 and 0.6 < side < 1.5
    with pytest.raises(FaceError, match="no face"):
        face_square(open_clip(write(tmp_path / "blank.mp4", [np.zeros((64, 64, 3), np.uint8)] * 2)))
    with pytest.raises(ConfigError, match="16 pixels"):
        View(size=(8, 8)).checked()
