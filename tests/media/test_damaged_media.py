"""Videos and animations that are cut short, empty or no videos at all: what is there is shown, the rest is said."""

import re
import warnings
from fractions import Fraction

import numpy as np
import pytest
from media_makers import (
    ramp,
    write_video,
)
from PIL import Image

from vivant.core.errors import MediaError
from vivant.media.video import DamagedMediaWarning, open_clip, probe


def test_cut_short_gives_the_frames_before_the_cut_and_warns(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "cut.mp4", list(noise))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    clip = open_clip(path)
    with pytest.warns(DamagedMediaWarning, match=r"of 40 frames"):
        count = sum(1 for _ in clip.frames)
    assert 10 < count < 30
    whole = list(open_clip(write_video(tmp_path / "whole.mp4", list(noise))).frames)
    with pytest.warns(DamagedMediaWarning):
        assert all(np.array_equal(a, b) for a, b in zip(list(clip.frames)[:8], whole))


def test_cut_animation(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (6, 40, 40, 3), dtype=np.uint8)
    pictures = [Image.fromarray(frame) for frame in noise]
    pictures[0].save(tmp_path / "cut.gif", save_all=True, append_images=pictures[1:], duration=40)
    data = (tmp_path / "cut.gif").read_bytes()
    (tmp_path / "cut.gif").write_bytes(data[: len(data) * 3 // 4])
    clip = open_clip(tmp_path / "cut.gif")
    with pytest.warns(DamagedMediaWarning):
        assert sum(1 for _ in clip.frames) == clip.count == 4
    (tmp_path / "cut.gif").write_bytes(data[: len(data) // 10])
    with pytest.raises(MediaError, match="damaged"):
        open_clip(tmp_path / "cut.gif")


def test_whole_files_do_not_warn(tmp_path):
    path = write_video(tmp_path / "v.mp4", ramp(30), Fraction(30000, 1001))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert sum(1 for _ in open_clip(path).frames) == 30


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "There is no file"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"words, not pictures " * 99), "cannot be read as video"),
        (lambda path: path.write_bytes(b"\0" * 5000), "cannot be read as video"),
        (lambda path: path.mkdir(), "holds no pictures"),
        (lambda path: path.write_bytes(b"GIF89a" + b"\0" * 50), "cannot be read as a picture"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, make, words):
    path = tmp_path / "bad.mp4"
    make(path)
    for read in (open_clip, probe):
        with pytest.raises(MediaError, match=re.escape(words)) as error:
            read(path)
        text = str(error.value)
        assert str(path) in text and text.endswith(".") and "\n" not in text


def test_header_without_pictures_and_text_by_name(tmp_path):
    path = write_video(tmp_path / "v.mp4", ramp(5))
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 4])
    with pytest.raises(MediaError, match="no frame that can be decoded"):
        open_clip(path)
    for name in ("notes.txt", "list.m3u8"):
        (tmp_path / name).write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:9/a.ts\n")
        with pytest.raises(MediaError, match="cannot be read as video"):
            open_clip(tmp_path / name)
