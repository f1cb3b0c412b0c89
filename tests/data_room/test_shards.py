"""Shards: nothing is lost or changed, the same bytes each time, training reads them in place, damage is named."""

import json
import tarfile

import numpy as np
import pytest
import torch
from tiny import write_folder

from vivant.apps.cli import main
from vivant.core.errors import ConfigError, MediaError
from vivant.data.dataset import FaceClips
from vivant.data.manifest import read_manifest
from vivant.data.shards import read_data, read_shard, unpack_shards, write_shards


@pytest.fixture
def folder(tmp_path):
    write_folder(tmp_path / "data", clips=5, frames=6, stills=2)
    return tmp_path / "data"


def test_there_and_back(folder, tmp_path):
    paths = write_shards(folder, tmp_path / "shards", limit=40_000)
    assert len(paths) > 2 and all(path.stat().st_size <= 40_000 for path in paths)
    rows = unpack_shards(tmp_path / "shards", tmp_path / "back")
    before = {row.id: row for row in read_manifest(folder)}
    assert {row.id for row in rows} == set(before) == {row.id for row in read_manifest(tmp_path / "back")}
    for row in rows:
        old = before[row.id]
        assert (tmp_path / "back" / row.media).read_bytes() == (folder / old.media).read_bytes()
        assert (tmp_path / "back" / row.labels).read_bytes() == (folder / old.labels).read_bytes()
        assert (row.person, row.split, row.group, row.frames) == (old.person, old.split, old.group, old.frames)


def test_the_same_data_gives_the_same_bytes(folder, tmp_path):
    one, two = (write_shards(folder, tmp_path / name) for name in ("one", "two"))
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two] and len(one) == 2  # train and val


def test_training_reads_shards_in_place(folder, tmp_path):
    write_shards(folder, tmp_path / "shards", limit=40_000)
    a, b = FaceClips.load(folder, workers=1), FaceClips.load(tmp_path / "shards", workers=1)
    assert {row.id for row in a.rows} == {row.id for row in b.rows}
    for clip, row in enumerate(b.rows):
        same = [r.id for r in a.rows].index(row.id)
        assert torch.equal(b.frames[b.starts[clip] : b.starts[clip + 1]], a.frames[a.starts[same] : a.starts[same + 1]])
    assert FaceClips.load(tmp_path / "shards", split="val", workers=1).groups == {"rig": 6}


def test_it_is_webdataset_s_convention(folder, tmp_path):
    path = write_shards(folder, tmp_path / "shards")[0]
    with tarfile.open(path) as tar:
        names = tar.getnames()
    keys = [name.partition(".")[0] for name in names]
    assert len(keys) == sum(1 for a, b in zip(keys, [*keys[1:], ""]) if a != b) * 3  # a sample's files are neighbours
    assert {name.partition(".")[2] for name in names} == {"json", "mp4", "npz", "png"}


def test_choices_and_refusals(folder, tmp_path):
    assert len(read_shard(write_shards(folder, tmp_path / "a", groups=["still"])[0])) == 2
    with pytest.raises(ConfigError, match="no rows"):
        write_shards(folder, tmp_path / "b", splits=["test"])
    with pytest.raises(ConfigError, match="such shards already"):
        write_shards(folder, tmp_path / "a")
    write_shards(folder, tmp_path / "a", groups=["rig"], name="rig")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        "train-00000.tar", "train-rig-00000.tar", "val-rig-00000.tar"
    }  # fmt: skip
    assert len(read_data(tmp_path / "a")) == 5
    with pytest.raises(ConfigError, match="such shards already"):
        write_shards(folder, tmp_path / "a", groups=["rig"], name="rig")
    with pytest.raises(MediaError, match="no shard"):
        unpack_shards(folder, tmp_path / "c")
    (folder / "clips" / "clip1.npz").unlink()
    with pytest.raises(MediaError, match="clip1"):
        write_shards(folder, tmp_path / "d")
    assert not list((tmp_path / "d").glob("*.part"))


def test_damaged_and_hostile_shards(folder, tmp_path):
    path = write_shards(folder, tmp_path / "shards")[0]
    short = tmp_path / "short.tar"
    short.write_bytes(path.read_bytes()[:5000])
    with pytest.raises((MediaError, ConfigError)):
        read_shard(short)
    (tmp_path / "noise.tar").write_bytes(b"noise" * 1000)
    with pytest.raises(MediaError, match="no shard"):
        read_shard(tmp_path / "noise.tar")
    row = json.loads(read_data(tmp_path / "shards")[0].labels and '{"id": "x"}')
    row |= {"person": "x", "split": "train", "kind": "clip", "group": "g", "frames": 1, "fps": 25, "size": 8,
            "labels": "../../out.npz", "video": "x.mp4"}  # fmt: skip
    evil = tmp_path / "evil" / "train-00000.tar"
    evil.parent.mkdir()
    with tarfile.open(evil, "w") as tar:
        for name, data in (("x.json", json.dumps(row).encode()), ("x.mp4", b"v"), ("x.npz", b"n")):
            (tmp_path / name).write_bytes(data)
            tar.add(tmp_path / name, name)
    with pytest.raises(MediaError, match="outside"):
        unpack_shards(evil.parent, tmp_path / "victim")
    assert not (tmp_path / "out.npz").exists()


def test_the_command(folder, tmp_path, capsys):
    assert main(["shards", "pack", str(folder), "-o", str(tmp_path / "s"), "--group", "rig"]) == 0
    assert main(["shards", "list", str(tmp_path / "s")]) == 0
    assert "train rig             2 rows       12 frames" in capsys.readouterr().out
    assert main(["shards", "unpack", str(tmp_path / "s"), "-o", str(tmp_path / "u")]) == 0
    assert len(read_manifest(tmp_path / "u")) == 3
    assert main(["shards", "pack", str(tmp_path / "none"), "-o", str(tmp_path / "x")]) == 2


def test_partners_show_the_same_moment_on_somebody_else(folder):
    from dataclasses import replace

    data = FaceClips.load(folder, workers=1)
    data.rows = [replace(row, take="t" if row.group == "rig" else "") for row in data.rows]
    data._takes = data._find_takes()
    index = data.draw(0, 0, 32, {})
    other = data.partners(index, 0)
    for a, b in zip(index.tolist(), other.tolist()):
        if data.rows[a[2]].take:
            assert a[2] != b[2] and data.rows[b[2]].take == "t"
            assert (
                a[0] - data.starts[a[2]] == b[0] - data.starts[b[2]]
                and a[1] - data.starts[a[2]] == b[1] - data.starts[b[2]]
            )
        else:
            assert a == b
    assert torch.equal(other, data.partners(index, 0)) and np.array_equal(other.shape, (32, 3))
