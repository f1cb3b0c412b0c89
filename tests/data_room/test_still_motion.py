from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import labels, write_folder

from vivant.core.errors import ConfigError
from vivant.data.dataset import FaceClips
from vivant.data.labels import Labels
from vivant.data.still_motion import (
    OVAL,
    MotionRange,
    euler_angles,
    fit_spline,
    render_stills,
    rotation_matrices,
    warp_images,
)

torch.set_num_threads(1)


def face() -> Labels:
    """A head whose outline is a circle of radius 0.4, tilted a little, with a few points inside."""
    around = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    shape = np.zeros((len(OVAL) + 1, 3), np.float32)
    shape[:-1, 0], shape[:-1, 1] = 0.45 * np.sin(around), -0.45 * np.cos(around)
    shape[-1] = (0, 0, -0.15)
    rotation = np.array([[0.05, -0.1, 0.08]], np.float32)
    turn = rotation_matrices(torch.from_numpy(rotation))[0].numpy()
    marks = (0.9 * shape @ turn + [0.05, -0.02, 0.0])[None]
    return Labels(
        landmarks=marks.astype(np.float16), rotation=rotation, scale=np.array([0.9], np.float32),
        translation=np.array([[0.05, -0.02]], np.float32), neutral=shape.astype(np.float16),
        weight=np.ones(len(shape), np.float32), points=np.array([*OVAL, 1]),
    )  # fmt: skip


def dots(marks: np.ndarray, size: int = 128) -> torch.Tensor:
    """(1,size,size,3): bright blobs at the landmarks."""
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size))
    for px, py in (marks[:, :2].astype(np.float64) + 1) * size / 2 - 0.5:
        image = np.maximum(image, np.exp(-((x - px) ** 2 + (y - py) ** 2) / 6))
    return torch.from_numpy((image[None, ..., None] * 255).astype(np.uint8)).expand(-1, -1, -1, 3).contiguous()


def test_angles_and_matrices_are_inverse() -> None:
    angles = torch.tensor([[0.3, -0.5, 0.9], [-0.2, 0.1, -1.2]])
    torch.testing.assert_close(euler_angles(rotation_matrices(angles)), angles)


def test_the_spline_goes_through_its_points_and_keeps_affine_maps() -> None:
    points = torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(1)) * 2 - 1
    matrix = torch.tensor([[0.2, -0.1], [0.3, 0.4]])
    loose = torch.zeros(2, 20)
    where = torch.tensor([[0.3, -0.8], [0.0, 0.0]])
    found = fit_spline(points, points @ matrix + 0.1, where, loose)
    torch.testing.assert_close(found[0], where @ matrix + 0.1, atol=1e-3, rtol=1e-3)
    values = torch.rand(2, 20, 2, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(fit_spline(points, values, points[0], loose)[0], values[0], atol=2e-3, rtol=1e-2)


def test_no_motion_changes_nothing() -> None:
    size, cells = 32, (torch.arange(64) + 0.5) / 32 - 1
    still = torch.stack(torch.meshgrid(cells, cells, indexing="xy"), -1)[None]
    image = torch.randint(0, 255, (1, size, size, 3), dtype=torch.uint8)
    middle = (slice(None), slice(4, -4), slice(4, -4))
    assert (warp_images(image, still)[middle].int() - image[middle].int()).abs().max() <= 1


def test_landmarks_move_with_the_picture_and_labels_stay_consistent() -> None:
    item = face()
    frames, moved = render_stills(dots(item.landmarks[0]), [item], 6, seed=3, motion=MotionRange(smoothness=1e-5))
    assert frames.shape == (1, 7, 128, 128, 3) and len(moved[0]) == 7
    np.testing.assert_array_equal(moved[0].landmarks[0], item.landmarks[0])
    spread = 0.0
    for frame, marks in zip(frames[0, 1:], moved[0].landmarks[1:]):
        x, y = ((marks[:, :2].astype(np.float32) + 1) * 64 - 0.5).round().astype(int).T
        assert (frame[..., 0].numpy()[y, x] > 120).mean() > 0.9
        spread = max(spread, float(np.abs(marks.astype(np.float32) - item.landmarks[0]).max()))
    assert spread > 0.05
    turn = rotation_matrices(torch.from_numpy(moved[0].rotation)).numpy()
    rebuilt = moved[0].scale[:, None, None] * (item.neutral.astype(np.float32) @ turn)
    rebuilt[..., :2] += moved[0].translation[:, None]
    np.testing.assert_allclose(rebuilt, moved[0].landmarks.astype(np.float32), atol=4e-3)


def test_heads_turned_far_hardly_turn_further() -> None:
    item = face()
    far = replace(item, rotation=np.array([[0.0, 0.8, 0.0]], np.float32))
    change = []
    for each in (item, far):
        _, moved = render_stills(dots(each.landmarks[0], 16), [each], 20, seed=1)
        change.append(np.abs(moved[0].rotation[1:, 1] - each.rotation[0, 1]).mean())
    assert change[1] < 0.4 * change[0]


def test_the_same_seed_renders_the_same() -> None:
    item = face()
    a, b, c = (render_stills(dots(item.landmarks[0], 32), [item], 2, seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)


def test_a_data_set_grows_by_the_poses_of_its_stills(tmp_path: Path) -> None:
    write_folder(tmp_path / "x")
    plain = FaceClips.load(tmp_path / "x", workers=1)
    more = FaceClips.load(tmp_path / "x", workers=1, poses_per_still=3)
    assert plain.groups == {"grid": 6, "rig": 6, "still": 2}
    assert more.groups == {"grid": 6, "rig": 6, "still": 8}
    assert torch.equal(more.frames[:12], plain.frames[:12]) and torch.equal(more.frames[12], plain.frames[12])
    assert more.describe(torch.tensor([[12, 15, 2]])) == ["still0[0->3]"]


def test_labels_without_the_outline_are_refused() -> None:
    with pytest.raises(ConfigError, match="outline of the face"):
        render_stills(torch.zeros(1, 16, 16, 3, dtype=torch.uint8), [labels(1, 5)], 1)
