"""Bodies, poses, cloth and pieces of surface of rendered people."""

import numpy as np
import pytest

from vivant.data.figures.body import body_model, draw_shape, joint_transforms, skinning
from vivant.data.figures.curves import between
from vivant.data.figures.hair import STYLES, draw_hair
from vivant.data.figures.motion import KINDS, draw_motion
from vivant.data.figures.patterns import KINDS as CLOTHS
from vivant.data.figures.patterns import draw_cloth, draw_print
from vivant.data.figures.posing import solve
from vivant.data.figures.surface import LEFT_ARM, RIGHT_LEG, TRUNK, chart, cut, skin_piece, vertex_normals
from vivant.data.figures.wardrobe import draw_outfit, sleeves


@pytest.fixture(scope="module")
def shape():
    return draw_shape(np.random.default_rng(5))


def test_shapes_are_adults_of_many_sizes_and_nobody_comes_twice():
    shapes = [draw_shape(np.random.default_rng(i)) for i in range(40)]
    heights = np.array([shape.height for shape in shapes])
    assert heights.min() > 1.3 and heights.max() < 2.3 and np.ptp(heights) > 0.25
    assert 0.2 < np.mean([shape.female > 0.5 for shape in shapes]) < 0.8
    assert len({shape.vertices.tobytes() for shape in shapes}) == 40
    assert all(abs(shape.vertices[:, 1].min()) < 0.02 for shape in shapes)  # on the floor


def test_the_bundled_body_is_whole():
    model = body_model()
    assert np.allclose(model.weights.sum(1), 1, atol=1e-3)
    assert np.allclose(model.keypoints.sum(1), 1, atol=1e-3)
    assert model.triangles.max() == len(model.vertices) - 1
    nose, chin = model.vertices[model.face[30]], model.vertices[model.face[8]]
    assert nose[2] > 0.1 and chin[1] < nose[1]  # looks along z
    left = model.vertices[model.tips[0]]
    assert (left[:, 0] > 0.3).all() and np.allclose(left * [-1, 1, 1], model.vertices[model.tips[1]], atol=5e-3)
    assert vertex_normals(model.vertices, model.triangles)[model.face[30], 2] > 0.5  # outwards


def posed_joints(shape, plan):
    model = body_model()
    turns, root = solve(shape, plan)
    transforms = joint_transforms(shape.joints, model.parents, turns, root)
    return np.einsum("fjab,jb->fja", transforms[..., :3], shape.joints) + transforms[..., 3], transforms


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_motion_keeps_bones_feet_and_smoothness(kind, shape):
    model = body_model()
    plan, said = draw_motion(np.random.default_rng(3), shape, 50, 25, kind)
    joints, transforms = posed_joints(shape, plan)
    assert said == kind and np.isfinite(joints).all()
    for joint, parent in enumerate(model.parents):
        if parent >= 0:
            rest = np.linalg.norm(shape.joints[joint] - shape.joints[parent])
            assert np.allclose(np.linalg.norm(joints[:, joint] - joints[:, parent], axis=1), rest, atol=1e-6)
    turns = transforms[..., :3]
    assert np.allclose(turns @ np.swapaxes(turns, -1, -2), np.eye(3), atol=1e-6)
    speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * 25
    assert speed.max() < 12 and speed.max() > 0.02  # metres a second
    jerk = np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1).max()
    assert jerk < 0.25  # no jumps from frame to frame
    skin = skinning(model.weights, transforms[::10])
    lowest = ((skin[..., :3] @ shape.vertices[None, ..., None].astype(np.float32))[..., 0] + skin[..., 3])[..., 1].min(
        1
    )
    assert (np.abs(lowest) < 0.07).all()  # somebody always touches the floor


def test_hands_and_feet_come_where_the_plan_wants_them(shape):
    model = body_model()
    plan, _ = draw_motion(np.random.default_rng(0), shape, 20, 25, "stand")
    joints, _ = posed_joints(shape, plan)
    for side, name in enumerate("LR"):
        goal = plan.feet[:, side] + [0, shape.joints[model.joint[f"foot.{name}"]][1], 0]
        assert np.abs(joints[:, model.joint[f"foot.{name}"]] - goal).max() < 0.02
        assert np.ptp(joints[:, model.joint[f"foot.{name}"]], axis=0).max() < 0.02  # they do not slide


def test_walking_feet_stand_still_while_they_carry(shape):
    model = body_model()
    for seed in range(4):
        plan, _ = draw_motion(np.random.default_rng(seed), shape, 50, 25, "walk")
        joints, _ = posed_joints(shape, plan)
        feet = joints[:, [model.joint["foot.L"], model.joint["foot.R"]]]
        low = plan.feet[:-1, :, 1] < 0.004
        slide = np.linalg.norm(np.diff(feet[..., [0, 2]], axis=0), axis=-1) * 25
        assert np.median(slide[low]) < 0.12


def test_ways_between_places_start_and_end_at_rest():
    knots, values = np.array([0.0, 1.0, 2.0]), np.array([[0.0], [1.0], [-1.0]])
    way = between(np.linspace(0, 2, 201), knots, values)[:, 0]
    assert way[0] == 0 and way[100] == pytest.approx(1) and way[-1] == pytest.approx(-1)
    assert abs(way[101] - way[100]) < 1e-3 and abs(way[50] - 0.5) < 1e-9


def test_the_chart_tells_arms_legs_and_the_way_along_them():
    where, model = chart(), body_model()
    assert {int(part) for part in np.unique(where.part)} == {0, 1, 2, 3, 4}
    tip = model.tips[0, 2]
    assert where.part[tip] == LEFT_ARM and where.place[tip, 2] > 0.6  # metres from the shoulder
    assert where.part[model.face[30]] == TRUNK and where.head[model.face[30]] == 1
    right_foot = np.argmin(np.abs(model.vertices - [-0.2, 0.0, 0.1]).sum(1))
    assert where.part[right_foot] == RIGHT_LEG


def area(piece):
    corners = piece.rest[piece.triangles]
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2


def test_a_cut_is_exact_and_loses_nothing(shape):
    whole = skin_piece(shape, 3, np.zeros(len(shape.vertices)))
    height = shape.vertices[:, 1] - 1.0
    upper, lower = cut(whole, height), cut(whole, -height)
    assert area(upper) + area(lower) == pytest.approx(area(whole), rel=1e-6)
    assert upper.rest[:, 1].min() == pytest.approx(1.0, abs=1e-6)
    edge = np.abs(upper.rest[:, 1] - 1.0) < 1e-6
    assert edge.sum() > 50 and np.allclose(upper.weights.sum(1), 1, atol=1e-3)
    assert len(upper.part) == len(upper.triangles) and len(upper.rest) == len(np.unique(upper.triangles))


def test_sleeves_end_where_they_should(shape):
    inside = sleeves(0.2)
    where = chart()
    arm = where.arm > 0.99
    assert (inside[arm & (where.reach > 0.22)] < 0).all() and (inside[arm & (where.reach < 0.18)] > 0).all()
    assert (inside[where.arm < 0.01] > 0).all()


@pytest.mark.parametrize("kind", list(CLOTHS))
def test_cloth_repeats_without_a_seam(kind):
    cloth = draw_cloth(np.random.default_rng(1), (kind,))
    u, v = np.random.default_rng(2).uniform(-1, 1, (2, 500))
    assert np.allclose(cloth(u, v), cloth(u + cloth.size[0], v - 3 * cloth.size[1]), atol=2e-3)
    assert cloth.name == kind and cloth.tile.min() >= 0 and cloth.tile.max() <= 1
    if kind not in ("plain", "denim"):
        assert cloth.tile.std((0, 1)).max() > 0.02  # the pattern is seen on its ground


def test_prints_have_colour_and_opacity():
    prints = [draw_print(np.random.default_rng(i)) for i in range(12)]
    assert all(0.02 < each[..., 3].mean() < 0.95 for each in prints)
    assert len({each.tobytes() for each in prints}) == 12


def test_outfits_cover_people_and_differ():
    words = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shape = draw_shape(rng)
        outfit = draw_outfit(rng, shape)
        y, arm = body_model().vertices[:, 1], chart().arm
        trunk = (y > 1.1) & (y < 1.3) & (arm < 0.1)
        hips = (y > 0.9) & (y < 0.98) & (arm < 0.1)
        assert (outfit.covered[trunk & (y > 1.12)] > 0).mean() > 0.95
        assert (outfit.covered[hips] > 0).all()
        assert {piece.material for piece in outfit.pieces} <= set(outfit.garments)
        assert all(np.isfinite(piece.rest).all() and len(piece.triangles) for piece in outfit.pieces)
        words.append(str(outfit.words))
    assert len(set(words)) > 8


def test_hair_of_all_styles_lies_on_the_head():
    found = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        shape = draw_shape(rng)
        hair = draw_hair(rng, shape)
        found.add(hair.words.split()[0])
        for piece in hair.pieces:
            away = piece.rest - shape.joints[body_model().joint["head"]]
            assert np.abs(away).max() < 0.65 and np.isfinite(piece.rest).all()
    assert found == set(STYLES)
