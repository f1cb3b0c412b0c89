"""Visemes: lips do what each phone needs, at its time, on the head model itself."""

import numpy as np
import pytest

from vivant.rig.anatomy import LOWER_RIM, UPPER_RIM
from vivant.rig.head import HeadModel
from vivant.rig.motion import EXPRESSION_NAMES, expression_rows
from vivant.rig.visemes import VISEMES, resting_mouth, visemes

FPS = 25


def lips(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gap in the middle and width of the model's mouth, (F,) cm each."""
    head = HeadModel.load()
    top, bottom = UPPER_RIM[len(UPPER_RIM) // 2], LOWER_RIM[len(LOWER_RIM) // 2]
    left, right = UPPER_RIM[0], UPPER_RIM[-1]
    gap = (
        head.neutral[top, 1]
        - head.neutral[bottom, 1]
        + curves @ (head.expression[:, top, 1] - head.expression[:, bottom, 1])
    )
    width = (
        head.neutral[right, 0]
        - head.neutral[left, 0]
        + curves @ (head.expression[:, right, 0] - head.expression[:, left, 0])
    )
    return gap, np.abs(width)


def spoken(*symbols: str, each: float = 0.16) -> np.ndarray:
    phones = [(s, k * each, (k + 1) * each) for k, s in enumerate(symbols)]
    return visemes(phones, FPS, int(len(symbols) * each * FPS))


@pytest.mark.parametrize("closing", "pbm")
@pytest.mark.parametrize("vowel", "aiuæ")
def test_lips_shut_for_bilabials_between_any_vowels(closing, vowel):
    gap, _ = lips(spoken("", vowel, closing, vowel, "", each=0.12))
    while_closed = gap[int(0.24 * FPS) : int(0.36 * FPS)]
    assert while_closed.min() < 0.06
    assert gap[int(0.12 * FPS) : int(0.24 * FPS)].max() > while_closed.min() + 0.1


def test_even_a_very_short_closure_is_seen_in_a_frame():
    phones = [("a", 0.0, 0.30), ("b", 0.30, 0.32), ("a", 0.32, 0.8)]
    for shift in np.linspace(0, 0.04, 9):
        moved = [(s, max(0.0, a + shift), b + shift) for s, a, b in phones]
        gap, _ = lips(visemes(moved, FPS, 20))
        assert gap[4:12].min() < 0.1, shift


def test_open_vowels_open_and_rounded_ones_narrow():
    gap_a, width_a = (v[len(v) // 2] for v in lips(spoken("a", "a", "a")))
    gap_i, width_i = (v[len(v) // 2] for v in lips(spoken("i", "i", "i")))
    gap_u, width_u = (v[len(v) // 2] for v in lips(spoken("u", "u", "u")))
    assert gap_a > 0.8 > gap_i > 0.1 and gap_u < gap_a
    assert width_i > width_a > width_u + 0.4


def test_the_lower_lip_goes_to_the_teeth_for_f_and_v():
    roll = EXPRESSION_NAMES.index("mouthRollLower")
    curves = spoken("a", "f", "a")
    assert curves[len(curves) // 2, roll] > 0.3 and curves[0, roll] < 0.05


def test_lips_round_before_a_rounded_vowel_is_heard():
    pucker = EXPRESSION_NAMES.index("mouthPucker")
    early, plain = spoken("t", "u", "u"), spoken("t", "i", "i")
    assert early[2, pucker] > plain[2, pucker] + 0.1


def test_silence_rests_and_unknown_letters_move_nothing():
    assert np.abs(visemes([("", 0, 1)], FPS, 25)).max() < 1e-6
    assert np.abs(visemes([("ǃ", 0, 1)], FPS, 25)).max() < 1e-6
    assert visemes([], FPS, 3).shape == (3, len(EXPRESSION_NAMES))


def test_diphthongs_share_their_time():
    gap, _ = lips(visemes([("aɪ", 0.0, 0.6)], FPS, 15))
    assert gap[3] > gap[13] + 0.2


def test_strength_and_emphasis_open_wider_but_closures_stay():
    quiet, loud = visemes([("a", 0, 1)], FPS, 25, 0.6), visemes([("a", 0, 1)], FPS, 25, 1.4)
    jaw = EXPRESSION_NAMES.index("jawOpen")
    assert loud[12, jaw] > 1.8 * quiet[12, jaw]
    assert visemes([("a", 0, 1)], FPS, 25, 1.0, [1.3])[12, jaw] > 1.2 * visemes([("a", 0, 1)], FPS, 25)[12, jaw]
    gap, _ = lips(visemes([("a", 0, 0.4), ("m", 0.4, 0.6), ("a", 0.6, 1)], FPS, 25, 1.4))
    assert gap[12] < 0.06


def test_any_frame_rate_shows_the_same_time():
    phones = [("a", 0.0, 0.4), ("m", 0.4, 0.6), ("i", 0.6, 1.0)]
    slow, fast = visemes(phones, 25, 25), visemes(phones, 75, 75)
    assert np.allclose(slow, fast[1::3], atol=1e-6)


def test_all_letters_have_targets_in_range():
    for letter, viseme in VISEMES.items():
        assert len(letter) == 1 and all(0 <= v <= 1 for v in (*viseme.targets, viseme.flare, viseme.teeth))


def test_a_smiling_still_starts_from_closed_lips():
    own = np.zeros(len(EXPRESSION_NAMES), np.float32)
    own[list(expression_rows("jawOpen"))] = 0.2
    own[list(expression_rows("mouthSmile"))] = 0.6
    own[list(expression_rows("browDown"))] = 0.3
    rest = own + resting_mouth(own)
    assert rest[EXPRESSION_NAMES.index("jawOpen")] == 0 and rest[
        EXPRESSION_NAMES.index("mouthSmile_L")
    ] == pytest.approx(0.3)
    assert rest[EXPRESSION_NAMES.index("browDown_L")] == pytest.approx(0.3)
