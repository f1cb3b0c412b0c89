"""A portrait that speaks: motion of any length and any sound, its strengths, and the way from words to a file."""

from fractions import Fraction

import av
import numpy as np
import pytest

import vivant
from vivant.controls.crop import crop_face
from vivant.core.clip import Audio
from vivant.core.errors import ConfigError
from vivant.core.face_motion import PARTS
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE, Speech
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.methods.speech_portrait.config import PRESETS, Options
from vivant.methods.speech_portrait.generate import Generator
from vivant.methods.speech_portrait.weights import load_modules
from vivant.perception.faces import FaceFinder
from vivant.tts.engines import engine, installed
from vivant.weights.assets import asset

FPS, TINY = Fraction(25), PRESETS["tiny"]
CALL = {"method": "speech-portrait", "preset": "tiny", "device": "cpu", "crop_only": True}


@pytest.fixture(scope="module")
def crop(portrait):
    view = TINY.source_crop
    found = FaceFinder().find(portrait)[0]
    return crop_face(portrait, found, view.scale, view.shift_y, 256, view.rotate, view.points)


@pytest.fixture(scope="module")
def generator():
    modules, config, _ = load_modules("tiny", seed=3)
    return Generator(modules, config)


class Lazy:
    """Features of many frames that are made when sliced; remembers the most that was asked for at once."""

    def __init__(self, count):
        self.count, self.most = count, 0

    def __len__(self):
        return self.count

    def __getitem__(self, rows):
        self.most = max(self.most, rows.stop - rows.start)
        number = np.arange(rows.start, rows.stop)[:, None, None]
        return np.sin(0.3 * number + np.arange(SPEECH_FEATURES[TINY.encoder][1])).repeat(2, 1).astype(np.float32)


def speech_of(count, voiced=1.0):
    features = {TINY.encoder: Lazy(count)}
    return Speech(np.zeros(count * 640, np.float32), FPS, np.full(count, voiced, np.float32), features)


def rows_of(generator, crop, speech, **options):
    return np.concatenate([m.array() for m in generator.motion(crop, speech, Options(**options))])


def test_every_frame_moves_once_and_the_seed_says_how(generator, crop):
    first, again, other = (rows_of(generator, crop, speech_of(70), seed=seed) for seed in (1, 1, 2))
    assert len(first) == 70 and (first == again).all() and (first != other).any()
    for count in (1, 2, 17):
        assert len(rows_of(generator, crop, speech_of(count))) == count
    assert (rows_of(generator, crop, speech_of(40), guidance=1.0) != rows_of(generator, crop, speech_of(40))).any()


def test_three_hours_are_read_window_by_window(generator, crop):
    speech = speech_of(3 * 3600 * 25)
    motions = generator.motion(crop, speech, Options())
    seen = [len(next(motions)) for _ in range(3)]
    assert seen[0] == TINY.window and speech.features[TINY.encoder].most <= TINY.window


def test_strengths_and_silence(generator, crop):
    mouth = PARTS["moves"].start
    still = rows_of(generator, crop, speech_of(30), strength_head=0, strength_blink=0)
    assert np.abs(still[:, PARTS["angles"]]).max() == 0 and np.allclose(still[:, PARTS["lids"]], 1)
    assert np.abs(still[:, mouth : mouth + 20]).max() > 0
    quiet = rows_of(generator, crop, speech_of(30, voiced=0.0))
    assert np.abs(quiet[:, mouth : mouth + 22]).max() == 0, "lips and chin rest where nobody speaks"
    assert np.abs(quiet[:, PARTS["angles"]]).max() > 0
    assert np.abs(rows_of(generator, crop, speech_of(30, voiced=0.0), hush=False)[:, mouth : mouth + 22]).max() > 0
    loud = rows_of(generator, crop, speech_of(30), strength_mouth=2.0)
    usual = rows_of(generator, crop, speech_of(30))
    assert np.allclose(loud[:, mouth : mouth + 22], 2 * usual[:, mouth : mouth + 22], atol=1e-5)


def test_without_a_painter_it_says_what_to_do(generator, crop):
    with pytest.raises(ConfigError, match=r"vivant\.load"):
        generator.painting(crop, Options())


def made(kind):
    """A second of sound that is no speech, or badly recorded speech."""
    rng, count = np.random.default_rng(0), SPEECH_RATE
    voice = read_audio(asset("demo/driver.mp4"), SPEECH_RATE, mono=True).samples[8000 : 8000 + count, 0]
    time = np.arange(count) / SPEECH_RATE
    return {
        "silence": np.zeros(count),
        "music": 0.3 * np.sin(2 * np.pi * 220 * time) * np.exp(-4 * (time % 0.5)),
        "noise": 0.1 * rng.standard_normal(count),
        "clipped": np.clip(40 * voice, -1, 1),
        "ten milliseconds": voice[:160],
        "not numbers": np.where(np.arange(count) % 5 == 0, np.nan, voice),
    }[kind].astype(np.float32)


@pytest.mark.parametrize("kind", ["silence", "music", "noise", "clipped", "ten milliseconds", "not numbers"])
def test_any_sound_makes_as_many_frames_as_it_fills(kind, portrait):
    samples = made(kind)
    result = vivant.animate(portrait, audio=Audio(samples[:, None], SPEECH_RATE), **CALL)
    frames = list(result.frames)
    assert len(frames) == max(1, -(-len(samples) // 640)) and frames[0].shape == (256, 256, 3)


@pytest.mark.parametrize("rate, layout", [(8000, "mono"), (96000, "5.1")])
def test_sound_files_of_other_rates_and_channels(rate, layout, portrait, tmp_path):
    path, channels = tmp_path / "sound.wav", {"mono": 1, "5.1": 6}[layout]
    wave = (0.2 * np.sin(2 * np.pi * 200 * np.arange(rate // 2) / rate)).astype(np.float32)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(np.tile(wave, (channels, 1)), "fltp", layout)
        frame.rate = rate
        resampled = av.AudioResampler("s16", layout, rate).resample(frame)
        out.mux([p for part in resampled for p in stream.encode(part)] + list(stream.encode(None)))
    assert vivant.animate(portrait, audio=path, **CALL).count in (12, 13)


@pytest.mark.skipif("flite" not in installed(), reason=engine("flite").missing())
def test_text_is_spoken_first_and_stands_in_the_record(portrait, tmp_path):
    out = tmp_path / "out.mp4"
    result = vivant.animate(portrait, output=out, text="Good morning.", voice="flite:slt", **CALL)
    assert result.count > 10 and result.request["said"].text == "Good morning."
    clip = open_clip(out)
    assert len(list(clip.frames)) == result.count and np.abs(clip.audio.samples).max() > 0.05


def test_text_that_cannot_be_said_is_refused(portrait):
    for wish, words in (
        ({"text": "x", "audio": np.zeros(100, np.float32)}, "both given"),
        ({"voice": "flite:slt"}, "no text"),
        ({"text": "Guten Tag", "voice": "flite:slt", "language": "de"}, "speaks English only"),
        ({"text": "  "}, "no text to say|not installed|No text-to-speech"),
    ):
        with pytest.raises(ConfigError, match=words):
            vivant.animate(portrait, **wish, **CALL)


def test_options_out_of_range_are_refused(portrait):
    sound = Audio(np.zeros((640, 1), np.float32), SPEECH_RATE)
    with pytest.raises(ConfigError, match="0 to 3"):
        vivant.animate(portrait, audio=sound, strength={"head": 9}, **CALL)
    with pytest.raises(ConfigError, match="Nothing drives"):
        vivant.animate(portrait, **CALL)
