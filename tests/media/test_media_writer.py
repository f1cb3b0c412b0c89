"""Movies, GIFs and folders out: exact rates, sound in step, whole or not at all."""

import os
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest
from media_makers import corners, flat, quarters, tone

from vivant.core.clip import Audio, Clip
from vivant.core.errors import MediaError
from vivant.media import encode, files
from vivant.media.audio import read_audio
from vivant.media.video import open_clip, probe
from vivant.media.writer import VideoWriter, side_by_side, write_clip


def write(path, frames, fps=25, **options):
    with VideoWriter(path, fps, **options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_movie_is_what_browsers_play(tmp_path):
    path = write(tmp_path / "out.mp4", [quarters()] * 10, Fraction(30000, 1001), audio=Audio(tone(1, 44100, 2), 44100))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(str(path)) as container:
        video, sound = container.streams.video[0], container.streams.audio[0]
        assert (video.codec.canonical_name, video.pix_fmt, video.frames) == ("h264", "yuv420p", 10)
        assert video.average_rate == Fraction(30000, 1001)
        assert (sound.codec.canonical_name, sound.rate, sound.layout.name) == ("aac", 44100, "stereo")
        assert (video.codec_context.colorspace, video.codec_context.color_range) == (1, 1)
    frame = next(iter(open_clip(path).frames))
    assert corners(frame) == "rgwb" and np.abs(frame[8, 8].astype(int) - quarters()[8, 8]).max() <= 6
    assert os.listdir(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v", ".mkv"])
@pytest.mark.parametrize("rate", ["24000/1001", "25", "30000/1001", "60"])
def test_exact_rate_and_count(tmp_path, suffix, rate):
    path = write(tmp_path / f"out{suffix}", [flat(index * 6) for index in range(37)], Fraction(rate))
    clip = open_clip(path)
    assert clip.fps == Fraction(rate) and sum(1 for _ in clip.frames) == 37
    assert probe(path).seconds == pytest.approx(37 / Fraction(rate), abs=1e-3)


@pytest.mark.parametrize("heard", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("rate", [16000, 44100, 37800])
def test_sound_has_the_pictures_length(tmp_path, heard, rate):
    fps = Fraction(30000, 1001)
    path = write(tmp_path / "out.mp4", [flat(0)] * 40, fps, audio=Audio(tone(heard, rate), rate))
    with av.open(str(path)) as container:
        video, sound = (
            stream.duration * stream.time_base for stream in (container.streams.video[0], container.streams.audio[0])
        )
    assert abs(video - 40 / fps) < Fraction(1, 1000) and abs(sound - video) <= 1 / fps
    samples = read_audio(path, 16000).samples
    loud = np.abs(samples[:, 0]) > 0.2
    assert abs(np.flatnonzero(loud)[-1] / 16000 - min(heard, 40 / fps)) < 1 / fps


def test_flash_and_click_are_in_step(tmp_path):
    fps, samples = Fraction(24000, 1001), np.zeros((96000, 1), np.float32)
    samples[48048:48528] = 0.8  # 1.001 s
    path = write(
        tmp_path / "out.mp4", [flat(255 if k >= 24 else 0) for k in range(48)], fps, audio=Audio(samples, 48000)
    )
    clip = open_clip(path)
    flash = next(index for index, frame in enumerate(clip.frames) if frame.mean() > 128) / fps
    click = int(np.argmax(np.abs(clip.audio.samples[:, 0]) > 0.3)) / clip.audio.rate
    assert abs(float(flash) - click) < 0.005


def test_sound_travels_through_a_clip_without_being_held(tmp_path):
    first = write(tmp_path / "a.mp4", [flat(9)] * 25, audio=Audio(tone(1, 16000, 6), 16000))
    clip = open_clip(first)
    again = write_clip(clip, tmp_path / "b.mp4", quality=30)
    assert "samples" not in vars(clip.audio)
    audio = read_audio(again)
    assert audio.samples.shape[1] == 6 and abs(audio.seconds - 1) < 0.07


def test_odd_channels_and_no_samples(tmp_path):
    path = write(tmp_path / "a.mp4", [flat(9)] * 5, audio=Audio(tone(1, 16000, 3), 16000))
    assert read_audio(path).samples.shape[1] == 1
    path = write(tmp_path / "b.mp4", [flat(9)] * 5, audio=Audio(np.zeros((0, 2), np.float32), 16000))
    assert np.abs(read_audio(path).samples).max() == 0


@pytest.mark.parametrize("size", [(33, 47), (48, 47), (33, 64), (1, 1)])
def test_odd_sizes_repeat_the_last_line(tmp_path, size):
    frame = flat(40, size)
    frame[-1], frame[:, -1] = 200, 200
    clip = open_clip(write(tmp_path / "out.mp4", [frame] * 2, quality=1))
    assert clip.size == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert abs(int(next(iter(clip.frames))[-1, -1, 0]) - 200) < 10
    for name in ("out.gif", "folder"):
        assert open_clip(write(tmp_path / name, [frame, frame])).size == size


def test_quality_changes_the_size(tmp_path):
    noise = list(np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3), dtype=np.uint8))
    sizes = [write(tmp_path / f"{q}.mp4", noise, quality=q).stat().st_size for q in (5, 25, 45)]
    assert sizes[0] > sizes[1] * 1.5 > sizes[2] * 2


@pytest.mark.parametrize(("fps", "count"), [(25, 20), (30, 30), (Fraction(30000, 1001), 30), (100, 50)])
def test_gif_keeps_its_length(tmp_path, fps, count):
    path = write(tmp_path / "out.gif", [flat((index * 5, 90, 30)) for index in range(count)], fps)
    info = probe(path)
    assert info.kind == "animation" and abs(info.seconds - count / fps) < 0.02
    clip = open_clip(path)
    shown = [int(frame[0, 0, 0]) for frame in clip.frames]
    assert len(shown) == (25 if fps == 100 else count) and abs(shown[-1] - (count - 1) * 5) <= 10
    assert abs(int(next(iter(clip.frames))[0, 0, 1]) - 90) <= 4


def test_folder_of_png(tmp_path):
    frames = [flat(index) for index in range(12)]
    for name in ("plain", "slashed.v2/"):
        write(f"{tmp_path}/{name}", frames)
        assert sorted(os.listdir(tmp_path / name))[-1] == "frame_000011.png"
        assert all(np.array_equal(a, b) for a, b in zip(open_clip(tmp_path / name).frames, frames))
    (tmp_path / "empty").mkdir()
    assert open_clip(write(tmp_path / "empty", frames)).count == 12
    with pytest.raises(MediaError, match="not empty"):
        VideoWriter(tmp_path / "plain", 25)
    assert sorted(os.listdir(tmp_path)) == ["empty", "plain", "slashed.v2"]


@pytest.mark.parametrize("name", ["out.mp4", "out.gif", "out"])
def test_an_exception_leaves_nothing(tmp_path, name):
    for made in (0, 3):
        with (
            pytest.raises(KeyboardInterrupt),
            VideoWriter(tmp_path / name, 25, audio=Audio(tone(1, 8000), 8000)) as writer,
        ):
            for _ in range(made):
                writer.write(flat(5))
            raise KeyboardInterrupt
        assert os.listdir(tmp_path) == []


def test_an_exception_keeps_the_older_file(tmp_path):
    path = write(tmp_path / "out.mp4", [flat(1)] * 3)
    before = path.read_bytes()
    with pytest.raises(MediaError, match="one size"), VideoWriter(path, 25) as writer:
        writer.write(flat(5))
        writer.write(flat(5, (10, 10)))
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["out.mp4"]
    write(path, [flat(1)] * 7)
    assert open_clip(path).count == 7


def test_frames_must_fit(tmp_path):
    with pytest.raises(MediaError, match="no frame"), VideoWriter(tmp_path / "a.mp4", 25):
        pass
    with pytest.raises(MediaError, match="10 x 20"), VideoWriter(tmp_path / "a.mp4", 25, size=(20, 10)) as writer:
        writer.write(flat(1))
    with pytest.raises(MediaError, match="RGB"), VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(np.zeros((4, 4, 3), np.float32))
    assert os.listdir(tmp_path) == []
    with VideoWriter(tmp_path / "a.mp4", 25) as writer:
        writer.write(flat(1)[:, ::-1])
    assert writer.close() == tmp_path / "a.mp4" and writer.count == 1
    with pytest.raises(MediaError, match="finished"):
        writer.write(flat(1))


def test_bad_outputs_are_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").write_text("x")
    cases = {"folder.mp4": "is a directory", "out.xyz": "unknown suffix", "file/out.mp4": "Nothing can be written"}
    cases["file"] = "is a file"
    for name, words in cases.items():
        with pytest.raises(MediaError, match=words) as error:
            VideoWriter(tmp_path / name, 25)
        assert str(error.value).endswith(".") and "\n" not in str(error.value)
    for options, words in (({"fps": 0}, "frame rate"), ({"fps": 25, "quality": 99}, "Quality")):
        with pytest.raises(MediaError, match=words):
            VideoWriter(tmp_path / "out.mp4", **options)

    def refuse(path, exist_ok=True):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.Path, "touch", refuse)
    with pytest.raises(MediaError, match="Permission denied"):
        VideoWriter(tmp_path / "out.mp4", 25)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.mp4"]


def test_missing_parents_are_made_and_long_names_fit(tmp_path):
    path = write(tmp_path / "new" / "deeper" / ("ä" * 100 + ".mp4"), [flat(1)])
    assert path.is_file()


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(self, frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(encode.MovieSink, "write", full)
    with pytest.raises(MediaError, match="No space left"), VideoWriter(tmp_path / "out.mp4", 25) as writer:
        writer.write(flat(1))
    assert os.listdir(tmp_path) == []


def test_without_x264_another_encoder_is_chosen(tmp_path, monkeypatch):
    assert encode.video_encoder() == "libx264"
    monkeypatch.setattr(encode, "VIDEO_ENCODERS", ("no_such_encoder", "mpeg4"))
    assert encode.video_encoder() == "mpeg4"
    clip = open_clip(write(tmp_path / "out.mp4", [quarters()] * 10, Fraction(30000, 1001)))
    assert clip.fps == Fraction(30000, 1001) and corners(next(iter(clip.frames))) == "rgwb"
    monkeypatch.setattr(encode, "VIDEO_ENCODERS", ("no_such_encoder",))
    with pytest.raises(MediaError, match="cannot write"):
        write(tmp_path / "none.mp4", [flat(1)])
    assert os.listdir(tmp_path) == ["out.mp4"]


def test_memory_does_not_grow_with_length(tmp_path):
    peaks = []
    for count in (50, 400):
        frames = (flat(index % 250, (120, 160)) for index in range(count))
        tracemalloc.start()
        write_clip(Clip(frames, Fraction(25), (120, 160)), tmp_path / f"{count}.mp4", quality=40)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5 + 100_000


def test_side_by_side():
    row = side_by_side(flat(10, (20, 10)), flat(20, (40, 30)), flat(30, (10, 10)))
    assert row.shape == (40, 20 + 30 + 40, 3) and row.dtype == np.uint8
    assert row[5, 5, 0] == 10 and row[5, 30, 0] == 20 and row[5, 80, 0] == 30
    with pytest.raises(MediaError):
        side_by_side()
    with pytest.raises(MediaError, match="RGB"):
        side_by_side(np.zeros((3, 3), np.uint8))


@pytest.mark.skipif(encode.video_encoder() != "libx264", reason="it writes no settings into its pictures")
def test_one_thread_writes_the_same_file_each_time(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (3, 256, 256, 3), np.uint8)
    one, again = (write(tmp_path / name, noise, threads=1).read_bytes() for name in ("a.mp4", "b.mp4"))
    assert one == again and b" threads=1 " in one
