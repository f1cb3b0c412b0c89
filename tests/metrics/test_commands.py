from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.data.manifest import Row
from vivant.media.image import write_image
from vivant.metrics.identity import embeddings, identity_distances
from vivant.metrics.reenactment import whole_crop
from vivant.pipelines import benchmark, evaluate
from vivant.pipelines.evaluation import reenactment

Maker = Callable[..., np.ndarray]


def row(name: str, person: str, kind: str = "clip", group: str = "rig", split: str = "test") -> dict[str, object]:
    media = "video" if kind == "clip" else "image"
    common = {"frames": 8, "fps": 25, "size": 96, "labels": "none.npz"}
    return {"id": name, "person": person, "split": split, "kind": kind, "group": group, media: name} | common


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = [row(f"{p}{i}", p, group="rig" if p in "ab" else "grid") for p in "abc" for i in range(3)]
    rows += [row("s0", "a", "still", "still"), row("s1", "d", "still", "still"), row("x", "x", split="train")]
    (tmp_path / "manifest.jsonl").write_text("\n".join(json.dumps(r) for r in rows))
    return tmp_path


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    return parser.parse_args(words)


def test_cases_spread_over_groups_and_people(data: Path) -> None:
    args = arguments("reenactment", "--data", str(data), "--out", "o", "--limit", "4", "--portraits", "2")
    cases = reenactment.make_cases(args)
    assert [case.id for case in cases if case.task == "self"] == ["c0", "a0", "c1", "b0"]
    cross = [case for case in cases if case.task == "cross"]
    assert len(cross) == 6
    assert {case.portrait.name for case in cross if case.portrait} == {"s0", "s1"}
    assert all(case.driver.name[0] != case.person for case in cross)
    assert len({case.id for case in cases}) == len(cases)


def test_no_clip_to_measure(data: Path) -> None:
    with pytest.raises(ConfigError, match="no clip of split 'val'"):
        reenactment.make_cases(arguments("reenactment", "--data", str(data), "--out", "o", "--split", "val"))
    with pytest.raises(ConfigError, match="--stride"):
        evaluate.run(arguments("reenactment", "--data", str(data), "--out", "o", "--stride", "0"))


def test_spread_takes_everything_once(data: Path) -> None:
    rows = [
        Row("a", "p", "test", "clip", "g", 1, 25, 96, "l", video="v"),
        Row("b", "p", "test", "clip", "g", 1, 25, 96, "l"),
    ]
    assert [r.id for r in reenactment.spread(rows, 9)] == ["a", "b"]


def test_identity_is_zero_for_the_source_and_does_not_depend_on_the_batch(picture: np.ndarray, face: Maker) -> None:
    points = [face(), None, face(yaw=20)]
    images = [picture, picture, np.ascontiguousarray(picture[:, ::-1])]
    found = identity_distances(whole_crop(picture, points[0]), images, points)
    assert found[0] == pytest.approx(0, abs=1e-5) and np.isnan(found[1]) and found[2] > 0.01
    alone = embeddings(images[2:], points[2:])
    assert np.allclose(alone[0], embeddings(images, points)[2], atol=1e-5)


def test_modules_benchmark_of_a_tiny_net(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    parser = argparse.ArgumentParser()
    benchmark.add_arguments(parser)
    words = ["modules", "--preset", "tiny", "--runs", "1", "--warmups", "0", "--out", str(tmp_path)]
    assert benchmark.run(parser.parse_args(words)) == 0
    found = json.loads((tmp_path / "modules.json").read_text())
    assert set(found["modules"]) == {
        "appearance_feature_extractor",
        "motion_extractor",
        "warping_module",
        "spade_generator",
        "stitching_retargeting_module",
    }
    assert all(values["ms"]["median"] > 0 for values in found["modules"].values())
    assert "W warping" in capsys.readouterr().out


def test_looped_driver_has_the_frames_asked_for(tmp_path: Path, picture: np.ndarray) -> None:
    from vivant.media.video import open_clip

    (tmp_path / "in").mkdir()
    for i in range(3):
        write_image(tmp_path / "in" / f"{i}.png", np.roll(picture, i, axis=0))
    benchmark.looped(tmp_path / "in", 7, tmp_path / "out.mp4")
    assert len(list(open_clip(tmp_path / "out.mp4").frames)) == 7
