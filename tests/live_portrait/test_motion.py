from __future__ import annotations

import os
import pickle
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from portraits import motion, template

from vivant.core.errors import ConfigError, WeightsError
from vivant.methods.live_portrait.motion import MotionTemplate, check_space, nearest_rotation
from vivant.methods.live_portrait.prepare import Square, to_reference
from vivant.nn.smoothing import kalman_smooth


def released(count: int = 3, old: bool = False) -> dict:
    """A template as the released code pickles it."""
    made = motion(count, 21)
    items = []
    for row in range(count):
        item = {
            "scale": made.scale[row : row + 1].numpy(),
            "R_d" if old else "R": made.rotation[row : row + 1].numpy(),
            "exp": made.exp[row : row + 1].numpy(),
            "t": made.translation[row : row + 1].numpy(),
        }
        if not old:
            item["kp"] = made.canonical[row : row + 1].numpy()
            item["x_s"] = made.keypoints()[row : row + 1].numpy()
        items.append(item)
    eyes, lip = [made.eyes[row : row + 1].numpy() for row in range(count)], [np.float32(0.25)] * count
    data = {"n_frames": count, "output_fps": 25, "motion": items}
    return data | ({"c_d_eyes_lst": eyes, "c_d_lip_lst": lip} if old else {"c_eyes_lst": eyes, "c_lip_lst": lip})


def test_round_trip(tmp_path: Path) -> None:
    made = template(5, 33, "lite")
    made = MotionTemplate(**{**vars(made), "missing": (1, 3)})
    made.save(tmp_path / "new" / "wave.safetensors")
    read = MotionTemplate.load(tmp_path / "new" / "wave.safetensors")
    assert (read.fps, read.space, read.missing) == (Fraction(30000, 1001), "lite", (1, 3))
    for name, value in vars(made).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(read, name))
    assert os.listdir(tmp_path / "new") == ["wave.safetensors"]


def test_load_refuses_other_files(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    save_file({"exp": np.zeros((1, 2, 3))}, str(tmp_path / "other.safetensors"))
    (tmp_path / "text.safetensors").write_text("hello")
    for name in ("other.safetensors", "text.safetensors", "absent.safetensors"):
        with pytest.raises(WeightsError, match=name):
            MotionTemplate.load(tmp_path / name)


def test_arrays_of_other_shapes_are_refused() -> None:
    parts = vars(template(3, 33, "lite"))
    with pytest.raises(WeightsError, match="'lip'"):
        MotionTemplate(**{**parts, "lip": np.zeros((3, 2), np.float32)})


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_import_released_template(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "wave.pkl"
    path.write_bytes(pickle.dumps(released(), protocol))
    read, made = MotionTemplate.import_pickle(path), motion(3, 21)
    assert (len(read), read.space, read.fps) == (3, "published", 25)
    np.testing.assert_array_equal(read.exp, made.exp.numpy())
    np.testing.assert_array_equal(read.rotation, made.rotation.numpy())
    np.testing.assert_array_equal(read.keypoints, made.keypoints().numpy())
    np.testing.assert_array_equal(read.eyes, made.eyes.numpy())
    np.testing.assert_array_equal(read.lip, np.full((3, 1), 0.25, np.float32))


def test_import_old_names_and_numpy_1(tmp_path: Path) -> None:
    path = tmp_path / "old.pkl"
    data = pickle.dumps(released(old=True), 0)
    path.write_bytes(data.replace(b"numpy._core", b"numpy.core"))
    read = MotionTemplate.import_pickle(path)
    np.testing.assert_array_equal(read.rotation, motion(3, 21).rotation.numpy())
    np.testing.assert_array_equal(read.eyes, motion(3, 21).eyes.numpy())
    assert np.isnan(read.canonical).all() and np.isnan(read.keypoints).all()


class Attack:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


def test_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pkl"
    path.write_bytes(pickle.dumps({**released(), "extra": Attack(tmp_path / "ran")}))
    with pytest.raises(WeightsError, match="contains code"):
        MotionTemplate.import_pickle(path)
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError, match=r"contains code \(os.system\)"):
        MotionTemplate.import_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_pickle_of_objects_or_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.pkl"
    bad = [{"motion": []}, {"motion": [{"exp": 1}]}, [1, 2], {"motion": [{"exp": np.array([{}], object)}]}]
    for data in [pickle.dumps(value) for value in bad] + [b"", pickle.dumps(released())[:-40]]:
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=r"odd.pkl|at least one frame|need at least one"):
            MotionTemplate.import_pickle(path)


def test_a_pickled_byte_order_leaves_numpy_alone(tmp_path: Path) -> None:
    data = released()
    data["motion"][0]["exp"] = data["motion"][0]["exp"].astype(">f4")
    (tmp_path / "big.pkl").write_bytes(pickle.dumps(data))
    read = MotionTemplate.import_pickle(tmp_path / "big.pkl")
    np.testing.assert_array_equal(read.exp, motion(3, 21).exp.numpy())
    assert np.dtype("f4").isnative


def test_template_of_another_space_is_refused() -> None:
    with pytest.raises(ConfigError, match="extract the motion again"):
        check_space(template(2, 21, "published"), "lite", 33)


def test_smoothing_keeps_rotations_proper_and_calms() -> None:
    rough = template(30, 21, "published")
    calm = rough.smoothed(kalman_smooth, 1e-4)
    identity = calm.rotation @ calm.rotation.transpose(0, 2, 1)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), (30, 3, 3)), atol=1e-5)
    np.testing.assert_allclose(np.linalg.det(calm.rotation), 1, atol=1e-5)
    assert np.diff(calm.exp, axis=0).std() < 0.5 * np.diff(rough.exp, axis=0).std()
    np.testing.assert_allclose(calm.keypoints, calm.motion().keypoints().numpy())


def test_nearest_rotation_never_mirrors() -> None:
    found = nearest_rotation(np.diag([1.0, 1.0, -0.1])[None])
    np.testing.assert_allclose(np.linalg.det(found), 1)


def square(centre: tuple[float, float], half: float, degrees: float) -> Square:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return Square(np.array(centre), half, turn)


def test_keypoints_stay_in_the_picture_when_the_square_moves() -> None:
    made = motion(3, 21)
    squares = [square((300, 200), 90, 0), square((310, 190), 120, 25), square((250, 260), 60, -140)]
    first = square((280, 220), 100, 10)
    moved = to_reference(made, squares, first)
    for row, place in enumerate(squares):
        pixels = made.keypoints()[row, :, :2].numpy() * place.half @ place.turn.T + place.centre
        there = moved.keypoints()[row, :, :2].numpy() * first.half @ first.turn.T + first.centre
        np.testing.assert_allclose(there, pixels, atol=1e-3)
    depth = moved.keypoints()[:, :, 2] / made.keypoints()[:, :, 2]
    assert torch.allclose(depth, torch.tensor([[0.9], [1.2], [0.6]]).expand(3, 21), rtol=1e-4)
    assert torch.allclose(moved.rotation.det(), torch.ones(3), atol=1e-5)


def test_the_same_square_changes_nothing() -> None:
    made, place = motion(2, 21), square((300, 200), 90, 30)
    moved = to_reference(made, [place, place], place)
    assert torch.allclose(moved.exp, made.exp, atol=1e-6) and torch.allclose(moved.rotation, made.rotation, atol=1e-6)
    assert torch.allclose(moved.translation, made.translation, atol=1e-6)


def test_motion_that_is_not_finite_or_has_no_rate_is_refused() -> None:
    made = template(2, 33, "lite")
    with pytest.raises(WeightsError, match="'exp' holds values that are not finite"):
        MotionTemplate(**{**vars(made), "exp": np.full_like(made.exp, np.nan)})
    with pytest.raises(WeightsError, match="frames per second make no sense"):
        MotionTemplate(**{**vars(made), "fps": Fraction(0)})


def test_a_motion_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WeightsError, match="cannot be saved as"):
        template(2, 33, "lite").save(tmp_path / "file" / "wave.safetensors")
