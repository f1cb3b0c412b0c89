"""Sound on the timeline of the video: exact rates, windows, constant memory, and everything that sounds badly."""

import resource
import wave
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from sounds import RATE, demo_speech, music, noise

from vivant.controls.speech import FeatureTrack, on_raster, read_speech
from vivant.core.clip import Audio
from vivant.core.errors import MediaError
from vivant.perception.hearing import SpeechEncoder
from vivant.weights.assets import asset


def clock(rate=50, width=2):
    """An encoder that answers with the time: step s holds its number within the window, and the window's first
    sample."""

    def encode(samples):
        steps = -(-len(samples) * rate // RATE)
        number = np.arange(steps, dtype=np.float32) + samples[0] * rate  # samples hold their own second
        return np.stack([number, np.full(steps, len(samples), np.float32)], 1)

    return SpeechEncoder("wav2vec2", rate, width, {}, encode)


def seconds_track(seconds, fps, frames=None):
    """A track over samples that hold the second they lie in; its first number is the step's place in the sound."""
    samples = (np.arange(int(seconds * RATE)) // RATE).astype(np.float32)
    return FeatureTrack(samples, Fraction(fps), frames or int(seconds * Fraction(fps)), clock())


@pytest.mark.parametrize("fps", ["25", "30000/1001", "24", "60", "12", "50"])
def test_features_lie_on_the_exact_timeline(fps):
    fps = Fraction(fps)
    track = seconds_track(100, fps)
    found = track[:][..., 0].reshape(-1)
    edges = np.arange(len(found) + 1) * float(50 / (fps * 2))  # in steps; step s covers s to s + 1
    want = np.array([np.mean(np.floor(np.linspace(a, b, 2001)[:-1])) for a, b in pairwise(edges[:401])])
    assert np.abs(found[:400] - want).max() < 2e-3
    middle = (edges[:-1] + edges[1:]) / 2 - 0.5
    assert np.abs(found - middle).max() <= 0.51 and (np.diff(found) >= 0).all()


def test_at_25_frames_the_steps_are_kept_as_they_are():
    assert (seconds_track(70, 25)[:][..., 0].reshape(-1) == np.arange(3500)).all()


def test_what_was_asked_before_changes_nothing_and_indexing_is_that_of_arrays():
    whole = seconds_track(100, "30000/1001")[:]
    track = seconds_track(100, "30000/1001")
    rng = np.random.default_rng(0)
    for start in rng.integers(0, 2900, 12):
        assert (track[start : start + 40] == whole[start : start + 40]).all()
    picked = [5, 2000, 7]
    for index in (3, -1, slice(10, 90, 7), slice(90, 10, -7), picked, np.array(picked), (slice(0, 4), 1),
                  (slice(0, 4), slice(None), 0), (2, 0), slice(5, 5)):  # fmt: skip
        assert np.array_equal(track[index], whole[index]), index
    assert np.array_equal(np.asarray(track), whole) and track.shape == whole.shape and len(track) == len(whole)
    with pytest.raises(IndexError):
        track[len(track)]


def test_averages_by_share():
    steps = np.array([[0.0], [10.0], [20.0]])
    assert np.allclose(on_raster(steps, np.array([0.0, 1.0, 2.0, 3.0])), steps)
    assert np.allclose(on_raster(steps, np.array([0.5, 1.5, 3.0])), [[5.0], [(5 + 20) / 1.5]])


def test_real_speech():
    speech = read_speech(asset("demo/driver.mp4"), Fraction(25), ["mel", "whisper-tiny-en"])
    assert speech.features["mel"].shape == (len(speech), 4, 80)
    assert speech.features["whisper-tiny-en"][10:12].shape == (2, 2, 1920)
    loud = speech.features["mel"][:].mean((1, 2))
    assert np.corrcoef(loud, speech.voiced)[0, 1] > 0.5
    assert speech.samples.dtype == np.float32 and speech.voiced.dtype == np.float32


def test_another_rate_hears_the_same_at_the_same_time():
    slow, fast = (read_speech(asset("demo/driver.mp4"), Fraction(r), ["mel"]) for r in ("25", "50"))
    assert len(fast) in (2 * len(slow), 2 * len(slow) - 1)
    paired = fast.voiced[: 2 * (len(fast) // 2)].reshape(-1, 2).mean(1)
    assert np.abs(paired - slow.voiced[: len(paired)]).max() < 0.05


SOUNDS = {
    "silence": np.zeros(RATE, np.float32),
    "music": music(1),
    "noise": noise(1),
    "clipped": np.clip(demo_speech()[8000:24000] * 50, -1, 1),
    "ten milliseconds": noise(0.01),
    "one sample": noise(1)[:1],
    "not numbers": np.where(np.arange(RATE) % 7 == 0, np.nan, demo_speech()[8000:24000]),
    "infinite": np.where(np.arange(RATE) % 7 == 0, np.inf, 0.0),
    "far too loud": demo_speech()[8000:24000] * 1e6,
}


@pytest.mark.parametrize("name", SOUNDS)
def test_any_sound_gives_finite_features(name):
    samples = np.asarray(SOUNDS[name], np.float32)
    speech = read_speech(Audio(samples[:, None], RATE), Fraction(25), ["mel"])
    assert len(speech) == max(1, -(-len(samples) * 25 // RATE)) == len(speech.features["mel"][:])
    assert np.isfinite(speech.features["mel"][:]).all() and np.isfinite(speech.voiced).all()
    assert np.abs(speech.samples).max(initial=0) <= 1
    if name in ("silence", "music", "noise", "infinite"):
        assert speech.voiced.max() < 0.5
    if name == "clipped":
        assert speech.voiced.max() > 0.5


def test_10_ms_through_whisper():
    speech = read_speech(Audio(noise(0.01)[:, None], RATE), Fraction(25), ["whisper-tiny-en"])
    assert speech.features["whisper-tiny-en"][:].shape == (1, 2, 1920)


@pytest.mark.parametrize("rate, layout, kind", [(8000, "mono", "wav"), (96000, "5.1", "wav"), (44100, "stereo", "mp3")])
def test_files_of_any_rate_and_channels(rate, layout, kind, tmp_path):
    path = tmp_path / f"sound.{kind}"
    speech = demo_speech()
    at = np.arange(int(len(speech) * rate / RATE)) * RATE / rate
    wave_ = np.interp(at, np.arange(len(speech)), speech).astype(np.float32)
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    rows = np.tile(wave_, (channels, 1))
    with av.open(str(path), "w") as out:
        stream = out.add_stream({"wav": "pcm_s16le", "mp3": "mp3"}[kind], rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(rows, "fltp", layout)
        frame.rate = rate
        resampled = av.AudioResampler(stream.format.name, layout, rate).resample(frame)
        out.mux([p for part in resampled for p in stream.encode(part)] + list(stream.encode(None)))
    found = read_speech(path, Fraction(25))
    want = read_speech(asset("demo/driver.mp4"), Fraction(25))
    assert abs(len(found) - len(want)) <= 2
    common = min(len(found), len(want))
    assert np.corrcoef(found.voiced[:common], want.voiced[:common])[0, 1] > 0.9


def test_sound_that_is_none(tmp_path):
    silent = tmp_path / "silent.wav"
    with wave.open(str(silent), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
    with pytest.raises(MediaError):
        read_speech(silent, Fraction(25))
    with pytest.raises(MediaError):
        read_speech(Audio(np.zeros((0, 1), np.float32), RATE), Fraction(25))


def test_three_hours_need_no_more_memory_than_a_minute(monkeypatch):
    """Three hours in the rate of a voice: one second of sound is repeated; voices are not looked for (it takes a
    minute and is tested above)."""
    from vivant.controls import speech as module

    monkeypatch.setattr(module.VoiceDetector, "feed", lambda self, block, last=False: np.zeros(len(block) // 512))
    second, hours = noise(1), 3
    monkeypatch.setattr(module, "_mono_blocks", lambda sound: (second for _ in range(hours * 3600)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    speech = read_speech(Audio(np.zeros((1, 1), np.float32), RATE), Fraction(25), ["mel"])
    assert len(speech) == hours * 3600 * 25 and speech.samples.nbytes == hours * 3600 * RATE * 4
    for start in range(0, len(speech), 30_000):
        assert np.isfinite(speech.features["mel"][start : start + 100]).all()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 300, f"{grown:.0f} MiB"
