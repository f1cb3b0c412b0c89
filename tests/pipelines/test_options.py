"""Options: built from the method's dataclasses, every name and range checked."""

from dataclasses import fields

import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.core.registry import all_methods, get_method
from vivant.pipelines.inputs import as_fps
from vivant.pipelines.load import load
from vivant.pipelines.options import MOST_SEED, build_options, strength_field, strength_of
from vivant.pipelines.progress import spans

SPEC = get_method()


def test_values_sliders_and_strengths_reach_their_fields():
    options = build_options(
        SPEC, {"driving_option": "pose-friendly", "region": "lips", "batch": 2}, {"wink": 39}, {"motion": 1.5}
    )
    assert (options.driving, options.region, options.batch) == ("pose-friendly", "lips", 2)
    assert options.sliders.wink == 39 and options.multiplier == 1.5


@pytest.mark.parametrize(
    "values, sliders, strength",
    [
        ({"regoin": "all"}, {}, {}),
        ({"region": "ears"}, {}, {}),
        ({"relative": "yes"}, {}, {}),
        ({"smoothing": float("inf")}, {}, {}),
        ({"batch": 0}, {}, {}),
        ({}, {"yaw": 26}, {}),
        ({}, {"eyes_ratio": -0.1}, {}),
        ({}, {}, {"audio": 1.0}),
    ],
)
def test_nonsense_is_refused(values, sliders, strength):
    with pytest.raises(ConfigError):
        build_options(SPEC, values, sliders, strength)


@pytest.mark.parametrize("value", [1e99, 10**99, float("inf"), float("nan"), 2.5, True, "1e400", [2], None])
@pytest.mark.parametrize(
    ("method", "name"), [("live-portrait", "batch"), ("v-express", "window"), ("v-express", "seed")]
)
def test_counts_that_are_none_are_refused(method, name, value):
    if (name, value) == ("window", None):  # the preset's own
        return
    with pytest.raises(
        ConfigError, match=r"^The option '[a-z_]+' (needs a whole number, not .{1,60}|is .{1,60}: give.*)\.$"
    ):
        build_options(get_method(method), {name: value})


def test_counts_and_seeds_may_be_written_as_people_do():
    spec = get_method("v-express")
    options = build_options(spec, {"window": 8.0, "batch": "2", "seed": 0})
    assert (options.window, options.batch, options.seed) == (8, 2, 0)
    assert build_options(spec, {"seed": MOST_SEED}).seed == MOST_SEED


@pytest.mark.parametrize("spec", all_methods().values(), ids=lambda spec: spec.name)
def test_where_several_things_can_drive_every_strength_says_which_it_acts_on(spec):
    options = {item.name for item in fields(spec.part("config").Options)}
    takes = spec.capabilities
    assert all(getattr(takes, control) for control in spec.acts_on.values())
    assert spec.acts_on.keys() <= options
    tied = {name for name in spec.acts_on if strength_of(spec, name) is not None}
    strengths = {name for name in options if name.startswith("strength_")} | set(map(strength_field, spec.strengths))
    assert tied == (strengths if takes.driving + takes.audio + takes.sliders > 1 else set())


@pytest.mark.parametrize("seed", [-1, MOST_SEED + 1, 10**30, 1.5, True, "7"])
def test_seeds_that_no_generator_takes_are_refused(seed):
    spec = get_method("diffused-heads")
    with pytest.raises(ConfigError, match="from 0 to 4294967295"):
        build_options(spec, seed=seed)
    with pytest.raises(ConfigError, match="from 0 to 4294967295"):
        load("diffused-heads", preset="tiny", device="cpu", seed=seed)
    assert build_options(spec, seed=MOST_SEED).seed == MOST_SEED


def test_frame_rates():
    assert as_fps(None) is None
    assert str(as_fps("30000/1001")) == str(as_fps(29.97)) == "30000/1001"
    assert as_fps(25) == 25


def test_spans():
    assert spans([3, 4, 5, 12]) == "3-5, 12"
    assert spans(range(0, 40, 2)).endswith("14 and 12 more")


def test_a_gpu_too_small_for_the_nets_is_one_sentence(monkeypatch):
    def full(*_, **__):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("vivant.methods.v_express.generate.Generator", full)
    with pytest.raises(ConfigError, match=r"does not hold v-express .*--dtype fp16 or bf16"):
        load("v-express", preset="tiny")
