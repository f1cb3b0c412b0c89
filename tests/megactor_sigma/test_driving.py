"""What a driver is allowed to say: regions, amplitude, who drives, masks."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from megactor_makers import FACE, SIDE, crop, landmarks, speech

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.facemesh import FACE_POINTS, SKULL
from vivant.core.similarity import Similarity
from vivant.methods.megactor_sigma.config import PRESETS, Options
from vivant.methods.megactor_sigma.prepare import DrivingFrames, amplified, anchored, asked_drive
from vivant.methods.megactor_sigma.regions import chosen_mask, region_boxes, shown


def driving(crops, options=None, with_speech=False, source=None):
    controls = Controls(Fraction(25), len(crops), speech(len(crops)) if with_speech else None, crops)
    return DrivingFrames(source or crop(9), controls, PRESETS["tiny"], options or Options())


def test_regions_hold_what_they_are_named_after():
    points = torch.from_numpy(FACE)
    boxes = region_boxes(points)
    inside = [(points >= box[:2]).all(1) & (points <= box[2:]).all(1) for box in boxes]
    assert inside[0].nonzero().flatten().tolist() == [0, 1] and inside[1].nonzero().flatten().tolist() == [2, 3]
    assert inside[2].nonzero().flatten().tolist() == list(range(5, 13))
    assert (boxes[:2, 3] < boxes[2, 1]).all(), "eyes and mouth are apart"
    wider = region_boxes(points, 1.3)
    assert (wider[:, :2] < boxes[:, :2]).all() and (wider[:, 2:] > boxes[:, 2:]).all()
    turned = points.clone()
    turned[:4, 0] *= 0.2  # a head in profile keeps eyes of some size
    assert (region_boxes(turned)[:, 2] - region_boxes(turned)[:, 0] > 0.03).all()


def test_what_is_shown_is_grey_inside_and_black_outside():
    boxes = region_boxes(torch.from_numpy(FACE))
    picture = torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    for chosen, rows in (([1.0, 1, 0], slice(0, 36)), ([0, 0, 1.0], slice(36, None))):
        region = chosen_mask(boxes, torch.tensor(chosen), SIDE)
        seen = shown(picture, region)
        assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])
        other = torch.ones(SIDE, dtype=torch.bool)
        other[rows] = False
        assert seen[0].any() and not seen[0][other].any()


def test_who_drives_by_what_is_given():
    plain = Controls(Fraction(25), 2, None, [None, None])
    both = Controls(Fraction(25), 2, speech(2), [None, None])
    assert asked_drive(plain, Options()) == (True, True) and asked_drive(both, Options()) == (True, False)
    assert asked_drive(both, Options(drive="both")) == (True, True)
    assert asked_drive(plain, Options(drive="mouth")) == (False, True)
    assert asked_drive(Controls(Fraction(25), 2, speech(2)), Options()) == (False, False)


def test_speech_alone_is_steadied_by_the_portraits_own_eyes():
    source, alone = crop(9), Controls(Fraction(25), 3, speech(3))
    steady = replace(PRESETS["tiny"], anchor=True)
    assert anchored(source, alone, Options(), PRESETS["tiny"]) is alone
    assert anchored(source, alone, Options(anchor="none"), steady) is alone
    for options, config in ((Options(), steady), (Options(anchor="portrait"), PRESETS["tiny"])):
        found = anchored(source, alone, options, config)
        assert found.driving == [source] and asked_drive(found, options) == (True, False)
        pictures, _, drives = DrivingFrames(source, found, config, options).window(0, 3)
        assert drives.all() and torch.equal(pictures[0], pictures[2]) and pictures[0].any()
    driven = replace(alone, driving=[None] * 3)
    assert anchored(source, driven, Options(), steady) is driven
    with pytest.raises(ConfigError, match="--anchor"):
        anchored(source, driven, Options(anchor="portrait"), steady)


def test_similarities_are_found_composed_undone_and_amplified():
    move = Similarity(1.1 * complex(math.cos(0.3), math.sin(0.3)), 3 - 2j)
    points = np.random.default_rng(1).normal(size=(9, 2)) * 20
    found = Similarity.fit(points, move.points(points))
    assert abs(found.factor - move.factor) < 1e-6 and abs(found.shift - move.shift) < 1e-5
    assert np.allclose(move.inverse.after(move).points(points), points, atol=1e-4)
    assert np.allclose(Similarity.of_matrix(move.matrix()).matrix(), move.matrix())
    centre = 4 + 5j
    moved = move.factor * centre + move.shift - centre
    for amount in (0.0, 0.5, 2.0):
        more = move.amplified(amount, centre)
        assert more.angle == pytest.approx(0.3 * amount) and more.scale == pytest.approx(1 + 0.1 * amount)
        assert more.factor * centre + more.shift - centre == pytest.approx(amount * moved)
        still = move.amplified(amount, centre, travel=False)
        assert still.factor * centre + still.shift - centre == pytest.approx(moved)
    assert move.amplified(1.0, centre) is move


def test_the_amplitude_scales_the_motion_since_the_first_frame():
    first = landmarks()
    move = Similarity(1.2 * complex(math.cos(0.2), math.sin(0.2)), 2 + 1j)
    now = landmarks(move)
    skull = list(SKULL)
    for amount in (0.0, 0.5, 1.0, 1.5, 2.0):
        made = amplified(first, now, amount, True).points(now)
        left = Similarity.fit(first[skull], made[skull])
        assert left.angle == pytest.approx(0.2 * amount, abs=1e-4)
        assert left.scale == pytest.approx(1 + 0.2 * amount, abs=1e-4)


def test_a_moving_window_causes_no_motion():
    """The same picture content seen through a window that shifts: driving pictures stay where they are."""
    still = [crop(), crop()]
    shift = np.array([[1, 0, 7.0], [0, 1, -3.0]])
    moved_marks = replace(crop(to_frame=shift), landmarks=landmarks(Similarity(1 + 0j, -7 + 3j)))
    image = np.roll(still[0].image, (3, -7), (0, 1))
    moving = [crop(), replace(moved_marks, image=image)]
    a, b = (driving(crops).window(0, 2) for crops in (still, moving))
    assert torch.equal(a[0][0], b[0][0]) and torch.allclose(a[0][1], b[0][1], atol=0.02)
    assert a[0][1].any()


def test_the_drivers_first_face_is_laid_on_the_portraits():
    move = Similarity(0.7 + 0j, 4 + 9j)
    portrait = replace(crop(9), landmarks=landmarks(move))
    pictures, _, drives = driving([crop()], source=portrait).window(0, 1)
    own = region_boxes(torch.from_numpy((portrait.landmarks[list(FACE_POINTS), :2] + 0.5) * (2 / SIDE) - 1))
    region = chosen_mask(own, torch.ones(3), SIDE) > 0.5
    assert drives.tolist() == [1.0] and torch.equal(pictures[0, :1] > 0, region)


def test_frames_without_a_face_hold_and_a_picture_lasts():
    frames = driving([None, crop(1), None, crop(2)])
    pictures, _, drives = frames.window(0, 6)
    assert drives.tolist() == [1] * 6 and torch.equal(pictures[0], pictures[1]), "before the first face that one drives"
    assert torch.equal(pictures[1], pictures[2]) and torch.equal(pictures[3], pictures[5])
    assert not torch.equal(pictures[2], pictures[3])
    assert torch.equal(frames.window(2, 4)[0], pictures[2:4]), "earlier frames are read again"
    assert torch.equal(frames.window(5, 6)[0], pictures[5:6])
    pictures, masks, drives = driving([None, None]).window(0, 2)
    assert not pictures.any() and not masks.any() and not drives.any()


def test_masks_only_where_eyes_drive_alone():
    for options, with_speech, masked in (
        (Options(), True, True), (Options(drive="eyes"), False, True), (Options(), False, False),
        (Options(drive="mouth"), True, False),
    ):  # fmt: skip
        masks = driving([crop()], options, with_speech).window(0, 1)[1][0]
        assert bool(masks.any()) is masked
        if masked:
            assert masks[0].any() and masks[1].any() and not torch.equal(masks[0], masks[1])
