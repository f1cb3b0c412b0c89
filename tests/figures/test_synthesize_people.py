"""`vivant synthesize people`: files, labels that training reads, resume, bad input."""

import json

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.data.manifest import read_manifest
from vivant.media.video import open_clip

USUAL = ["--clips", "4", "--frames", "3", "--size", "64", "--takes-per-motion", "2", "--workers", "1",
         "--supersample", "1", "--quiet", "--quality", "20"]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("people")
    assert main(["synthesize", "people", "-o", str(out), *USUAL]) == 0
    return out


def test_rows_files_and_labels(made):
    rows = read_manifest(made)
    assert len(rows) == 4 and {row.group for row in rows} == {"people"}
    assert len({row.person for row in rows}) == 4 and len({row.take for row in rows}) == 2
    for row in rows:
        clip = open_clip(made / row.video)
        assert (clip.size, clip.count, float(clip.fps)) == ((64, 64), 3, 25.0)
        with np.load(made / row.labels, allow_pickle=False) as labels:
            pose = labels["pose"]
        assert pose.shape == (3, 128, 3) and pose.dtype == np.float32
        assert np.abs(pose[..., :2]).max() <= 1 and pose[..., 2].min() >= 0 and pose[..., 2].max() <= 1
        with np.load(made / row.truth, allow_pickle=False) as truth:
            assert truth["regions"].shape == (3, 64, 64) and truth["points"].shape == (3, 128, 3)
            assert json.loads(str(truth["words"]))["motion"] == row.motion
        assert row.licence.startswith("CC0") and "MakeHuman" in row.credit


def test_people_of_one_take_share_a_split(made):
    splits = {}
    for row in read_manifest(made):
        splits.setdefault(row.take, set()).add(row.split)
    assert all(len(split) == 1 for split in splits.values())


def test_a_run_goes_on_where_it_stopped(made, capsys):
    rows = sorted((made / "rows").glob("*.json"))
    before = open_clip(made / "clips" / f"{rows[1].stem}.mp4")
    frames = np.stack(list(before.frames))
    rows[1].unlink()
    assert main(["synthesize", "people", "-o", str(made), *USUAL]) == 0
    assert "1 new clips" in capsys.readouterr().out
    assert np.array_equal(frames, np.stack(list(open_clip(made / "clips" / f"{rows[1].stem}.mp4").frames)))
    assert len(read_manifest(made)) == 4


def test_a_folder_keeps_its_settings(made, capsys):
    assert main(["synthesize", "people", "-o", str(made), *USUAL, "--seed", "5"]) == 2
    assert "was begun with another seed" in capsys.readouterr().err


def test_options_of_stills_are_refused(tmp_path, capsys):
    assert main(["synthesize", "people", "-o", str(tmp_path / "x"), "--engines", "flite"]) == 2
    assert "--engines is for stills" in capsys.readouterr().err
    for words, said in (
        (["--backgrounds", "0.5"], "--backgrounds is for stills"), (["--no-redetect"], "--no-redetect is for stills"),
        (["--motion", "speech"], "--motion is for stills"), (["--device", "cuda"], "CPU alone"),
    ):  # fmt: skip
        assert main(["synthesize", "people", "-o", str(tmp_path / "x"), *words]) == 2
        assert said in capsys.readouterr().err
    assert main(["synthesize", "people", "-o", str(tmp_path / "x"), "--size", "30"]) == 2
    assert "size" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
