"""Motion told in the head's axes: what it measures, and that a portrait driven by it shows what was told."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from vivant.controls.crop import crop_face
from vivant.core.errors import ConfigError
from vivant.core.face_motion import LIP_PAIRS, MOVED, NUMBERS, PARTS, FaceMotion, mirrored_rows
from vivant.core.facemesh import MIRROR
from vivant.core.registry import get_method
from vivant.methods.live_portrait.painter import Painter
from vivant.methods.live_portrait.told import ToldDriver
from vivant.methods.speech_portrait.prepare import (
    closed,
    head_frame,
    lip_gap,
    numbers_of,
    portrait_rest,
    rest_of,
    told_points,
)
from vivant.methods.speech_portrait.weights import rigid_template
from vivant.perception.faces import FaceFinder
from vivant.perception.mesh import canonical_face
from vivant.perception.pose import euler_rotation

FPS = Fraction(25)


def face():
    """(478, 3) of the canonical face, irises between the corners of their eyes."""
    points = np.zeros((478, 3))
    points[:468] = canonical_face().vertices
    for start, corners in ((468, (33, 133)), (473, (362, 263))):
        points[start : start + 5] = points[list(corners)].mean(0)
    return points


def test_a_head_that_turns_moves_nothing_on_it_and_its_angles_are_told():
    angles = np.array([[0, 0, 0], [8, -20, 5], [-6, 14, -9]], float)
    seen = np.stack([40 * face() @ euler_rotation(*row) + [200, 150, 0] for row in angles])
    frame = head_frame(seen, rigid_template())
    assert np.abs(frame.points - face()).max() < 0.02
    assert np.abs(frame.angles - angles).max() < 0.1 and np.abs(frame.size - 40).max() < 0.1


def test_lips_lids_and_places_are_told_since_rest():
    seen = np.repeat(face()[None], 8, 0)
    seen[:, 14, 1] += np.linspace(0, 1.4, 8)  # one lip goes down by 1.4 cm
    seen[6, [159, 145], 1] = seen[6, [33, 133], 1].mean()  # one eye is shut
    seen[7] += [1.0, 0, 0]
    frame = head_frame(30 * seen, rigid_template())
    motion = FaceMotion.of(numbers_of(frame, rest_of(frame)), FPS)
    own = face()[14, 1] - face()[13, 1]  # the canonical face's lips are parted, and rest is told closed
    assert np.allclose(motion.lip_gaps()[:, 0], own + np.linspace(0, 1.4, 8), atol=0.02)
    assert motion.lids[6, 0] < 0.05 and motion.lids[5, 0] > 0.9 and motion.lids[6, 1] > 0.9
    assert abs(motion.shift[7, 0] - 1) < 0.05 and np.abs(motion.angles).max() < 1


def test_an_open_mouth_is_told_closed_where_a_face_rests():
    points = face()[None]
    points[0, [14, 17, 178, 402, 152], 1] += 1.0
    assert lip_gap(told_points(points))[0] > 0.9 and abs(lip_gap(closed(told_points(points)[0])[None])[0]) < 1e-6


def test_rows_come_back_and_flip_twice_to_themselves():
    rows = np.random.default_rng(0).normal(size=(5, NUMBERS)).astype(np.float32)
    motion = FaceMotion.of(rows, FPS)
    assert np.array_equal(motion.array(), rows) and len(motion[1:3]) == 2
    order, sign = mirrored_rows()
    assert np.array_equal((rows[:, order] * sign)[:, order] * sign, rows)
    left = MOVED.index(61)
    flipped = FaceMotion.of(rows[:, order] * sign, FPS)
    assert np.allclose(flipped.moves[:, MOVED.index(MIRROR[61])] * [-1, 1], motion.moves[:, left])
    assert np.allclose(flipped.angles, motion.angles * [1, -1, -1]) and np.allclose(flipped.lids, motion.lids[:, ::-1])
    for wrong in (rows[:, 1:], np.full_like(rows, np.nan)):
        with pytest.raises(ConfigError, match="finite rows"):
            FaceMotion.of(wrong, FPS)


@pytest.fixture(scope="module")
def painter(portrait):
    spec = get_method("live-portrait")
    modules, config, _ = spec.part("weights").load_modules("lite")
    modules = spec.part("model").optimize_for_inference(modules)
    view = config.source_crop
    found = FaceFinder().find(portrait)[0]
    crop = crop_face(portrait, found, view.scale, view.shift_y, 256, view.rotate, view.points)
    return spec.part("generate").Generator(modules, config), crop


def told(count=1, **parts):
    rows = np.zeros((count, NUMBERS), np.float32)
    rows[:, PARTS["lids"]] = 1
    motion = FaceMotion.of(rows, FPS)
    for name, value in parts.items():
        getattr(motion, name)[:] = value
    return motion


def test_a_portrait_shows_the_openings_and_angles_it_is_told(painter):
    generator, crop = painter
    source = Painter(generator.modules, generator.config, generator.device, generator.dtype).portrait([crop]).motion
    drive, space = ToldDriver(generator.config.space, source), generator.config.space
    moves = np.zeros((3, len(MOVED), 2), np.float32)
    for _, lower in LIP_PAIRS:
        moves[1:, MOVED.index(lower), 1] = [0.5, 1.5]
    motion = told(3, moves=moves, angles=[[0, 0, 0], [0, 10, 0], [5, 0, 0]])
    with torch.inference_mode():
        driver = drive(motion)
        x = driver.keypoints()
    rows = [[space.landmarks.index(p) for p in side] for side in zip(*LIP_PAIRS)]
    gaps = (x[:, rows[1], 1] - x[:, rows[0], 1]) / driver.scale
    assert gaps[0].abs().max() < 0.002, "closed, though the portrait's own lips may be open"
    assert torch.allclose(gaps[2], 3 * gaps[1], rtol=0.1) and gaps[1].min() > 0.02
    turned = driver.rotation[1] @ source.rotation[0].T
    assert torch.allclose(turned, torch.tensor(euler_rotation(0.0, 10.0, 0.0), dtype=torch.float32), atol=1e-4)


def test_frames_of_told_motion_have_that_mouth_and_those_eyes(painter):
    generator, crop = painter
    moves = np.zeros((3, len(MOVED), 2), np.float32)
    for point, down in {14: 1.0, 178: 1.0, 402: 1.0, 17: 1.0, 152: 0.6, 13: -0.1, 81: -0.1, 311: -0.1, 0: -0.1}.items():
        moves[1, MOVED.index(point), 1] = down
    motion = told(3, moves=moves)
    motion.lids[2] = 0
    frames = list(generator.painting(crop)(motion))
    assert len(frames) == 3 and frames[0].shape == (256, 256, 3)
    faces = [FaceFinder().find(frame)[0].landmarks for frame in frames]
    rests = [head_frame(points[None], rigid_template()) for points in faces]
    gaps = [lip_gap(told_points(frame.points))[0] for frame in rests]
    assert gaps[0] < 0.2 and 0.8 < gaps[1] < 1.4, gaps
    open_eyes, shut_eyes = (portrait_rest(points, rigid_template()) for points in (faces[0], faces[2]))
    assert open_eyes.lids.mean() > 0.2
    ratio = [np.abs(points[159, 1] - points[145, 1]) for points in faces]
    assert ratio[2] < 0.7 * ratio[0], (ratio, shut_eyes.lids)


def test_nets_without_named_keypoints_say_so(painter):
    spec = get_method("live-portrait")
    modules, config, _ = spec.part("weights").load_modules("tiny-published", seed=0)
    generator = spec.part("generate").Generator(modules, config)
    with pytest.raises(ConfigError, match="preset lite"):
        generator.painting(painter[1])
