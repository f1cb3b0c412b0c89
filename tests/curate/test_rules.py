"""Thresholds: presets, files, verdicts; people, duplicates and splits."""

from __future__ import annotations

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.data.curate.alike import best_shift, duplicate_groups, people
from vivant.data.curate.decide import Decision, _without_duplicates, split_people
from vivant.data.curate.rules import Rule, preset_names, read_rules
from vivant.data.curate.scorers.base import SCORERS, all_measures, scorer


def test_every_scorer_says_what_it_measures() -> None:
    for name in SCORERS:
        found = scorer(name)
        assert found.name == name and found.version >= 1
    assert all(text for text in all_measures().values())
    with pytest.raises(ConfigError, match="no scorer 'taste'"):
        scorer("taste")


@pytest.mark.parametrize("name", ["live-portrait", "megactor-sigma", "v-express"])
def test_presets_are_whole_and_survive_being_written(name: str, tmp_path) -> None:
    assert name in preset_names()
    rules = read_rules(name)
    assert rules.rules and rules.about and set(rules.scorers()) <= set(SCORERS)
    path = tmp_path / "again.yaml"
    path.write_text(rules.as_yaml())
    assert read_rules(str(path)) == rules


def test_megactor_keeps_the_numbers_of_its_paper() -> None:
    limits = {rule.score: (rule.min, rule.max) for rule in read_rules("megactor-sigma").rules}
    assert limits["resolution.face"] == (600, None)
    assert limits["pose.mean"] == (None, 30)
    assert limits["sync-published.confidence"] == (6, None)
    assert limits["sync-published.distance"] == (None, 8.5)


def test_a_rule_says_what_is_wrong() -> None:
    rule = Rule("pose.mean", max=30, why="turned")
    assert rule.verdict({"pose.mean": 30}) == ""
    assert rule.verdict({"pose.mean": 31}) == "turned: pose.mean is 31, at most 30 is allowed"
    assert "not known" in rule.verdict({}) and "not known" in rule.verdict({"pose.mean": None})
    assert Rule("pose.mean", max=30, missing="pass").verdict({}) == ""
    other = Rule("sync.confidence", min=2, unless="sync-published.confidence")
    assert other.verdict({"sync.confidence": 1, "sync-published.confidence": 7}) == ""
    assert other.verdict({"sync.confidence": 1}) != ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a", "a mapping with a list"),
        ("rules: [{score: pose.mean}]", "'min', 'max' or both"),
        ("rules: [{score: pose.mean, max: many}]", "as numbers"),
        ("rules: [{score: pose.average, max: 3}]", "no score 'pose.average'"),
        ("rules: [{score: pose.mean, max: 3, limit: 4}]", "a rule is a mapping"),
        ("rules: []\nsplit: {}", "unknown key 'split'"),
        ("rules: []\nsplits: {train: -1}", "shares of"),
        ("rules: []\nrequire: [money]", "require is a list"),
        ("rules: [", "not YAML"),
        ("rules: []\n3: a\nz: b", "unknown key '3'"),
        ("rules: [{score: [pose.mean], max: 3}]", "no score"),
        ("rules: [{score: pose.mean, max: 3, unless: [a]}]", "no score"),
        ("rules: [{score: pose.mean, min: 5, max: 3}]", "at least 5 and at most 3"),
        ("rules: []\nrequire: licence", "require is a list"),
        ("rules: []\nrequire: [[licence]]", "require is a list"),
        ("rules: []\nrequire: 3", "require is a list"),
        ("rules: []\npeople: {distance: .nan}", "people must be"),
        ("rules: []\npeople: {distance: -1}", "people must be"),
        ("rules: []\npeople: {dist: 0.3}", "people must be"),
        ("rules: []\nsplits: {train: .inf}", "shares of"),
        ('rules: []\nduplicates: "no"', "true or false"),
    ],
)
def test_bad_rules_are_refused(tmp_path, text: str, problem: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_rules(str(path))


def test_unknown_rules() -> None:
    with pytest.raises(ConfigError, match="live-portrait"):
        read_rules("nobody")


def clip(seed: int, start: int = 0, length: int = 100, hashes: tuple[str, ...] = ("ff00ff00ff00ff00",)) -> dict:
    course = np.cumsum(np.random.default_rng(seed).normal(size=200))
    lips = 100 + 40 * np.sin(course[start : start + length])
    return {"duplicates.hashes": list(hashes), "duplicates.lips": lips.tolist(), "duplicates.loud": []}


def test_duplicates_move_their_lips_alike() -> None:
    same, shorter, other = clip(1), clip(1, 20, 60), clip(2)
    noisy = {**same, "duplicates.lips": (np.array(same["duplicates.lips"]) * 1.1 + 3).tolist()}
    elsewhere = clip(1, hashes=("0123456789abcdef",))
    assert duplicate_groups([same, other, shorter, noisy, elsewhere]) == [{0, 2, 3}]
    assert best_shift(np.array(same["duplicates.lips"]), np.array(shorter["duplicates.lips"]))[0] == -20
    still = {**same, "duplicates.lips": [10.0] * 100}
    assert duplicate_groups([still, still]) == []
    assert duplicate_groups([{}, {}]) == []


@pytest.mark.parametrize(("detail", "kept"), [(107.0, "whole"), (140.0, "part")])
def test_a_copy_that_was_cut_short_does_not_stand_for_the_whole(detail: float, kept: str) -> None:
    """Unless it has clearly more detail: scores of parts of one recording differ by some percent."""
    scores = {
        "whole": {**clip(1), "resolution.effective": 100.0},
        "copy": {**clip(1), "resolution.effective": 100.0},
        "part": {**clip(1, 0, 68), "resolution.effective": detail},
    }
    found = [Decision(name, name, 0, 100 if name != "part" else 68, True) for name in sorted(scores)]
    best = "copy" if kept == "whole" else kept  # of equals the first by name
    assert [decision.id for decision in _without_duplicates(found, scores) if decision.keep] == [best]


def test_people_are_told_apart_and_known_names_stay() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 128)) * 0.06
    clips = [(f"c{k}", centres[k % 3] + rng.normal(size=128) * 0.008) for k in range(9)]
    named = ["", "", "Ann", *[""] * 6]
    found = people([name for name, _ in clips], [list(vector) for _, vector in clips], named, 0.4)
    assert found == ["person-c0", "person-c1", "Ann"] * 3
    assert people(["a", "b"], [None, None], ["", ""], 0.4) == ["person-a", "person-b"]


def test_nobody_is_in_two_splits_and_shares_are_met() -> None:
    frames = {f"p{k}": 100 + k for k in range(60)}
    splits = split_people(frames, {"train": 0.8, "val": 0.1, "test": 0.1})
    assert set(splits) == set(frames)
    train = sum(count for person, count in frames.items() if splits[person] == "train")
    assert 0.75 < train / sum(frames.values()) < 0.85
    assert splits == split_people(dict(reversed(frames.items())), {"train": 0.8, "val": 0.1, "test": 0.1})
