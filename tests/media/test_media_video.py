"""Videos, animations, folders and stills as clips: exact rates, upright RGB, true time, constant memory."""

import gc
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from media_makers import (
    CLOCKWISE_90,
    COUNTER_CLOCKWISE_90,
    HALF_TURN,
    MIRRORED,
    corners,
    flat,
    quarters,
    ramp,
    set_display_matrix,
    write_video,
)
from PIL import Image

from vivant.core.errors import MediaError
from vivant.media.image import write_image
from vivant.media.timeline import choose_rate, exact_rate, hold
from vivant.media.video import at_rate, open_clip, probe
from vivant.media.writer import VideoWriter


def levels(clip, step: int = 4) -> list[int]:
    """Which frame of :func:`media_makers.ramp` each frame of a clip shows."""
    return [round(float(frame.mean()) / step) for frame in clip.frames]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize("rate", ["25/2", "24000/1001", "25", "30000/1001", "30", "60000/1001"])
def test_rates_are_exact_and_no_frame_is_lost(tmp_path, suffix, rate):
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    options = {"qmin": "1", "qmax": "2"} if codec == "mpeg4" else None
    path = write_video(tmp_path / f"v{suffix}", ramp(31, 8), Fraction(rate), codec=codec, options=options)
    clip = open_clip(path)
    assert clip.fps == Fraction(rate) and clip.size == (48, 64) and clip.count in (None, 31)
    assert levels(clip, 8) == list(range(31))
    assert levels(clip, 8) == list(range(31))  # once more


def test_variable_rate_keeps_true_time(tmp_path):
    times = np.cumsum([0, *np.random.default_rng(3).integers(15, 70, 39)])
    path = write_video(tmp_path / "v.mkv", ramp(40), 25, times.tolist(), Fraction(1, 1000))
    clip = open_clip(path)
    shown = levels(clip)
    assert clip.count is None and abs(len(shown) / clip.fps * 1000 - times[-1]) < 100
    for slot, source in enumerate(shown):
        now = slot / clip.fps * 1000
        due = max(index for index in range(40) if times[index] < now + 500 / clip.fps)
        assert source == due


def test_recording_that_lost_frames_keeps_its_nominal_rate(tmp_path):
    times = [index * 3000 for index in range(60) if index not in (20, 21, 45)]
    clip = open_clip(write_video(tmp_path / "v.mp4", ramp(57), 30, times, Fraction(1, 90000)))
    shown = levels(clip)
    assert clip.fps == 30 and len(shown) == 60 and shown[19:23] == [19, 19, 19, 20] and clip.count is None


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [(CLOCKWISE_90, "brgw"), (HALF_TURN, "wbrg"), (COUNTER_CLOCKWISE_90, "gwbr"), (MIRRORED, "grbw")],
)
def test_display_matrix_is_applied(tmp_path, matrix, seen):
    path = set_display_matrix(write_video(tmp_path / "v.mp4", [quarters()] * 2), matrix)
    clip = open_clip(path)
    frame = next(iter(clip.frames))
    assert clip.size == frame.shape[:2] == ((64, 48) if matrix[0] == 0 else (48, 64))
    assert corners(frame) == seen and frame.flags.c_contiguous and frame.flags.writeable


@pytest.mark.parametrize(
    ("codec", "pixels"),
    [
        ("libx264", "yuv420p10le"),
        ("libx264", "yuv444p"),
        ("ffv1", "yuv422p10le"),
        ("ffv1", "gray16le"),
        ("png", "rgb24"),
    ],
)
def test_pixel_formats(tmp_path, codec, pixels):
    path = tmp_path / ("v.mov" if codec == "png" else "v.mkv")
    write_video(path, [quarters()] * 3, codec=codec, pixels=pixels)
    frame = next(iter(open_clip(path).frames))
    assert frame.dtype == np.uint8 and frame.shape == (48, 64, 3)
    if pixels != "gray16le":
        assert corners(frame) == "rgwb"
        assert np.abs(frame[8, 8].astype(int) - quarters()[8, 8]).max() <= 6
    else:
        assert np.ptp(frame[8, 8]) == 0 and frame[40, 60, 0] > 200


def test_pq_brightness_is_mapped_to_srgb(tmp_path):
    tags = (9, 9, 16)  # BT.2020 matrix and primaries, SMPTE 2084
    path = write_video(tmp_path / "v.mkv", [flat(110), flat(148)], codec="ffv1", pixels="yuv420p10le", tags=tags)
    mapped = [float(frame.mean()) for frame in open_clip(path).frames]
    # Code 148/255 is about 210 nits, just above reference white (203), and 110/255 about 48 nits.
    assert mapped[1] > 245 and 115 < mapped[0] < 150


def test_transparent_video_lies_over_white(tmp_path):
    frame = np.zeros((16, 16, 3), np.uint8)
    path = write_video(tmp_path / "v.mkv", [frame], codec="ffv1", pixels="bgra")
    import av

    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "bgra"
        rgba = np.zeros((16, 16, 4), np.uint8)
        rgba[:, 8:] = (200, 0, 0, 255)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format="bgra")))
        container.mux(stream.encode(None))
    mixed = next(iter(open_clip(tmp_path / "a.mkv").frames))
    assert mixed[0, 0].tolist() == [255] * 3 and mixed[0, 15].tolist() == [200, 0, 0]
    assert next(iter(open_clip(path).frames)).max() == 0


def test_odd_sizes_and_a_name_with_a_colon(tmp_path):
    path = write_video(tmp_path / "take 12:30 %03d.mkv", [flat(90, (33, 47))] * 2, pixels="yuv444p")
    clip = open_clip(path)
    assert clip.size == (33, 47) and next(iter(clip.frames)).shape == (33, 47, 3)


def test_gif_durations(tmp_path):
    pictures = [Image.fromarray(frame) for frame in ramp(4, 60)]
    pictures[0].save(tmp_path / "even.gif", save_all=True, append_images=pictures[1:], duration=80, loop=0)
    clip = open_clip(tmp_path / "even.gif")
    assert clip.fps == Fraction(25, 2) and clip.count == 4 and levels(clip, 60) == [0, 1, 2, 3]
    pictures[0].save(tmp_path / "mixed.gif", save_all=True, append_images=pictures[1:], duration=[40, 80, 40, 160])
    clip = open_clip(tmp_path / "mixed.gif", fps=25)
    assert levels(clip, 60) == [0, 1, 1, 2, 3, 3, 3, 3]
    info = probe(tmp_path / "mixed.gif")
    assert info.kind == "animation" and info.seconds == pytest.approx(0.32) and info.fps == Fraction(25, 2)


@pytest.mark.parametrize(("suffix", "options"), [(".webp", {"lossless": True}), (".png", {})])
def test_other_animations(tmp_path, suffix, options):
    pictures = [Image.fromarray(frame) for frame in ramp(3, 60)]
    path = tmp_path / f"a{suffix}"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50, **options)
    clip = open_clip(path)
    assert clip.fps == 20 and clip.count == 3 and levels(clip, 60) == [0, 1, 2] == levels(clip, 60)


def test_still_is_one_frame(tmp_path):
    write_image(tmp_path / "still.jpg", flat(80, (10, 20)))
    clip = open_clip(tmp_path / "still.jpg")
    assert clip.count == 1 and clip.fps == 25 and clip.size == (10, 20) and len(list(clip.frames)) == 1
    assert probe(tmp_path / "still.jpg").kind == "image"


def test_folder_is_sorted_naturally(tmp_path):
    for number in (10, 2, 1, 9):
        write_image(tmp_path / f"f{number}.png", flat(number * 10, (8, 8)))
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.png").write_bytes(b"no picture")
    clip = open_clip(tmp_path)
    assert levels(clip, 10) == [1, 2, 9, 10] and clip.fps == 25 and clip.count == 4
    assert open_clip(tmp_path, fps=29.97).fps == Fraction(30000, 1001)
    info = probe(tmp_path, fps=50)
    assert info.kind == "folder" and info.seconds == pytest.approx(0.08) and info.size == (8, 8)
    write_image(tmp_path / "f11.png", flat(0, (8, 9)))
    with pytest.raises(MediaError, match=r"f11\.png' is 9 x 8"):
        list(open_clip(tmp_path).frames)


def test_other_rates(tmp_path):
    clip = open_clip(write_video(tmp_path / "v.mp4", ramp(20), 50))
    for slower in (open_clip(tmp_path / "v.mp4", fps=25), at_rate(clip, 25)):
        assert slower.fps == 25 and slower.count is None and levels(slower) == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]
    faster = at_rate(clip, 100)
    assert levels(faster) == [index // 2 for index in range(40)]
    first, second, *_ = faster.frames
    first[:] = 99
    assert second.mean() < 5  # held frames are not shared
    assert at_rate(clip, 50) is clip


def test_hold_and_rates_by_the_rule():
    timed = [(Fraction(time, 10), Fraction(1, 10), name) for time, name in ((0, "a"), (1, "b"), (4, "c"))]
    assert list(hold(timed, Fraction(10))) == list("abbbc")
    assert list(hold(timed, Fraction(5))) == list("abc")
    assert list(hold([(Fraction(0), Fraction(0), "a")], Fraction(25))) == ["a"]
    assert list(hold([], Fraction(25))) == []
    assert choose_rate(Fraction(2999, 100), Fraction(30)) == 30
    assert choose_rate(Fraction(2987, 100), Fraction(90000)) == Fraction(30000, 1001)
    assert choose_rate(Fraction(19001, 317), Fraction(19001, 317)) == Fraction(60000, 1001)
    assert choose_rate(None, None) == 25 and choose_rate(Fraction(1, 5), Fraction(1, 5)) == Fraction(1, 5)
    assert exact_rate(23.976) == Fraction(24000, 1001) and exact_rate("12.5") == Fraction(25, 2)
    for bad in (0, -1, "fast", float("nan"), float("inf"), 10**6):
        with pytest.raises(MediaError, match="frame rate"):
            exact_rate(bad)


def test_memory_does_not_grow_with_length(tmp_path):
    with VideoWriter(tmp_path / "long.mp4", 25, quality=40) as writer:
        for index in range(400):
            writer.write(flat(index % 250, (120, 160)))
    peaks = []
    for frames in (40, 400):
        tracemalloc.start()
        for index, _ in enumerate(open_clip(tmp_path / "long.mp4").frames):
            if index == frames - 1:
                break
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 100_000  # 360 frames more would be 20 MB


def test_decoded_pictures_are_freed_without_the_garbage_collector(tmp_path):
    statm = Path("/proc/self/statm")
    if not statm.exists():  # only Linux tells a process its resident size; elsewhere the tracemalloc test above must do
        return
    path = write_video(tmp_path / "large.mp4", [flat(index, (480, 640)) for index in range(60)], options={"crf": "40"})
    resident = []
    gc.disable()
    try:
        for index, _ in enumerate(open_clip(path).frames):
            if index in (29, 59):
                resident.append(int(statm.read_text().split()[1]) * 4096)
    finally:
        gc.enable()
    assert resident[1] - resident[0] < 5_000_000  # 30 frames held would be 14 MB


def test_a_pyav_that_takes_no_word_about_tags_opens_videos_too(tmp_path, monkeypatch):
    path = write_video(tmp_path / "clip.mp4", [flat(value) for value in (10, 60, 110)])
    usual = av.open

    def newer(file, *, options):
        return usual(file, options=options)

    monkeypatch.setattr(av, "open", newer)
    assert len(list(open_clip(path).frames)) == 3
