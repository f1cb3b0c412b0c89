"""Animate from end to end with random weights: timeline, sound, faces, resolution, records, other inputs."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

import vivant
from vivant.core.clip import Clip
from vivant.core.errors import ConfigError, FaceError, MediaError
from vivant.media.video import open_clip

TINY = {"preset": "tiny", "device": "cpu"}
GREY = np.full((288, 288, 3), 128, np.uint8)


@pytest.fixture(scope="module")
def pipe():
    return vivant.load(**TINY)


@pytest.fixture(scope="module")
def pair(portrait):
    """Two people in one picture (300, 560, 3): a large face on the right, a smaller one on the left."""
    canvas = np.full((300, 560, 3), 110, np.uint8)
    canvas[60:240, 10:190] = cv2.resize(portrait, (180, 180), interpolation=cv2.INTER_AREA)
    canvas[10:290, 260:540] = cv2.resize(portrait, (280, 280), interpolation=cv2.INTER_AREA)
    return canvas


def test_file_to_file_keeps_rate_sound_and_size(portrait_path, driver_path, tmp_path):
    out = tmp_path / "out.mp4"
    result = vivant.animate(portrait_path, driver_path, out, seed=3, **TINY)
    clip = open_clip(out)
    frames = list(clip.frames)
    assert clip.fps == Fraction(30000, 1001) and len(frames) == 5 and clip.size == (384, 384)
    assert clip.audio is not None and abs(clip.audio.seconds - 5 * 1001 / 30000) < 0.1
    assert (result.fps, result.size, result.count, result.missing) == (clip.fps, (384, 384), 5, ())


def test_the_record_repeats_the_run(portrait_path, driver_path, tmp_path):
    out = tmp_path / "out.mp4"
    vivant.animate(portrait_path, driver_path, out, seed=3, strength={"motion": 0.5}, **TINY)
    record = json.loads((tmp_path / "out.mp4.json").read_text())
    assert record["seed"] == 3 and record["preset"] == "tiny" and record["method"] == "live-portrait"
    assert record["options"]["multiplier"] == 0.5 and record["options"]["sliders"]["smile"] == 0
    assert record["output"]["frames"] == 5 and record["output"]["fps"] == "30000/1001"
    assert record["inputs"]["source"]["name"] == "portrait.jpg" and len(record["inputs"]["source"]["sha256"]) == 64
    assert record["versions"]["vivant"] == vivant.__version__ and record["seconds"]["render"] > 0
    assert str(tmp_path) not in json.dumps(record)


def test_a_result_never_replaces_what_it_is_made_from(portrait_path, driver_path, tmp_path):
    driver = tmp_path / "talk.mp4"
    driver.write_bytes(driver_path.read_bytes())
    result = vivant.animate(portrait_path, driver, **TINY)
    with pytest.raises(MediaError, match="also an input"):
        result.save(driver)
    assert driver.read_bytes() == driver_path.read_bytes() and len(list(tmp_path.iterdir())) == 1


def test_same_seed_same_frames_and_frames_can_be_read_again(portrait, driver_frames):
    clip = Clip(driver_frames[:2], Fraction(25), (288, 288), 2)
    first = vivant.animate(portrait, clip, seed=5, **TINY)
    other = vivant.animate(portrait, clip, seed=5, **TINY)
    frames = list(first.frames)
    assert all((a == b).all() for a, b in zip(frames, other.frames, strict=True))
    assert all((a == b).all() for a, b in zip(frames, first, strict=True))
    changed = next(iter(vivant.animate(portrait, clip, seed=6, **TINY).frames))
    assert (changed != frames[0]).any()


def test_outside_the_face_the_picture_is_untouched(pipe, pair, driver_frames):
    result = pipe.animate(pair, np.stack(driver_frames[:2]))
    frame = next(iter(result.frames))
    assert frame.shape == pair.shape and (frame[:, :150] == pair[:, :150]).all()
    assert (frame[100:200, 350:450] != pair[100:200, 350:450]).any()


def test_several_faces(pipe, pair, driver_frames):
    driver = np.stack(driver_frames[:1])
    largest = pipe.animate(pair, driver)
    assert len(largest.warnings) == 1 and "2 faces" in largest.warnings[0] and "1 at (" in largest.warnings[0]
    small = next(iter(pipe.animate(pair, driver, face=1).frames))
    both = next(iter(pipe.animate(pair, driver, face="all").frames))
    left, right = np.s_[100:200, 60:140], np.s_[100:200, 350:450]
    assert (small[left] != pair[left]).any() and (small[right] == pair[right]).all()
    assert (both[left] != pair[left]).any() and (both[right] != pair[right]).any()
    crops = next(iter(pipe.animate(pair, driver, face="all", crop_only=True).frames))
    assert crops.shape == (256, 512, 3)


def test_driver_frames_without_a_face_are_held_and_named(pipe, portrait, driver_frames):
    frames = [GREY, driver_frames[0], GREY, GREY, driver_frames[1]]
    result = pipe.animate(portrait, np.stack(frames), smoothing=0)
    assert result.missing == (0, 2, 3) and result.count == 5
    assert "3 of 5 frames" in result.warnings[0] and "frames 0, 2-3" in result.warnings[0]
    shown = list(result.frames)
    assert len(shown) == 5 and (shown[2] == shown[3]).all() and (shown[3] != shown[4]).any()


def test_empty_driver(pipe, portrait):
    with pytest.raises(MediaError, match="no frames"):
        pipe.animate(portrait, Clip([], Fraction(25), (10, 10), 0))
    with pytest.raises(FaceError, match="any of the 2 frames"):
        pipe.animate(portrait, np.stack([GREY, GREY]))


def test_small_driver(pipe, portrait, driver_frames):
    far = cv2.resize(driver_frames[0], (48, 48), interpolation=cv2.INTER_AREA)
    canvas = np.full((160, 160, 3), 90, np.uint8)
    canvas[40:88, 40:88] = far
    with pytest.raises(FaceError, match="under 32"):
        pipe.animate(portrait, canvas)


def test_another_reference_frame(pipe, portrait, driver_frames):
    driver = np.stack(driver_frames[:3])
    first, last = (list(pipe.animate(portrait, driver, reference=index).frames) for index in (0, 2))
    assert (first[0] != last[0]).any()
    assert len(list(pipe.animate(portrait, driver, reference="auto").frames)) == 3


def test_picture_as_driver_gives_a_picture(portrait_path, driver_frames, tmp_path):
    out = tmp_path / "out.png"
    result = vivant.animate(portrait_path, driver_frames[2], out, **TINY)
    assert result.count == 1 and open_clip(out).size == (384, 384)


def test_source_video_keeps_its_timeline_and_ends_with_the_shorter(pipe, driver_path, driver_frames):
    result = pipe.animate(driver_path, np.stack(driver_frames[:3]))  # 0.12 s at 25 frames per second
    frames = list(result.frames)
    assert result.fps == Fraction(30000, 1001) and result.count == len(frames) == 4
    everyone = pipe.animate(driver_path, np.stack(driver_frames[:1]), face="all")
    assert len(list(everyone.frames)) == 5


def test_source_video_with_gaps_shows_its_own_frames_there(pipe, driver_frames):
    source = np.stack([driver_frames[0], GREY, driver_frames[1]])
    result = pipe.animate(source, driver_frames[3])
    frames = list(result.frames)
    assert len(frames) == 3 and (frames[1] == GREY).all() and (frames[0] != source[0]).any()
    assert any("No face in" in text and "stay as they are" in text for text in result.warnings)


def test_another_frame_rate_keeps_the_length(pipe, portrait, driver_frames):
    clip = Clip(driver_frames[:4], Fraction(20), (288, 288), 4)
    result = pipe.animate(portrait, clip, fps=10)
    assert result.fps == 10 and result.count == 2 and len(list(result.frames)) == 2


def test_saved_motion_drives_like_the_video(portrait_path, driver_path, tmp_path):
    motion, first, second = tmp_path / "talk.safetensors", tmp_path / "a.mp4", tmp_path / "b.mp4"
    vivant.animate(portrait_path, driver_path, first, save_motion=motion, **TINY)
    result = vivant.animate(portrait_path, motion, second, **TINY)
    assert result.fps == Fraction(30000, 1001) and result.audio is None
    pairs = zip(open_clip(first).frames, open_clip(second).frames, strict=True)
    assert all((a == b).all() for a, b in pairs)
    slower = vivant.animate(portrait_path, motion, fps=15, **TINY)
    assert slower.count == 3


def test_side_by_side_has_three_panels(pipe, portrait, driver_frames):
    result = pipe.animate(portrait, np.stack(driver_frames[:2]), side_by_side=True)
    frame = next(iter(result.frames))
    assert frame.shape[:2] == result.size == (384, 384 * 3)
    assert (frame[:, :384] == portrait).all()


def test_stream_gives_a_picture_for_every_frame_as_it_comes(pipe, portrait, driver_frames):
    taken = []

    def camera():
        for index, frame in enumerate([driver_frames[0], GREY, driver_frames[1]]):
            taken.append(index)
            yield frame

    stream = pipe.stream(portrait, camera(), strength={"motion": 1.2})
    first = next(stream)
    assert first.shape == portrait.shape and len(taken) <= 2
    assert len(list(stream)) == 2


def test_edit_changes_the_face_only(pipe, portrait):
    edited = pipe.edit(portrait, sliders={"yaw": 10, "smile": 1.0})
    assert edited.shape == portrait.shape and edited.dtype == np.uint8
    assert (edited != pipe.edit(portrait, sliders={"yaw": -10})).any()
    with pytest.raises(ConfigError, match=r"'motion' .* acts on the driver"):
        pipe.edit(portrait, sliders={"yaw": 10}, multiplier=0.5)


def test_memory_does_not_grow_with_length(pipe, portrait, driver_frames):
    """The driver's frames are dropped as soon as they are read: a long one never has many alive."""
    import weakref

    alive = []

    def frames():
        for index in range(24):
            frame = driver_frames[index % 2].copy()
            alive.append(weakref.ref(frame))
            assert sum(each() is not None for each in alive) <= 4
            yield frame

    result = pipe.animate(portrait, Clip(frames(), Fraction(25), (288, 288), 24))
    assert result.count == 24


def test_forty_megapixels(pipe, portrait, driver_frames, tmp_path):
    photo = cv2.resize(portrait, (6400, 6400), interpolation=cv2.INTER_LINEAR)
    result = pipe.animate(photo, driver_frames[1])
    assert result.size == (6400, 6400) and any("6400x6400" in text for text in result.warnings)
    assert next(iter(result.frames)).shape == (6400, 6400, 3)
    assert not pipe.animate(photo, driver_frames[1], crop_only=True).warnings


def test_reading_a_long_driver_does_not_fill_the_heap(pipe, driver_frames):
    """Resident memory grows by less than 60 MB over 160 frames (110 MB if freed batches stay on the heap)."""
    from pathlib import Path

    statm = Path("/proc/self/statm")
    if not statm.exists():  # only Linux tells resident memory this way, and only glibc has the habit
        return

    def resident():
        return int(statm.read_text().split()[1]) * 4096 / 2**20

    pipe.animate(driver_frames[0], np.stack(driver_frames))
    before = resident()
    result = pipe.animate(driver_frames[0], Clip(driver_frames * 32, Fraction(25), (288, 288), 160))
    assert result.count == 160 and resident() - before < 60


@pytest.mark.parametrize("face", [None, -1, "left", []])
def test_a_face_that_is_none(portrait_path, driver_path, face):
    with pytest.raises(ConfigError, match="is unknown: give largest, all or an index"):
        vivant.animate(portrait_path, driver_path, face=face, **TINY)
