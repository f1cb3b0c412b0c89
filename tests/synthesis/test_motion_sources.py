"""Takes: what each kind moves and what it leaves alone, limits, and the same numbers for the same seed."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.data.synthesis import speech_motion
from vivant.data.synthesis.curves import blink, blinks, glances, wander
from vivant.data.synthesis.expressions import EXPRESSIONS, MOUTH, ONE_SIDED, draw_expression, mirrored, plausible
from vivant.data.synthesis.random_motion import KINDS, RandomMotion, babble, random_motion
from vivant.data.synthesis.sentences import LANGUAGES, sentence
from vivant.data.synthesis.speech_motion import SpeechMotion, fitted, trimmed
from vivant.rig.motion import EXPRESSION_NAMES, expression_rows
from vivant.rig.visemes import visemes
from vivant.tts.spoken import Phone, Spoken, gapless

FPS = Fraction(25)
LIDS = list(expression_rows("eyeBlink"))


def many(kind: str, count: int = 12, frames: int = 50):
    return [random_motion(np.random.default_rng(i), kind, frames, FPS) for i in range(count)]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_starts_at_the_still_and_stays_in_range(kind):
    for motion in many(kind, 5):
        assert len(motion) == 50
        assert not motion.pose[0].any() and not motion.expression[0].any() and not motion.gaze[0].any()
        assert np.abs(motion.pose[:, 0]).max() <= 35 and np.abs(motion.pose[:, 1]).max() <= 20
        assert motion.expression.min() >= 0 and motion.expression.max() <= 1.1
        assert np.abs(motion.gaze).max() <= 0.42


def test_pure_kinds_move_one_thing():
    others = [row for row in range(len(EXPRESSION_NAMES)) if row not in LIDS]
    for kind in ("gaze", "blink", "head"):
        for motion in many(kind):
            assert not motion.expression[:, others].any(), kind
    assert max(np.abs(m.pose[:, :3]).max() for m in many("gaze")) < 6
    assert max(np.abs(m.gaze).max() for m in many("blink")) == 0
    assert np.mean([np.abs(m.gaze[:, 0]).max() for m in many("gaze")]) > 0.12
    assert np.mean([np.abs(m.pose[:, 0]).max() for m in many("head")]) > 10
    assert all(m.expression[:, list(MOUTH)].any() for m in many("mouth"))


def test_blinks_shut_both_lids_and_sometimes_one():
    lids = np.concatenate([m.expression[:, LIDS] for m in many("blink", 40)])
    assert (lids.min(1) > 0.97).mean() > 0.05  # true full closures
    one = (lids.max(1) > 0.9) & (lids.min(1) < 0.3)
    assert 0.005 < one.mean() < 0.2
    usual = np.concatenate([m.expression[:, LIDS] for m in many("free", 40)])
    assert 0.02 < (usual.min(1) > 0.9).mean() < 0.25


def test_the_same_number_gives_the_same_take_and_others_differ():
    source = RandomMotion(16)
    a, b, c = source.take(5, 1), source.take(5, 1), source.take(5, 2)
    assert np.array_equal(a.motion.expression, b.motion.expression) and a.kind == b.kind
    assert not np.array_equal(a.motion.pose, c.motion.pose)
    assert {source.take(n, 0).kind for n in range(80)} == set(KINDS)


def test_rare_units_appear():
    seen = np.max([RandomMotion(32).take(n, 0).motion.expression.max(0) for n in range(150)], axis=0)
    for name, value in zip(EXPRESSION_NAMES, seen):
        if not name.startswith("eyeLook"):  # the rig moves these by the gaze
            assert value > 0.05, name


def test_nothing_moves_faster_than_faces_do():
    slow = [name for name in EXPRESSION_NAMES if name.startswith(("brow", "cheek", "nose"))]
    rows = [EXPRESSION_NAMES.index(name) for name in slow]
    for motion in many("free", 20):
        assert np.abs(np.diff(motion.expression[:, rows], axis=0)).max() < 0.5
        assert np.abs(np.diff(motion.pose[:, :3], axis=0)).max() < 9  # degrees in a frame


def test_curves():
    t = np.arange(200) / 100
    noise = np.concatenate([wander(np.random.default_rng(i), t, 0.2, 1.0, 3.0) for i in range(60)])
    assert noise.std() == pytest.approx(0.9, abs=0.15) and np.abs(noise).max() < 3
    lid = blink(t, 0.5, 0.1, 0.1, 0.2)
    assert lid[50] == 0 and lid[65] == 1 and lid[95] == 0
    assert blinks(np.random.default_rng(0), t, 0.5).max() == 1
    gaze = glances(np.random.default_rng(0), t, (0.2, 0.1), (0.2, 0.4))
    moving = np.abs(np.diff(gaze[:, 0])) > 0.005
    assert 0.01 < moving.mean() < 0.35  # it rests most of the time


def test_impossible_pairs_are_damped():
    units = np.zeros((1, len(EXPRESSION_NAMES)))
    for name in ("mouthSmile", "mouthPucker", "eyeBlink", "eyeWide"):
        units[:, list(expression_rows(name))] = 1
    mended = plausible(units)
    assert mended[0, EXPRESSION_NAMES.index("mouthSmile_L")] < 0.2
    assert mended[0, EXPRESSION_NAMES.index("eyeWide_L")] == 0 and units.max() == 1


def test_expressions_name_units_that_exist():
    for table in (EXPRESSIONS, ONE_SIDED):
        for units in table.values():
            for unit in units:
                assert expression_rows(unit) and expression_rows(mirrored(unit))
    assert mirrored("mouthLeft") == "mouthRight" and mirrored("jawOpen") == "jawOpen"
    drawn = [draw_expression(np.random.default_rng(i), 1.0) for i in range(200)]
    assert len({name for name, _ in drawn}) > 35 and all(v.any() for _, v in drawn)


def test_babble_is_ordered_and_fills_the_time():
    phones = babble(np.random.default_rng(0), 2.0)
    assert all(a[2] <= b[1] + 1e-9 for a, b in pairwise(phones)) and phones[-1][2] >= 2.0


@pytest.fixture
def tone_engine(monkeypatch):
    """An engine that says m and a in turn as a tone; no program is needed."""

    def speak(text: str, voice: str, speed: float, pitch: float, seed: int) -> Spoken:
        rate, seconds = 8000, 1.2 / speed
        samples = 0.3 * np.sin(np.arange(int(seconds * rate)) * 0.2).astype(np.float32)
        each = seconds / 8
        phones = [Phone("ma"[k % 2], k * each, (k + 1) * each) for k in range(1, 7)]
        return Spoken(samples, rate, gapless(phones, len(samples) / rate))

    monkeypatch.setattr(speech_motion, "speak", speak)
    monkeypatch.setattr(speech_motion, "installed", lambda: ("flite", "espeak"))


def test_spoken_takes_have_sound_phones_and_lips_in_step(tone_engine):
    source = SpeechMotion(50, FPS)
    take = source.take(3, 0)
    assert take.talking and take.text and take.audio is not None
    assert take.audio.seconds == pytest.approx(2.0, abs=1e-3) == take.phones[-1].end
    assert take.phones[0].symbol == ""  # some silence before the first word
    lips = visemes(take.phones, FPS, 50)
    close = EXPRESSION_NAMES.index("mouthPress_L")
    assert np.corrcoef(lips[8:, close], take.motion.expression[8:, close])[0, 1] > 0.95
    again = source.take(3, 0)
    assert np.array_equal(take.audio.samples, again.audio.samples) and take.text == again.text
    assert {source.take(n, 0).notes["language"] for n in range(40)} > {"en", "de"}


def test_speech_without_an_engine_or_language(monkeypatch):
    monkeypatch.setattr(speech_motion, "installed", lambda: ())
    with pytest.raises(ConfigError, match="No text-to-speech engine"):
        SpeechMotion(10)
    monkeypatch.setattr(speech_motion, "installed", lambda: ("flite",))
    with pytest.raises(ConfigError, match="espeak"):
        SpeechMotion(10, languages=("de",))
    with pytest.raises(ConfigError, match="no sentences"):
        SpeechMotion(10, languages=("tlh",))


def test_trimming_and_fitting_keep_times():
    sound = Spoken(np.ones(1000, np.float32), 1000, gapless([Phone("a", 0.4, 0.6)], 1.0))
    short = trimmed(sound)
    assert short.seconds == pytest.approx(0.3) and short.phones[1] == Phone(
        "a", pytest.approx(0.05), pytest.approx(0.25)
    )
    joined = fitted([short, short], 0.5)
    assert joined.seconds == pytest.approx(0.5) and joined.phones[-1].end == pytest.approx(0.5)
    assert [p.symbol for p in joined.phones] == ["", "a", "", "a"] and joined.samples[-1] == 0


def test_sentences_in_every_language():
    for language in LANGUAGES:
        assert len({sentence(np.random.default_rng(i), language) for i in range(30)}) > 12
    with pytest.raises(ConfigError):
        sentence(np.random.default_rng(0), "tlh")


def test_heads_turn_far_enough_to_learn_turning_from():
    turns = np.stack([RandomMotion(28).take(n, 0).motion.pose[:, :3] for n in range(120)])
    yaw, pitch, roll = turns.std(1).mean(0)
    assert yaw > 4.5 and pitch > 2.5 and roll > 2.5, "degrees within a clip of a second"
    assert np.percentile(np.abs(turns).max(1), 99, axis=0).max() < 33, "the rig looks wrong beyond"
