from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import write_folder
from toy_method import train as toy_train

from vivant.core.errors import ConfigError
from vivant.core.spec import Capabilities, MethodSpec
from vivant.pipelines import learners
from vivant.pipelines import train as pipeline
from vivant.pipelines.recipe import check_losses, make_recipe, read_recipe, with_settings
from vivant.training.stage import Stage

torch.set_num_threads(1)
RECIPES = Path(__file__).parents[2] / "recipes"
SPEC = MethodSpec("toy", "Toy", "", "", "toy_method", Capabilities(trainable=True), ("small",), "small")
RECIPE = """
method: toy
preset: small
seed: 3
validation: val
stages:
  - name: first
    validate_every: 3
    mix: {still: 0.0}
  - second
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(learners, "get_method", {"toy": SPEC}.__getitem__)
    write_folder(tmp_path / "data", clips=3, frames=4)
    (tmp_path / "toy.yaml").write_text(RECIPE)
    return tmp_path


def go(place: Path, out: str, *more: str) -> int:
    fixed = ["--data", str(place / "data"), "--out", str(place / out), "--device", "cpu", "--workers", "1"]
    return pipeline.train(place / "toy.yaml", [*fixed, *more])


def weights(place: Path, out: str) -> dict[str, torch.Tensor]:
    return load_file(place / out / "weights.safetensors")


def test_stages_follow_one_another_and_leave_weights_and_the_resolved_recipe(place: Path) -> None:
    assert go(place, "a") == 0
    found = weights(place, "a")
    assert found["net.weight"].dtype == torch.float16 and "shape.weight" in found
    with safe_open(place / "a" / "weights.safetensors", "pt") as file:
        assert file.metadata() == {"preset": "small", "stage": "second", "seed": "3"}
    assert toy_train.started[-1].shape == (2, 3)
    recipe = read_recipe(place / "a" / "recipe.yaml")
    assert recipe.stages[0]["steps"] == 6 and recipe.stages[0]["mix"] == {"rig": 0.5, "grid": 0.5, "still": 0.0}
    rows = [json.loads(line) for line in (place / "a" / "first" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [3, 6]


def test_a_resolved_recipe_gives_the_same_weights_again(place: Path) -> None:
    go(place, "a")
    (place / "toy.yaml").write_text((place / "a" / "recipe.yaml").read_text())
    go(place, "b")
    first, second = weights(place, "a"), weights(place, "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_finished_stage_is_not_run_again_on_resume(place: Path) -> None:
    go(place, "a")
    go(place, "b", "--stage", "first")
    log = place / "b" / "first" / "log.jsonl"
    before = log.read_text()
    assert go(place, "b", "--resume") == 0
    assert log.read_text() == before
    first, second = weights(place, "a"), weights(place, "b")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_settings_init_and_budget(place: Path) -> None:
    go(place, "a")
    assert go(place, "b", "--init", str(place / "a" / "weights.safetensors"), "--set", "stage.steps=1",
              "--set", "stage.learning_rate=1e-9", "--set", "seed=4") == 0  # fmt: skip
    torch.testing.assert_close(weights(place, "b")["net.weight"], weights(place, "a")["net.weight"])
    assert go(place, "c", "--max-seconds", "2", "--set", "stage.steps=1000000", "--log-every", "1000") == 0
    steps = [json.loads((place / "c" / f / "log.jsonl").read_text().splitlines()[-1]) for f in ("first", "second")]
    assert all(row["seconds"] < 200 and row["step"] < 1_000_000 for row in steps)


def test_a_resumed_stage_gets_its_budget_anew(place: Path) -> None:
    first = ["--stage", "first", "--log-every", "1000"]
    go(place, "a", *first, "--max-seconds", "1", "--set", "stage.steps=1000000")
    state_file = max((place / "a" / "first" / "checkpoints").glob("step_*/state.json"))  # of several the last one
    state = json.loads(state_file.read_text())
    # what was used before is far more than the new budget, and that is far more than twenty steps need, so no clock
    # decides
    state_file.write_text(json.dumps({**state, "finished": False, "seconds": 10_000.0}))
    steps = state["step"] + 20
    assert go(place, "a", *first, "--max-seconds", "500", "--set", f"stage.steps={steps}", "--resume") == 0
    files = (place / "a" / "first" / "checkpoints").glob("step_*/state.json")
    later = max((json.loads(file.read_text()) for file in files), key=lambda found: int(found["step"]))
    assert later["step"] == steps and later["finished"] and later["seconds"] > 10_000


def test_a_dry_run_measures_every_stage_and_leaves_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert go(place, "x", "--dry-run", "--dry-steps", "2", "--set", "second.steps=1000000") == 0
    said = capsys.readouterr().out
    assert not (place / "x").exists() and "Stage first: 6 steps of 4 samples; 12 of 20 numbers learn" in said
    step = float(said.split("Stage second")[1].split("time: ")[1].split(" ms")[0])
    number, unit = said.split("Total: ")[1].split(";")[0].split()
    hours = float(number) * {"h": 1, "min": 1 / 60}[unit]
    assert hours == pytest.approx(step * 1e6 / 3.6e6, rel=0.2, abs=0.02)  # a million steps of what one takes
    assert "memory: " in said and "moments" in said
    go(place, "y")
    assert go(place, "y", "--dry-run", "--max-seconds", "5") == 0  # beside a finished run, which stays as it is
    assert "Total: 0." in capsys.readouterr().out
    with pytest.raises(ConfigError, match="--dry-steps"):
        go(place, "x", "--dry-run", "--dry-steps", "0")


def test_a_misspelt_term_of_the_loss_is_named() -> None:
    known = {name: Stage(name, ("net",), 1, 1, loss_weights={name: 1.0}) for name in ("pixel", "lips")}
    entry = {"name": "pixel", "loss_weights": {"lips": 2.0}}  # a term of another stage of the method
    teacher = SimpleNamespace(STAGES=known, LOSSES=("more",))
    check_losses(make_recipe({"stages": [entry]}, "a recipe").resolve(known), teacher)
    for term in ("pixle", "more"):
        stages = make_recipe({"stages": [{"name": "pixel", "loss_weights": {term: 2.0}}]}, "a recipe").resolve(known)
        with pytest.raises(ConfigError, match="no loss is called 'pixle'") if term == "pixle" else nullcontext():
            check_losses(stages, teacher)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*/*.yaml")), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_recipe_weighs_terms_that_its_method_knows(path: Path) -> None:
    recipe = read_recipe(path)
    teacher = learners.find_learner(recipe.method).part("train")
    check_losses(recipe.resolve(teacher.STAGES), teacher)


def test_an_old_run_is_not_overwritten(place: Path) -> None:
    go(place, "a")
    with pytest.raises(ConfigError, match="holds a run already"):
        go(place, "a")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (["first.speed=3"], "no setting 'speed'"),
        (["third.steps=3"], "no stage 'third'"),
        (["steps"], "is not a setting"),
        (["colour=red"], "unknown key 'colour'"),
        (["seed=-1"], "seed is -1"),
        (["seed=5000000000"], "seed is 5000000000, give a whole number from 0 to 4294967295"),
        (["poses_per_still=1000000000000"], "poses_per_still is 10+, give a whole number from 0 to 10{9}"),
        (["first.steps=1e99"], "'1e99' does not fit the setting 'steps'"),
        (["stage.batch=.inf"], "'inf' does not fit the setting 'batch'"),
        (["preset=huge"], "no preset 'huge'"),
        (["first.mix.voxceleb=1"], r"mix names \['voxceleb'\]"),
    ],
)
def test_bad_settings_are_one_clear_sentence(place: Path, settings: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        go(place, "x", *(word for text in settings for word in ("--set", text)))


def test_bad_recipes_and_options_are_one_clear_sentence(place: Path) -> None:
    for text, match in (("a: [", "not YAML"), ("3", "must be a mapping"), ("stages: one", "must be a list"),
                        ("stages: [{steps: 3}]", "needs a name"), ("stages: []", "name at least one"),
                        ("stages: [ninth]", "no stage 'ninth'")):  # fmt: skip
        (place / "toy.yaml").write_text(
            text + "\n" if text in ("a: [", "3") else f"{text}\npreset: small\nmethod: toy\n"
        )
        with pytest.raises(ConfigError, match=match):
            go(place, "x")
    with pytest.raises(ConfigError, match="cannot be read"):
        pipeline.train(place / "none.yaml")
    (place / "toy.yaml").write_text(RECIPE)
    with pytest.raises(ConfigError, match="names no data"):
        pipeline.train(place / "toy.yaml", ["--device", "cpu"])
    with pytest.raises(ConfigError, match="--max-seconds"):
        go(place, "x", "--max-seconds", "0")


def test_a_full_memory_says_what_to_lower(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(toy_train.Objective, "losses", full)
    with pytest.raises(ConfigError, match=r"in parts .*, lower it .*, or recompute activations"):
        go(place, "x")


def test_settings_reach_one_stage_or_all() -> None:
    recipe = make_recipe(yaml.safe_load(RECIPE), "here")
    changed = with_settings(recipe, ["stage.steps=2", "first.mix.rig=0.25", "groups=[rig]"])
    assert [s["steps"] for s in changed.stages] == [2, 2]
    assert changed.stages[0]["mix"] == {"still": 0.0, "rig": 0.25} and "mix" not in changed.stages[1]
    assert changed.groups == ("rig",) and recipe.stages[0]["mix"] == {"still": 0.0}
    recipe = make_recipe({**yaml.safe_load(RECIPE), "samples": {"size": 256, "codec": "lite"}}, "here")
    assert with_settings(recipe, ["samples.size=768"]).samples == {"size": 768, "codec": "lite"}
    assert recipe.samples == {"size": 256, "codec": "lite"}
    with pytest.raises(ConfigError, match="samples is 5, give a mapping"):
        with_settings(recipe, ["samples=5"])


def test_accelerate_may_ask_for_shared_weights() -> None:
    stages = [toy_train.STAGES["first"], toy_train.STAGES["second"].changed({"shard": True})]
    assert pipeline.as_launched(stages, {}) == stages
    shared = pipeline.as_launched(stages, {"ACCELERATE_USE_FSDP": "true"})
    assert [stage.shard for stage in shared] == ["weights", "moments"]
