"""Engines say what they are asked, and their phone times lie where the sound is."""

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.tts.engines import ENGINES, engine, installed, speak
from vivant.tts.espeak_program import Event
from vivant.tts.flite import _phones as flite_phones
from vivant.tts.hibari import _phones as hibari_phones
from vivant.tts.phonesets import ARPABET, from_arpabet, from_ipa, from_misaki
from vivant.tts.spoken import SILENCE, Phone, Spoken, gapless, padded, resized

SIBILANTS = {"s", "z", "ʃ", "ʒ", "tʃ", "dʒ"}
HISSING = "She sells six fresh fish. Zoos show us foxes and seals."
VOICES = {"flite": "flite:rms", "hibari": "hibari", "espeak": "espeak:en-us"}


def said(name: str, text: str = HISSING, **options) -> Spoken:
    if name not in installed():
        pytest.skip(f"{name} is not installed here")
    return speak(text, VOICES[name], **options)


def hiss_lag(spoken: Spoken) -> float:
    """Seconds by which the energy above 3.5 kHz comes after the sibilants' times."""
    step = 0.002
    hop, wide = int(step * spoken.rate), int(0.012 * spoken.rate)
    centres = np.arange(wide // 2, len(spoken.samples) - wide // 2, hop)
    windows = np.stack([spoken.samples[c - wide // 2 : c + wide // 2] for c in centres]) * np.hanning(wide // 2 * 2)
    power = np.abs(np.fft.rfft(windows, 512)) ** 2
    high = power[:, np.fft.rfftfreq(512, 1 / spoken.rate) > 3500].sum(1) ** 0.25
    truth = np.array(
        [any(p.start <= c / spoken.rate < p.end and p.symbol in SIBILANTS for p in spoken.phones) for c in centres]
    )
    lags = np.arange(-60, 61)
    fits = [(np.roll(truth - truth.mean(), lag) * (high - high.mean())).sum() for lag in lags]
    return float(lags[int(np.argmax(fits))] * step)


def mean_pitch(spoken: Spoken) -> float:
    """Median over 40 ms windows of the strongest period between 60 and 350 Hz."""
    length = int(0.04 * spoken.rate)
    shortest, longest = int(spoken.rate / 350), int(spoken.rate / 60)
    found = []
    for start in range(0, len(spoken.samples) - length, length // 2):
        window = spoken.samples[start : start + length] * np.hanning(length)
        if (window**2).mean() > 1e-4:
            own = np.correlate(window, window, "full")[length - 1 :]
            lag = shortest + int(np.argmax(own[shortest:longest]))
            found += [spoken.rate / lag] if own[lag] > 0.4 * own[0] else []
    return float(np.median(found))


@pytest.mark.parametrize("name", ENGINES)
def test_phone_times_fit_the_sound(name):
    spoken = said(name)
    assert abs(hiss_lag(spoken)) <= 0.02
    assert sum(p.symbol in SIBILANTS for p in spoken.phones) >= 9


@pytest.mark.parametrize("name", ENGINES)
def test_phones_cover_the_whole_sound(name):
    spoken = said(name, "Hello there. Please come in.")
    assert spoken.phones[0].start == 0 and spoken.phones[-1].end == pytest.approx(spoken.seconds, abs=1e-3)
    assert all(a.end == b.start for a, b in zip(spoken.phones, spoken.phones[1:]))
    assert "".join(p.symbol for p in spoken.phones).replace("ɪ", "i")[:2] == "hə"
    assert spoken.samples.dtype == np.float32 and np.abs(spoken.samples).max() <= 1


@pytest.mark.parametrize("name", ENGINES)
def test_speed_pitch_and_repetition(name):
    usual, again = said(name, "One two three."), said(name, "One two three.")
    assert np.array_equal(usual.samples, again.samples)
    assert said(name, "One two three.", speed=1.5).seconds < 0.85 * usual.seconds
    assert mean_pitch(said(name, "One two three.", pitch=4)) / mean_pitch(usual) == pytest.approx(1.26, abs=0.08)


def test_another_language():
    spoken = said("espeak")
    german = speak("Guten Morgen, liebe Freunde.", "espeak:de+f2")
    assert {"m", "f", "ɡ"} <= {p.symbol for p in german.phones} and german.rate == spoken.rate


def test_refusals():
    for text, voice, pitch in (("", "flite", 0), ("a " * 3000, "flite", 0), ("hello", "nobody", 0), ("hello", "", 99)):
        with pytest.raises(ConfigError):
            speak(text, voice, pitch=pitch)
    for name in installed():
        with pytest.raises(ConfigError, match="voice"):
            speak("hello", f"{name}:nobody")


def test_a_missing_engine_says_what_to_install(monkeypatch):
    for name in ENGINES:
        monkeypatch.setattr(type(engine(name)), "missing", lambda self: "install it")
    with pytest.raises(ConfigError, match="install it"):
        speak("hello")
    with pytest.raises(ConfigError, match="install it"):
        speak("hello", "espeak:de")


def test_names_of_phones():
    assert from_arpabet("pau") == SILENCE and from_arpabet("hh") == "h" and from_arpabet("ax") == "ə"
    assert all(from_arpabet(name) for name in ARPABET)
    assert from_ipa("uː") == "u" and from_ipa("(en)") == SILENCE and from_ipa("ˈoʊ") == "oʊ"
    assert from_misaki("A") == "eɪ" and from_misaki(" ") == SILENCE and from_misaki("ˈ") is None


def test_marks_give_their_time_to_the_phone_beside():
    signs, ends = ["", "h", "ˈ", "A", " ", "j", "u", ",", ""], np.array([0.3, 0.4, 0.43, 0.6, 0.65, 0.7, 0.9, 1.2, 1.3])
    assert hibari_phones(signs, ends) == [
        Phone("", 0.0, 0.3), Phone("h", 0.3, 0.4), Phone("eɪ", 0.4, 0.65), Phone("j", 0.65, 0.7),
        Phone("u", 0.7, 0.9), Phone("", 0.9, 1.2), Phone("", 1.2, 1.3),
    ]  # fmt: skip


def test_flite_starts_again_at_zero_for_each_utterance():
    assert flite_phones("pau:0.2 p:0.3 pau:0.1 b:0.25")[-1] == Phone("b", 0.3 + 0.1, 0.3 + 0.25)


def test_gaps_overlaps_and_pauses():
    phones = gapless([Phone("a", 0.1, 0.3), Phone("", 0.3, 0.4), Phone("b", 0.5, 2.0)], 1.0)
    assert phones == (Phone("", 0.0, 0.1), Phone("a", 0.1, 0.3), Phone("", 0.3, 0.5), Phone("b", 0.5, 1.0))


def test_other_heads_and_padding():
    tone = np.sin(np.arange(16000) * 2 * np.pi * 200 / 16000).astype(np.float32)
    spoken = Spoken(tone, 16000, gapless([Phone("a", 0.5, 1.0)], 1.0))
    small = resized(spoken, 1.25)
    assert small.seconds == pytest.approx(0.8, abs=0.01) and small.phones[1].start == pytest.approx(0.4)
    assert np.argmax(np.abs(np.fft.rfft(small.samples))) / small.seconds == pytest.approx(250, abs=2)
    late = padded(spoken, 0.2, 0.3)
    assert late.seconds == pytest.approx(1.5) and late.phones[1] == Phone("a", pytest.approx(0.7), pytest.approx(1.2))


def test_the_event_has_the_size_of_the_library_s_own():
    import ctypes

    assert ctypes.sizeof(Event) == 40 if ctypes.sizeof(ctypes.c_void_p) == 8 else True
