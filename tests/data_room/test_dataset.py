from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import SIZE, frame, labels, write_folder

from vivant.core.errors import ConfigError, MediaError
from vivant.data.dataset import FaceClips
from vivant.data.labels import interest, read_labels, write_labels
from vivant.data.manifest import merge_manifest, read_manifest, write_manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips") / "data"
    write_folder(root)
    return root


@pytest.fixture(scope="module")
def clips(folder: Path) -> FaceClips:
    return FaceClips.load(folder, workers=2)


def test_frames_arrive_in_order_and_beside_their_labels(clips: FaceClips) -> None:
    assert clips.groups == {"grid": 6, "rig": 6, "still": 2}
    raw = clips.gather(torch.tensor([[2, 4, 0], [12, 12, 2]]))
    assert raw["source"].shape == (2, 3, SIZE, SIZE) and raw["source"].dtype == torch.uint8
    assert abs(int(raw["source"][0].float().mean()) - int(frame(2).mean())) <= 1
    assert abs(int(raw["driver"][0].float().mean()) - int(frame(4).mean())) <= 1
    assert raw["source"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(raw["driver_landmarks"][0], labels(6, seed=0).landmarks[4].astype(np.float32))
    np.testing.assert_array_equal(raw["neutral"][1], labels(1, seed=50).neutral.astype(np.float32))
    assert raw["still"].tolist() == [0.0, 1.0] and raw["weight"].shape == (2, 478)
    assert clips.describe(torch.tensor([[2, 4, 0], [12, 12, 2]])) == ["clip0[2->4]", "still0[0->0]"]


def test_one_worker_and_two_decode_the_same(folder: Path, clips: FaceClips) -> None:
    assert torch.equal(FaceClips.load(folder, workers=1).frames, clips.frames)


def test_pairs_stay_in_their_clip_and_depend_on_seed_and_step_only(clips: FaceClips) -> None:
    index = clips.draw(3, 7, 64, {})
    assert index.dtype == torch.int64 and index.shape == (64, 3)
    starts = torch.from_numpy(clips.starts)
    for column in (0, 1):
        assert ((index[:, column] >= starts[index[:, 2]]) & (index[:, column] < starts[index[:, 2] + 1])).all()
    assert torch.equal(index, clips.draw(3, 7, 64, {}))
    assert not torch.equal(index, clips.draw(4, 7, 64, {}))
    assert not torch.equal(index, clips.draw(3, 8, 64, {}))


def test_all_processes_together_draw_what_one_would(clips: FaceClips) -> None:
    whole = clips.draw(5, 1, 12, {})
    parts = [clips.draw(5, 1, 4, {}, rank, 3) for rank in range(3)]
    assert torch.equal(whole, torch.cat(parts))


def test_the_mix_is_met(clips: FaceClips) -> None:
    mix = {"rig": 0.25, "still": 0.75, "grid": 0.0}
    counts = np.zeros(4)
    for step in range(50):
        counts += np.bincount(clips.draw(step, 0, 10, mix)[:, 2].numpy(), minlength=4)
    assert counts[1] == 0 and abs(counts[0] / 500 - 0.25) < 0.01
    with pytest.raises(ConfigError, match=r"The mix names \['voxceleb'\]"):
        clips.draw(0, 0, 4, {"voxceleb": 1.0})


def test_some_pairs_are_far_apart_in_pose(clips: FaceClips) -> None:
    index = torch.cat([clips.draw(step, 0, 64, {"rig": 1.0}) for step in range(20)])
    distance = (index[:, 0] - index[:, 1]).abs().float()
    assert distance.mean() > 2.1  # two independent frames of six are 1.94 apart on average


def test_closed_lids_wide_mouths_and_turned_eyes_are_interesting() -> None:
    mesh = np.zeros((8, 478, 3), np.float32)
    for upper, lower, outer, inner, iris, x in ((159, 145, 33, 133, 468, -0.3), (386, 374, 263, 362, 473, 0.3)):
        mesh[:, outer, 0], mesh[:, inner, 0], mesh[:, iris, 0] = x * 1.4, x * 0.6, x
        mesh[:, upper, 1], mesh[:, lower, 1] = -0.04, 0.04
    mesh[2, [159, 386], 1] = 0.04
    mesh[4, 14, 1] = 0.3
    mesh[6, [468, 473], 0] += 0.06
    found = interest(mesh, np.arange(478))
    assert np.allclose(found[[0, 1, 3, 5, 7]], 1) and (found[[2, 4, 6]] > 1.7).all()
    assert np.array_equal(interest(mesh[:, :9], np.arange(9)), np.ones(8))


def test_labels_may_keep_some_landmarks_and_call_weight_trust(tmp_path: Path) -> None:
    kept = replace(labels(3, points=5), points=np.array([1, 9, 33, 61, 291]))
    write_labels(tmp_path / "a.npz", kept)
    with np.load(tmp_path / "a.npz") as data:
        arrays = dict(data)
    arrays["trust"] = arrays.pop("weight")
    np.savez(tmp_path / "b.npz", **arrays)
    for name in ("a.npz", "b.npz"):
        found = read_labels(tmp_path / name, 3)
        assert found.points.tolist() == [1, 9, 33, 61, 291] and found.weight.dtype == np.float32


def test_a_manifest_survives_writing_and_reading(tmp_path: Path) -> None:
    rows = write_folder(tmp_path / "x", clips=1, stills=1)
    write_manifest(tmp_path / "x", rows)
    assert read_manifest(tmp_path / "x") == rows
    line = json.loads((tmp_path / "x" / "manifest.jsonl").read_text().splitlines()[0])
    (tmp_path / "x" / "manifest.jsonl").write_text(json.dumps({**line, "fps": "30000/1001", "image": None, "z": 1}))
    assert read_manifest(tmp_path / "x")[0].fps == pytest.approx(29.97, abs=0.001)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"split": "tests"}, "split 'tests'"),
        ({"video": ""}, "needs a video or image"),
        ({"fps": "fast"}, "not a row"),
        ({"frames": 99}, "shape"),
        ({"video": "clips/none.mp4"}, "decode"),
        ({"size": 64}, "decode"),
        ({"labels": "clips/none.npz"}, "cannot be read"),
    ],
)
def test_damaged_data_is_named(tmp_path: Path, change: dict, match: str) -> None:
    write_folder(tmp_path / "x", clips=1, stills=0)
    path = tmp_path / "x" / "manifest.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), "split": "train", **change}))
    with pytest.raises((ConfigError, MediaError), match=match):
        FaceClips.load(tmp_path / "x", workers=1)


def test_short_videos_and_empty_splits_are_named(tmp_path: Path) -> None:
    rows = write_folder(tmp_path / "x", clips=1, stills=0)
    write_manifest(tmp_path / "x", [replace(rows[0], split="train", frames=8)])
    write_labels(tmp_path / "x" / rows[0].labels, labels(8))
    with pytest.raises(MediaError, match="has 6 frames, its manifest row says 8"):
        FaceClips.load(tmp_path / "x", workers=1)
    with pytest.raises(ConfigError, match="no rows of the split 'test'"):
        FaceClips.load(tmp_path / "x", split="test")
    with pytest.raises(MediaError, match="does not exist"):
        FaceClips.load(tmp_path / "nowhere")


def test_rows_of_several_makers_share_a_manifest(tmp_path):
    rows = write_folder(tmp_path, clips=2, stills=1)
    more = [replace(rows[0], id="another"), replace(rows[1], group="changed")]
    merged = merge_manifest(tmp_path, more)
    assert (
        [row.id for row in merged] == ["another", "clip0", "clip1", "still0"] == [r.id for r in read_manifest(tmp_path)]
    )
    assert merged[2].group == "changed"
    with pytest.raises(ConfigError, match="64"):
        merge_manifest(tmp_path, [replace(rows[0], id="large", size=64)])


@pytest.mark.parametrize(
    "line",
    [b'{"id": "caf\xe9"}', b"[1]", b"3",
     b'{"id": "a", "person": "p", "split": "test", "kind": "clip", "group": "g", "frames": "x", "fps": 25, "size": 64}',
     b'{"id": "a", "person": "p", "split": "test", "kind": "clip", "group": "g", "frames": 3, "fps": 25, "size": 64,'
     b' "video": 3}'],
)  # fmt: skip
def test_a_manifest_of_a_wrong_kind_is_one_sentence(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(line + b"\n")
    with pytest.raises(ConfigError, match="save it as UTF-8" if b"\xe9" in line else "write the manifest again"):
        read_manifest(tmp_path)
