"""The photo rig as a method: sliders, video, speech, live, and at the picture's own resolution."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import vivant
from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.speech import Speech
from vivant.methods.photo_rig.config import PRESETS, SLIDER_UNITS, Options, Sliders
from vivant.methods.photo_rig.generate import Generator
from vivant.methods.photo_rig.idle import idle_motion
from vivant.methods.photo_rig.prepare import follow, to_picture, with_sliders
from vivant.methods.photo_rig.speech import spectra_around, spoken_expression
from vivant.perception.faces import FaceFinder
from vivant.pipelines.crops import crop_of, with_alpha
from vivant.rig.motion import EXPRESSION_NAMES, RigMotion, expression_rows

CONFIG = PRESETS["tiny"]


@pytest.fixture(scope="module")
def source(portrait):
    face = FaceFinder(threads=1).find(portrait)[0]
    return with_alpha([crop_of(portrait, face, CONFIG.source_crop, 256)], portrait, "reflect")[0]


@pytest.fixture(scope="module")
def drivers(driver_frames):
    finder = FaceFinder(threads=1)
    return [crop_of(frame, finder.find(frame)[0], CONFIG.driving_crop, 256) for frame in driver_frames[:4]]


def speech_of(mel, voiced):
    count = len(voiced)
    return Speech(np.zeros(count * 640, np.float32), Fraction(25), np.asarray(voiced, np.float32), {"mel": mel})


def mouth_gap(expression):
    return expression[..., expression_rows("jawOpen")[0]]


def test_a_crop_carries_the_opacity_of_its_person(source):
    assert source.alpha.shape == source.image.shape[:2] and source.alpha.dtype == np.float32
    x, y = np.round(source.landmarks[1, :2]).astype(int)
    assert source.alpha[y, x] > 0.9 and source.alpha[2:20, 2:20].mean() < 0.3


def test_edges_of_the_frame_never_move(source, drivers):
    options = Options(sliders=Sliders(yaw=15, roll=10, move_x=1.0))
    frame = Generator({}, CONFIG).edit(source, options)
    still = Generator({}, CONFIG).edit(source, Options())
    inner = np.abs(frame.astype(int) - still).mean(-1)
    assert inner[30:70, 30:70].mean() > 5
    for edge in (inner[0], inner[-1], inner[:, 0], inner[:, -1]):
        assert edge.max() <= 3


def test_every_slider_moves_something(source):
    assert set(SLIDER_UNITS) < set(Sliders.__dataclass_fields__)
    for name, item in Sliders.__dataclass_fields__.items():
        moved = with_sliders(RigMotion.still(), replace(Sliders(), **{name: item.metadata["range"][1]}))
        assert np.abs(moved.pose).sum() + np.abs(moved.expression).sum() + np.abs(moved.gaze).sum() > 0, name
    with pytest.raises(ConfigError, match="yaw"):
        vivant.load("photo-rig", preset="tiny").options(sliders={"yaw": 90})


def test_absolute_motion_copies_the_driver_and_relative_adds_its_change(source, drivers):
    controls = Controls(Fraction(25), len(drivers), driving=drivers)
    generator = Generator({}, CONFIG)
    added, copied = (
        list(generator.generate(source, controls, Options(relative=r, smooth=False))) for r in (True, False)
    )
    assert len(added) == len(copied) == 4 and added[0].shape == (96, 96, 3)
    assert (added[0] != copied[0]).any()
    still = generator.edit(source, Options())
    assert np.abs(added[0].astype(int) - still).mean() < np.abs(copied[0].astype(int) - still).mean()
    with pytest.raises(ConfigError, match="Nothing drives"):
        next(generator.generate(source, Controls(Fraction(25), 1), Options()))


def test_a_window_that_slides_over_a_still_head_is_no_motion(portrait):
    face = FaceFinder(threads=1).find(portrait)[0]
    views = [
        replace(CONFIG.driving_crop, scale=scale, shift_y=shift) for scale, shift in ((1.6, 0), (2.0, 0.1), (1.8, -0.1))
    ]
    crops = [crop_of(portrait, face, view, 256) for view in views]
    assert np.allclose(to_picture(crops[0]), face.landmarks, atol=0.01)
    motion = follow([None, *crops]).motion(25, smooth=False)
    assert len(motion) == 4 and np.abs(motion.pose).max() < 0.05 and np.abs(motion.expression).max() < 0.06


def test_silence_rests_and_a_voice_opens_the_mouth():
    rng = np.random.default_rng(0)
    vowel = np.concatenate([np.linspace(1.4, 0.6, 40), np.linspace(0.6, 0.1, 40)])
    loud = (0.3 + 0.25 * np.sin(np.arange(50) / 2.5))[:, None, None] + vowel + rng.normal(0, 0.02, (50, 4, 80))
    voiced = np.r_[np.zeros(10), np.ones(30), np.zeros(10)]
    still = np.zeros(len(EXPRESSION_NAMES))
    spoken = spoken_expression(speech_of(loud.astype(np.float32), voiced), still)
    assert np.abs(spoken[0]).max() < 0.02 and np.abs(spoken[-1]).max() < 0.02
    assert mouth_gap(spoken[15:35]).std() > 0.01
    assert not spoken_expression(speech_of(loud.astype(np.float32), voiced * 0), still).any()
    strong = spoken_expression(speech_of(loud.astype(np.float32), voiced), still, 2.0)
    assert np.allclose(strong, 2 * spoken, atol=1e-5)


def test_spectra_do_not_depend_on_where_blocks_begin():
    mel = np.random.default_rng(1).normal(size=(40, 4, 80)).astype(np.float32)
    speech = speech_of(mel, np.ones(40))
    whole = spectra_around(speech, 0, 40)
    assert np.allclose(np.concatenate([spectra_around(speech, a, min(a + 7, 40)) for a in range(0, 40, 7)]), whole)


def test_idle_motion_starts_at_the_photo_and_obeys_its_seed():
    first, again, other = (idle_motion(None, Fraction(25), 200, 1.0, seed) for seed in (1, 1, 2))
    assert (first.pose == again.pose).all() and (first.pose != other.pose).any()
    assert not first.pose[0].any() and np.abs(first.pose[:, :3]).max() < 20
    blink = first.expression[:, expression_rows("eyeBlink_L")[0]]
    assert blink.max() > 0.9 and (blink > 0).mean() < 0.3
    assert not idle_motion(None, Fraction(25), 50, 0.0, 1).pose.any()


def test_live_frames_come_one_for_each_of_the_driver(source, drivers):
    frames = list(Generator({}, CONFIG).stream(source, [None, *drivers[:2], None], Options()))
    assert frames[0] is None and all(frame.shape == (96, 96, 3) for frame in frames[1:])
    assert (frames[3] == frames[2]).all()


def test_native_frames_have_the_pictures_own_pixels(portrait_path, driver_path):
    pipe = vivant.load("photo-rig")
    alone = pipe.animate(portrait_path, driver_path, crop_only=True)
    whole = pipe.animate(portrait_path, driver_path)
    side = alone.size[0]
    assert alone.size == (side, side) and side not in (512, 256) and side % 2 == 0
    first, picture = next(iter(whole)), vivant.load("photo-rig").edit(portrait_path)
    assert first.shape == picture.shape == (*whole.size, 3)
