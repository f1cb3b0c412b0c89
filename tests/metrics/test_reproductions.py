"""The page of reproductions is made from files, and its verdicts from numbers."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from vivant.core.errors import ConfigError
from vivant.metrics.reproductions import (
    HELD,
    LOOSELY,
    NOT_HELD,
    Claim,
    Result,
    panels,
    read_claims,
    read_results,
    reproductions_markdown,
    verdict,
    write_result,
)
from vivant.pipelines import evaluate
from vivant.pipelines.evaluation.listing import END
from vivant.pipelines.evaluation.reproductions import BEGIN

DOCS = Path(__file__).resolve().parents[2] / "docs"
YAML = """
- id: a
  method: M
  claim: It rises.
  source: paper
  numbers: [one, two]
  holds: [[one, "<", two], [two, ">", 3]]
- id: b
  method: M
  claim: It grows.
  source: paper
  numbers: [x, y, z]
  holds: [{increasing: [x, y, z]}]
"""


def numbers(**values: float) -> dict[str, dict[str, float]]:
    return {name: {"value": value} for name, value in values.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "claims.yaml").write_text(YAML)
    return tmp_path


def test_the_page_equals_what_the_generator_makes() -> None:
    claims = read_claims(DOCS / "results")
    text = reproductions_markdown(claims, read_results(DOCS / "results", claims))
    shown = (DOCS / "reproductions.md").read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    assert shown == f"\n{text}", "run: vivant evaluate reproductions --update docs/reproductions.md"
    assert {claim.method for claim in claims} == {
        "V-Express", "LivePortrait", "Animate Anyone", "Diffused Heads", "MegActor-Sigma"
    }  # fmt: skip
    for result in read_results(DOCS / "results", claims):
        assert result.plot and (DOCS / result.plot).is_file(), f"{result.file}: vivant evaluate reproductions --draw"


def test_verdicts_follow_from_numbers(folder: Path) -> None:
    first, second = read_claims(folder)
    for one, two, wanted in ((1, 4, HELD), (5, 4, NOT_HELD), (1, 2, NOT_HELD)):
        assert verdict(first, Result("a", "s", numbers(one=one, two=two), "c", "h")) == wanted
    for z, wanted in ((3, HELD), (2, NOT_HELD)):
        assert verdict(second, Result("b", "s", numbers(x=1, y=2, z=z), "c", "h")) == wanted


def test_certain_claims_want_intervals_apart() -> None:
    claim = Claim("a", "M", "c", "s", ("one", "two"), (["one", "<", "two"],), certain=True)
    apart = {"one": {"value": 1, "high": 1.5}, "two": {"value": 2, "low": 1.6}}
    assert verdict(claim, Result("a", "s", apart, "c", "h")) == HELD
    near = Result("a", "s", apart | {"two": {"value": 2, "low": 1.4}}, "c", "h")
    assert verdict(claim, near) == NOT_HELD
    assert verdict(replace(claim, certain=False), near) == LOOSELY


def test_results_are_read_and_shown(folder: Path) -> None:
    claims = read_claims(folder)
    assert "| It rises. | not yet measured | - |" in reproductions_markdown(claims, [])
    good = Result("a", "lite, 3 clips", {"one": {"value": 1.25, "low": 1, "high": 1.5, "unit": "px"},
                  "two": {"value": 4}}, "vivant demo", "two cores", note="A note.")  # fmt: skip
    write_result(folder / "a.json", good)
    found = read_results(folder, claims)
    assert found == [good]
    text = reproductions_markdown(claims, found)
    assert "| It rises. | held | one: 1.25 [1, 1.5] px, two: 4 |" in text
    assert "2 claims: 1 held, 0 held, but intervals overlap, 0 not held, 1 not yet measured." in text
    assert "```bash\nvivant demo\n```" in text and "A note." in text and "two cores" in text


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"claim": "zzz"}, "no claim 'zzz'"),
        ({"claim": "a", "numbers": {"one": {"value": 1}}}, "lacks the numbers two"),
        ({"claim": "a", "numbers": {"one": {"value": "many"}, "two": {"value": 1}}}, "lacks the numbers one"),
        ({"claim": "a", "numbers": {"one": {"value": 1}, "two": {"value": 1}}, "command": ""}, "command or hardware"),
        ({"claim": "a", "held": True}, "cannot be read"),
    ],
)
def test_results_that_cannot_count(folder: Path, row: dict[str, object], said: str) -> None:
    whole = {"setting": "s", "numbers": {}, "command": "c", "hardware": "h"} | row
    (folder / "r.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=said):
        read_results(folder, read_claims(folder))


@pytest.mark.parametrize("rule", ['["one", "=", "two"]', '["one", "<", "three"]', "{increasing: [one]}", "one"])
def test_rules_that_make_no_sense(folder: Path, rule: str) -> None:
    (folder / "claims.yaml").write_text(
        f"- {{id: a, method: M, claim: c, source: s, numbers: [one, two], holds: [{rule}]}}\n"
    )
    with pytest.raises(ConfigError, match="rule"):
        read_claims(folder)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_claims(folder / "nowhere")


def test_what_rules_compare_is_drawn_together() -> None:
    names = ("a", "b", "c", "x", "y")
    claim = Claim("i", "M", "c", "s", names, (["a", "<", "b"], ["x", ">", 3], {"increasing": ["b", "c"]}))
    found = numbers(a=1, b=2, c=3, x=4, y=5)
    assert panels(claim, found) == [(["x"], [3.0]), (["a", "b", "c"], []), (["y"], [])]


def test_results_without_a_picture_get_one(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    place = folder / "results"
    place.mkdir()
    (folder / "claims.yaml").rename(place / "claims.yaml")
    write_result(place / "r.json", Result("a", "s", numbers(one=1, two=4), "c", "h"))
    assert evaluate.run(parser.parse_args(["reproductions", "--results", str(place), "--draw"])) == 0
    (result,) = read_results(place, read_claims(place))
    assert result.plot == "images/r.png" and (folder / result.plot).stat().st_size > 0


def test_a_number_without_an_interval_is_not_certain(folder: Path) -> None:
    claim = Claim("a", "M", "c", "s", ("one", "two"), (["one", "<", "two"], ["two", ">", 1]), certain=True)
    empty = {name: {"value": value, "low": None, "high": None} for name, value in (("one", 1), ("two", 2))}
    for given in (numbers(one=1, two=2), empty):
        result = Result("a", "s", given, "c", "h")
        assert verdict(claim, result) == NOT_HELD and verdict(replace(claim, certain=False), result) == HELD
    whole = {"one": {"value": 1, "low": 0.5, "high": 1.5}, "two": {"value": 2, "low": 1.6, "high": 2.5}}
    assert verdict(claim, Result("a", "s", whole, "c", "h")) == HELD


@pytest.mark.parametrize(
    "row",
    [{"numbers": [1]}, {"numbers": {"one": {"value": 1, "low": "x"}, "two": {"value": 2}}}, {"note": 3},
     {"numbers": {"one": {"value": 1}, "two": {"value": 2}, "more": 3}}, {"claim": ["a"]}],
)  # fmt: skip
def test_results_of_a_wrong_kind_are_one_sentence(folder: Path, row: dict[str, object]) -> None:
    whole = {"claim": "a", "setting": "s", "numbers": numbers(one=1, two=2), "command": "c", "hardware": "h"} | row
    (folder / "r.json").write_text(json.dumps(whole))
    with pytest.raises(ConfigError, match=r"r\.json"):
        read_results(folder, read_claims(folder))


@pytest.mark.parametrize(
    "text",
    [b"caf\xe9", b"a: b", b"- a", b"- [1]", b"", YAML.replace("[[one", "3 #").encode(),
     YAML.replace("[one, two]\n", "3\n").encode(), YAML.replace("two]]", "null]]").replace(", 3]", ", null]").encode(),
     YAML.replace("[x, y, z]}", "3}").encode()],
)  # fmt: skip
def test_claims_of_a_wrong_kind_are_one_sentence(folder: Path, text: bytes) -> None:
    (folder / "claims.yaml").write_bytes(text)
    with pytest.raises(ConfigError):
        read_claims(folder)
