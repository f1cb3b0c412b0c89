"""What goes into V-Express: V-Kps drawn and retargeted, speech windows, the median filter; golden values and mends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.core.speech import Speech
from vivant.diffusion.clip_inputs import portrait, speech_features
from vivant.methods.v_express.config import PRESETS, AudioConfig, Options
from vivant.methods.v_express.flicker import median_filter
from vivant.methods.v_express.model import build_modules
from vivant.methods.v_express.prepare import (
    attribute_values,
    drawings,
    keypoints,
    speech_windows,
)
from vivant.methods.v_express.train import STAGES, Objective
from vivant.nn.v_kps import draw_v_kps, draw_v_kps_smooth, draw_v_kps_whole, face_points, retarget

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "data" / "v_express_inputs.golden.json").read_text(encoding="utf-8")
)
DRAWN = {key.removeprefix("vkps "): value for key, value in GOLDEN.items() if key.startswith("vkps")}
REFERENCE, DRIVING = (np.array(GOLDEN["retarget"][key]) for key in ("ref", "driving"))


@pytest.mark.parametrize("points", DRAWN)
def test_v_kps_are_drawn_to_the_pixel(points):
    image = draw_v_kps(np.array(json.loads(points)), (512, 512))
    assert hashlib.sha256(image.tobytes()).hexdigest() == DRAWN[points]["sha256"]


def test_the_smooth_drawing_is_the_published_one_with_soft_edges():
    points = np.array([[180.0, 200.0], [330.0, 205.0], [256.0, 300.0]])
    hard = torch.from_numpy(draw_v_kps(points, (512, 512))).permute(2, 0, 1).float() / 255
    soft = draw_v_kps_smooth(torch.from_numpy(points / 256 - 1), 512)
    assert (hard - soft).abs().mean() < 0.004 and (hard - soft).abs().mean() < 0.3 * hard.mean()
    moved = draw_v_kps_smooth(torch.from_numpy((points + 0.3) / 256 - 1), 512)
    assert (moved - soft).abs().max() > 0.2  # a move of a third of a pixel shows


@pytest.mark.parametrize("size", [256, 512])
def test_training_draws_what_published_nets_are_shown(size):
    rng = np.random.default_rng(0)
    place = rng.uniform(-0.2, 0.2, (20, 1, 2)) + rng.normal(0, 0.03, (20, 3, 2))
    points = (place + np.array([[-0.3, -0.1], [0.3, -0.1], [0.0, 0.2]])).astype(np.float32)
    hard = np.stack([draw_v_kps((one + 1) * (size / 2), (size, size), size / 512) for one in points])
    found = (draw_v_kps_whole(torch.from_numpy(points)[None], size, size / 512)[0] * 255).round()
    other = (found - torch.from_numpy(hard).permute(0, 3, 1, 2)).abs().amax(1) > 0
    assert other.sum() < 0.05 * (hard > 0).any(-1).sum()
    soft = draw_v_kps_smooth(torch.from_numpy(points), size, size / 512) * 255
    assert ((soft - torch.from_numpy(hard).permute(0, 3, 1, 2)).abs().amax(1) > 50).sum() > 3 * other.sum()


def test_each_family_is_trained_on_its_own_drawings():
    for family, wanted in (("published", draw_v_kps_whole), ("lite", draw_v_kps_smooth)):
        config, seen = replace(PRESETS["tiny"], family=family), []
        objective = Objective(build_modules(config), config, STAGES["pictures"], torch.device("cpu"))
        objective.modules["v_kps_guider"].register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0]))
        points = torch.tensor([[[[-0.3, -0.2], [0.3, -0.2], [0.0, 0.2]]]])
        objective.features({"v_kps": points, "keep_keypoints": torch.ones(1, 1)})
        assert torch.equal(seen[0], wanted(points, 64, 64 / 512))


@pytest.mark.parametrize("strategy", ["naive", "offset"])
def test_upstream_retargeting_golden(strategy):
    found = retarget(DRIVING, REFERENCE, strategy, upstream=True)
    assert np.allclose(found, GOLDEN["retarget"][strategy], atol=2e-4)


def test_offset_follows_the_nose_and_not_its_mirror_image():
    mended = retarget(DRIVING, REFERENCE, "offset")
    nose = DRIVING[:, 2] - DRIVING[0, 2]
    moved = mended[:, 2] - mended[0, 2]
    assert (np.sign(moved[1:]) == np.sign(nose[1:])).all()
    half = retarget(DRIVING, REFERENCE, "offset", gain=0.5)
    assert np.allclose(half[:, 2] - half[0, 2], moved / 2, atol=1e-4)


def test_the_frame_most_like_the_portrait_sets_the_scale():
    driving = np.stack([REFERENCE * 3 + [40, 0], REFERENCE * 0.5])
    driving[0, 0] += [60, 30]  # another shape of face; the second frame is the portrait's, half as large
    found = retarget(driving, REFERENCE, "naive")
    assert np.allclose(found[1, 1] - found[1, 0], REFERENCE[1] - REFERENCE[0], atol=1e-3)


def test_fix_and_none():
    assert np.allclose(retarget(DRIVING, REFERENCE, "fix"), REFERENCE)
    assert np.allclose(retarget(DRIVING, REFERENCE, "none"), DRIVING)
    with pytest.raises(ConfigError, match="retargeting 'mirror'"):
        retarget(DRIVING, REFERENCE, "mirror")
    with pytest.raises(ConfigError, match="no frames"):
        retarget(DRIVING[:0], REFERENCE, "fix")


def test_speech_windows_golden():
    """Which feature vectors each of six frames hears; numbers count from 1, 0 is silence."""
    rows = np.arange(1, 13, dtype=np.float32).reshape(6, 2, 1)
    found = speech_windows(rows, 0, 6, 6, AudioConfig(inputs=1))
    assert (
        found[..., 0].int().tolist()
        == GOLDEN["audio window rows (1-based index of the 2L interpolated rows, 0 = zero pad), L=6"]
    )


@pytest.mark.parametrize(("first", "stop"), [(0, 2), (3, 6), (5, 6), (0, 1)])
def test_speech_windows_of_a_part_are_those_of_the_whole(first, stop):
    rows = np.random.default_rng(0).normal(size=(6, 2, 5)).astype(np.float32)
    audio = AudioConfig(inputs=3)
    whole = speech_windows(rows, 0, 6, 6, audio)
    assert torch.equal(speech_windows(rows, first, stop, 6, audio), whole[first:stop])
    assert whole.shape == (6, 10, 3)


def test_median_golden():
    """The golden volume is one of real numbers: their ranks have the same medians."""
    golden = GOLDEN["median3d of sin(arange(360)) as 3x4x5x6"]
    values = np.sin(np.arange(360))
    ranks = values.argsort().argsort().astype(np.int32).reshape(3, 4, 5, 6).transpose(1, 2, 3, 0)
    found = np.sort(values)[np.stack(list(median_filter(ranks)))].transpose(3, 0, 1, 2)
    assert found.mean() == pytest.approx(golden["mean"], abs=1e-6)
    assert found.flatten()[:8].tolist() == pytest.approx(golden["first8"], abs=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_the_median_of_a_stream_is_that_of_the_whole(count):
    from scipy.ndimage import median_filter as filtered

    frames = np.random.default_rng(0).integers(0, 255, (count, 6, 7, 3), dtype=np.uint8)
    found = list(median_filter(iter(frames)))
    assert len(found) == count
    if count > 1:
        assert (np.stack(found) == filtered(frames, size=(3, 3, 3, 1), mode="mirror")).all()


def source():
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[[33, 133]], landmarks[[362, 263]], landmarks[1] = [[80, 100, 0]] * 2, [[160, 100, 0]] * 2, [120, 150, 0]
    return FaceCrop(np.full((240, 240, 3), 90, np.uint8), landmarks, np.eye(2, 3), (240, 240))


def controls(count=4, points=None, speech=None):
    return Controls(Fraction(25), count, speech, None, points)


def test_the_portraits_own_points_in_crop_coordinates():
    found = keypoints(source(), controls(3), Options())
    assert found.shape == (3, 3, 2)
    assert np.allclose(found[1], [[-1 / 3, -1 / 6], [1 / 3, -1 / 6], [0, 0.25]], atol=1e-6)
    assert np.allclose(face_points(source().landmarks)[2], [120, 150])


def test_v_kps_shorter_than_the_speech_are_refused():
    points = np.zeros((3, 3, 2), np.float32)
    with pytest.raises(ConfigError, match="V-Kps for 3 frames, but 4"):
        keypoints(source(), controls(4, points), Options())


def test_speech_of_another_encoder_or_too_short_is_refused():
    config = PRESETS["tiny"]
    speech = Speech(np.zeros(10, np.float32), Fraction(25), np.ones(4, np.float32), {"mel": np.zeros((4, 4, 80))})
    with pytest.raises(ConfigError, match="no features of the encoder 'whisper-tiny-en'"):
        speech_features(controls(4, speech=speech), config.audio.encoder)
    short = Speech(speech.samples, speech.fps, speech.voiced, {"whisper-tiny-en": np.zeros((3, 2, 1920))})
    with pytest.raises(ConfigError, match="lasts 3 frames"):
        speech_features(controls(4, speech=short), config.audio.encoder)
    assert speech_features(controls(4), config.audio.encoder) is None


def test_attributes_are_read_by_name():
    names = ("happy", "angry", "intensity")
    assert attribute_values("angry=0.5, intensity", names).tolist() == [[0, 0.5, 1]]
    assert attribute_values("", names).tolist() == [[0, 0, 0]] and attribute_values("", ()) is None
    for text, message in (("sad=1", "no attribute 'sad'"), ("happy=2", "0 to 1"), ("happy=x", "0 to 1")):
        with pytest.raises(ConfigError, match=message):
            attribute_values(text, names)
    with pytest.raises(ConfigError, match="trained without attributes"):
        attribute_values("happy=1", ())


def test_pictures_and_drawings_have_the_nets_size():
    assert portrait(source(), 64).shape == (1, 3, 64, 64) and portrait(source(), 512).max() <= 1
    drawn = drawings(np.array([[[-0.3, 0], [0.3, 0], [0, 0.4]]], np.float32), 128)
    assert drawn.shape == (1, 3, 128, 128) and (drawn.amax((2, 3)) == 1).all()
