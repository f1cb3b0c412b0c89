"""Methods that make frames from controls, through the same pipeline: files in, a video with its sound out."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
from echo_method import SPEC

import vivant
from vivant.core.clip import Audio, Clip
from vivant.core.errors import ConfigError, FaceError, MediaError
from vivant.media.video import open_clip
from vivant.pipelines import animate as animate_module
from vivant.pipelines import load as load_module
from vivant.pipelines.direct import untrained
from vivant.pipelines.keypoints import fitted_keypoints

GREY = np.full((288, 288, 3), 128, np.uint8)


@pytest.fixture
def echo(monkeypatch):
    for module in (animate_module, load_module):
        monkeypatch.setattr(module, "get_method", {"echo": SPEC}.__getitem__)
    return {"method": "echo", "device": "cpu"}


def beeps(seconds=1.0, rate=16_000):
    """Silence, then a tone in the second half."""
    count = int(seconds * rate)
    tone = 0.5 * np.sin(np.arange(count) * 2 * np.pi * 300 / rate)
    return Audio((tone * (np.arange(count) >= count // 2)).astype(np.float32)[:, None], rate)


def test_sound_alone_makes_a_video_as_long_as_itself(echo, portrait_path, tmp_path):
    out = tmp_path / "out.mp4"
    result = vivant.animate(portrait_path, output=out, audio=beeps(1.01), seed=9, crop_only=True, **echo)
    assert (result.count, result.fps, result.warnings) == (26, 25, [])
    frames = list(result.frames)
    assert frames[20][8:, :, 0].mean() > frames[4][8:, :, 0].mean() + 50 and (frames[3][0, 0] == 9).all()
    clip = open_clip(out)
    assert clip.fps == 25 and len(list(clip.frames)) == 26
    loud = np.abs(clip.audio.samples[:, 0]).reshape(-1)
    assert loud[: len(loud) // 3].max() < 0.02 < 0.3 < loud[-len(loud) // 4 :].max()


def test_the_rate_asked_for_and_the_strength(echo, portrait):
    make = {"audio": beeps(), "crop_only": True, **echo}
    result = vivant.animate(portrait, fps="30000/1001", **make)
    assert result.fps == Fraction(30000, 1001) and result.count == 30
    louder = vivant.animate(portrait, strength={"loudness": 1.5}, **make)
    assert list(louder.frames)[-2][9, 9, 0] > list(vivant.animate(portrait, **make).frames)[-2][9, 9, 0]


def test_sound_and_driver_together(echo, portrait, driver_frames):
    driver = Clip([driver_frames[0], GREY, *driver_frames[1:]], Fraction(5), (288, 288), 6)
    result = vivant.animate(portrait, driver, audio=beeps(), crop_only=True, side_by_side=True, **echo)
    assert result.fps == 5 and result.count == 5
    assert "The driver lasts longer" not in str(result.warnings)  # by one frame only
    green = [frame[9, -9, 1] for frame in result.frames]
    assert green[0] == 200 and green[1] == 0 and green[2] == 200
    longer = vivant.animate(portrait, driver, audio=beeps(3.0), crop_only=True, **echo)
    assert longer.count == 6 and "The sound lasts longer" in longer.warnings[0] and "1.20 s" in longer.warnings[0]
    lasting = vivant.animate(portrait, driver_frames[0], audio=beeps(), crop_only=True, **echo)
    assert lasting.count == 25 and [f[9, 9, 1] for f in lasting.frames] == [200] * 25


def test_frames_of_the_driver_without_a_face_are_named(echo, portrait, driver_frames):
    """Once the driver is read to its end: methods that make frames read it while they draw."""
    driver = Clip([GREY, *driver_frames[:2], GREY], Fraction(5), (288, 288), 4)
    result = vivant.animate(portrait, driver, crop_only=True, **echo)
    with pytest.warns(UserWarning, match=r"No face in 2 of 4 frames .*: frames 0, 3"):
        green = [frame[9, 9, 1] for frame in result.frames]
    assert green == [0, 200, 200, 0]
    with pytest.warns(UserWarning, match=r"No face in 1 of 3 frames .*, the motion is held there: frames 0"):
        vivant.animate(portrait, keypoints=np.stack([GREY, *driver_frames[:2]]), crop_only=True, **echo)


@pytest.mark.parametrize("wall", [GREY, np.stack([GREY] * 4)])
def test_a_driver_without_any_face_is_refused_before_a_frame_is_made(echo, portrait, wall):
    with pytest.raises(FaceError, match="No face was found in any of the"):
        vivant.animate(portrait, wall, audio=beeps(), crop_only=True, **echo)


def test_keypoints_from_a_file_and_from_a_face(echo, portrait, portrait_path, driver_frames, tmp_path):
    nose = np.zeros((25, 3, 2), np.float32)
    nose[:, 2, 0] = np.linspace(0, 1, 25)
    np.save(tmp_path / "kps.npy", nose)
    moved = vivant.animate(portrait, audio=beeps(), keypoints=tmp_path / "kps.npy", crop_only=True, **echo)
    blue = [int(frame[9, 9, 2]) for frame in moved.frames]
    assert moved.count == 25 and blue[0] == 128 and blue[12] == 178 and blue[24] == 228
    np.save(tmp_path / "kps.npy", (nose + 1) * 256)  # pixels of 512, as the released files count
    pixels = vivant.animate(portrait, audio=beeps(), keypoints=tmp_path / "kps.npy", crop_only=True, **echo)
    assert [int(frame[9, 9, 2]) for frame in pixels.frames] == blue
    followed = vivant.animate(portrait, keypoints=np.stack([GREY, *driver_frames[:2]]), crop_only=True, **echo)
    assert followed.count == 3
    np.save(tmp_path / "bad.npy", np.zeros((5, 2)))
    with pytest.raises(ConfigError, match="V-Kps are"):
        vivant.animate(portrait, audio=beeps(), keypoints=tmp_path / "bad.npy", **echo)
    with pytest.raises(ConfigError, match=r"last 0\.20 s \(5 frames\), but what is to be made lasts 1\.00 s"):
        vivant.animate(portrait, audio=beeps(), keypoints=nose[:5], **echo)


def test_keypoints_are_cut_held_or_stretched_when_asked():
    nose = np.zeros((20, 3, 2), np.float32)
    nose[:, 2, 0] = np.arange(20)

    def fitted(values, count, stretch=False):
        return fitted_keypoints(values, count, Fraction(25), stretch)[:, 2, 0]

    assert fitted(nose, 3).tolist() == [0, 1, 2]
    assert fitted(nose, 25)[18:].tolist() == [18, *[19] * 6]
    assert fitted(nose[3:4], 100).tolist() == [3] * 100
    assert np.allclose(fitted(nose[:5], 9, True), np.linspace(0, 4, 9))
    assert fitted(nose[:1], 3, True).tolist() == [0] * 3
    with pytest.raises(ConfigError, match="one frame to keep the head still"):
        fitted(nose, 26)


def test_a_wish_it_cannot_serve_is_refused(echo, portrait, driver_path, driver_frames, tmp_path):
    with pytest.raises(ConfigError, match="Nothing drives"):
        vivant.animate(portrait, **echo)
    with pytest.raises(ConfigError, match="moves a still"):
        vivant.animate(driver_path, audio=beeps(), **echo)
    with pytest.raises(MediaError, match="does not exist"):
        vivant.animate(portrait, audio=tmp_path / "none.wav", **echo)
    with pytest.raises(ConfigError, match="does not listen to 'hubert'"):
        vivant.animate(portrait, audio=beeps(), encoders={"hubert": "x"}, **echo)
    with pytest.raises(ConfigError, match="Saved motion"):
        vivant.animate(portrait, tmp_path / "motion.safetensors", **echo)
    with pytest.raises(MediaError, match="more frames than the image"):
        vivant.animate(portrait, output=tmp_path / "out.png", audio=beeps(), **echo)


def test_sound_for_a_method_that_does_not_hear(portrait):
    with pytest.raises(ConfigError, match="not driven by audio"):
        vivant.animate(portrait, audio=beeps(), method="live-portrait", preset="tiny")


def test_random_weights_of_a_preset_of_use_are_told():
    def pipe(preset, files):
        return SimpleNamespace(preset=preset, spec=SPEC, weights_info=SimpleNamespace(files=files))

    assert "no trained weights here" in untrained(pipe("paper", {}))[0]
    assert untrained(pipe("paper", {"a.safetensors": "0"})) == [] == untrained(pipe("tiny", {}))
