"""Streams of sound: windows in order, in step for an hour, bounded queues, late pictures left out."""

import io
import threading
from fractions import Fraction

import numpy as np
import pytest

import vivant
from vivant.apps.cli import main
from vivant.controls.live_speech import HEARD_FRAMES, LiveSpeech
from vivant.core.clip import Audio
from vivant.core.errors import ConfigError, MediaError
from vivant.core.speech import SPEECH_RATE
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.perception.hearing import SpeechEncoder, load_encoder
from vivant.perception.voice import CHUNK
from vivant.pipelines.speak_live import Clock, SoundQueue, mono_blocks, pcm_blocks
from vivant.weights.assets import asset

FPS = Fraction(25)


class NoVoice:
    """Tells of every chunk its number."""

    def __init__(self):
        self.samples = self.chunks = 0

    def feed(self, samples, last=False):
        self.samples += len(samples)
        new = range(self.chunks, self.samples // CHUNK)
        self.chunks = self.samples // CHUNK
        return np.array(new, np.float32)


def first_sample(samples):
    """An encoder whose steps are the first of their samples."""
    return samples[::320, None]


STUB = SpeechEncoder("whisper-tiny-en", 50, 1, {}, first_sample)


def live(**more):
    return LiveSpeech(FPS, "whisper-tiny-en", voice=NoVoice(), listen=STUB, **more)


def blocks_of(samples, size):
    return (samples[at : at + size] for at in range(0, len(samples), size))


@pytest.mark.parametrize("size", [37, 441, 640, 5000])
def test_each_frame_is_made_once_whatever_the_blocks(size):
    samples = (np.arange(3 * SPEECH_RATE + 77) / (4 * SPEECH_RATE)).astype(np.float32)
    windows = list(live().windows(blocks_of(samples, size)))
    assert [w.first for w in windows] == list(range(0, 76, 6))
    assert sum(w.new for w in windows) == 76 == -(-len(samples) // 640)
    for w in windows:
        features = w.speech.features["whisper-tiny-en"]
        assert len(features) == len(w.speech) == len(w.speech.samples) // 640 >= w.first - w.start + w.new
        at = (w.first - w.start) * 640
        want = samples[w.first * 640 : w.first * 640 + 1]
        assert np.allclose(w.speech.samples[at : at + 1], want) and np.allclose(features[w.first - w.start, 0], want)


def test_frames_wait_for_no_more_than_block_and_lookahead():
    ear = live(block=6, lookahead=4)
    arrived = []

    def blocks():
        for number in range(50):
            arrived.append(number)
            yield np.zeros(640, np.float32)

    first = [(w.first, len(arrived)) for w in ear.windows(blocks()) if len(arrived) < 50]
    assert first[0] == (0, 10) and all(seen - number == 10 for number, seen in first)


def test_an_hour_stays_in_step_and_in_memory():
    ear, made, count, size = live(block=25), 0, 2571, 22_400  # 1.4 s each
    blocks = (np.full(size, k / 4000, np.float32) for k in range(count))
    total = count * size
    for window in ear.windows(blocks):
        made += window.new
        due = window.first * 640
        value = window.speech.samples[(window.first - window.start) * 640]
        assert abs(value - (due // size) / 4000) < 1e-6 or due >= total
        middle = (window.first - window.start) + 1
        assert abs(window.speech.voiced[middle] - (window.first + 1.5) * 640 / CHUNK) < 1.0
    assert made == -(-total // 640) and made > 3599 * 25
    assert len(ear._samples) <= (HEARD_FRAMES + 25) * 640 and len(ear._chunks) < 200


def test_a_rate_without_whole_samples_is_refused():
    with pytest.raises(ConfigError, match="use 25"):
        LiveSpeech(Fraction(30000, 1001), "whisper-tiny-en", voice=NoVoice(), listen=STUB)


def test_what_a_stream_hears_is_nearly_what_a_file_hears():
    samples = read_audio(asset("demo/driver.mp4"), SPEECH_RATE, mono=True).samples[: 3 * SPEECH_RATE, 0]
    whole = load_encoder("whisper-tiny-en").encode(samples)
    alone = load_encoder("whisper-tiny-en", padded=False).encode(samples)
    assert alone.shape == whole.shape
    a, b = alone - alone.mean(0), whole - whole.mean(0)
    assert (a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()) > 0.7


def test_a_full_queue_waits_or_turns_the_oldest_sound_into_silence():
    waiting, done = SoundQueue(seconds=1), []
    thread = threading.Thread(target=lambda: done.append([waiting.put(np.ones(8000, np.float32)) for _ in range(4)]))
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and waiting.waiting <= SPEECH_RATE
    taken = iter(waiting)
    assert sum(len(next(taken)) for _ in range(4)) == 32_000
    thread.join(2)
    assert done == [[True] * 4]
    lossy = SoundQueue(seconds=1, lossy=True)
    for value in range(1, 6):
        lossy.put(np.full(8000, value, np.float32))
    lossy.close()
    sound = np.concatenate(list(lossy))
    assert len(sound) == 40_000 and lossy.lost == 24_000 and (sound[:24_000] == 0).all() and sound[-1] == 5
    assert not lossy.put(np.zeros(10, np.float32))


def test_an_error_of_the_source_reaches_who_listens():
    queue = SoundQueue()
    queue.close(MediaError("gone"))
    with pytest.raises(MediaError, match="gone"):
        list(queue)


def test_a_clock_says_what_is_late():
    time = [100.0]
    clock = Clock(FPS, 0.4, lambda: time[0])
    assert not clock.is_late(0), "a clock that was not started waits for ever"
    clock.start()
    time[0] = 100.5
    assert not clock.is_late(0) and not clock.is_late(10)
    time[0] = 101.0
    assert clock.is_late(0) and not clock.is_late(20)


@pytest.fixture(scope="module")
def pipe():
    return vivant.load("speech-portrait", preset="tiny", device="cpu")


def test_late_pictures_repeat_and_none_is_missing(pipe, portrait):
    from vivant.pipelines.speak_live import speak_live

    time = [0.0]
    clock = Clock(FPS, 0.4, lambda: time[0])
    clock.start()
    sound = Audio(np.zeros((2 * SPEECH_RATE, 1), np.float32), SPEECH_RATE)
    frames = speak_live(pipe, portrait, sound, pipe.options(), crop_only=True, clock=clock)
    seen = []
    for number, frame in enumerate(frames):
        seen.append(frame)
        time[0] = 5.0 if number >= 20 else 0.0
    assert len(seen) == 50 and clock.late and min(clock.late) > 20
    assert all((seen[k] == seen[k - 1]).all() for k in clock.late)


def test_an_iterator_of_samples_streams_at_any_rate(pipe, portrait):
    sound = (np.zeros((882, 2), np.float32) for _ in range(40))
    assert len(list(pipe.stream(portrait, audio=sound, rate=44_100, crop_only=True))) == 20
    pictures = list(pipe.stream(portrait, audio=[np.zeros(640, np.float32)] * 3))
    assert len(pictures) == 3 and pictures[0].shape == portrait.shape


def test_wishes_a_stream_cannot_serve(pipe, portrait):
    for wish, words in (
        ({}, "Nothing drives"),
        ({"driving": portrait}, "streams from sound"),
        ({"driving": portrait, "audio": []}, "both are given"),
    ):
        with pytest.raises(ConfigError, match=words):
            list(pipe.stream(portrait, **wish))
    with pytest.raises(MediaError, match="sample rate"):
        list(pipe.stream(portrait, audio=[np.zeros(10)], rate=3))
    with pytest.raises(ConfigError, match="speech-portrait"):
        list(vivant.load("live-portrait", preset="tiny", device="cpu").stream(portrait, audio=[]))


def test_the_command_writes_a_video_with_its_sound(portrait_path, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    argv = ["stream", "-s", portrait_path, "-a", asset("demo/driver.mp4"), "--method", "speech-portrait",
            "--preset", "tiny", "-o", out, "--frames", "8", "--crop-only"]  # fmt: skip
    assert main([str(word) for word in argv]) == 0
    clip = open_clip(out)
    assert len(list(clip.frames)) == 8 and clip.audio is not None and clip.fps == 25
    assert main(["stream", "-s", str(portrait_path), "--method", "speech-portrait", "--preset", "tiny"]) == 2
    assert "sound with -a" in capsys.readouterr().err


def test_raw_sound_of_a_pipe():
    samples = np.array([0, 16384, -32768], "<i2").tobytes()
    pipe = io.BytesIO(samples + b"\x01")
    assert np.allclose(np.concatenate(list(pcm_blocks(pipe))), [0, 0.5, -1])
    assert next(mono_blocks([np.ones((100, 2), np.float32)])).shape == (100,)
