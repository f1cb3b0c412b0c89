from __future__ import annotations

import json
import os
import signal
from dataclasses import fields
from pathlib import Path

import cv2
import pytest
import torch
from toy import QuietObjective, ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.core.errors import ConfigError, WeightsError
from vivant.training.checkpoint import latest_checkpoint, load_checkpoint
from vivant.training.loop import DivergedError, LoopOptions, Trainer
from vivant.training.stage import Stage

torch.set_num_threads(1)


def trainer(out: Path, objective=ToyObjective, samples=None, norm=True, options=None, validation=None, **changes):
    return Trainer(
        toy_modules(norm), None, toy_stage(**changes), objective, samples or ToySamples(), out,
        options=options or LoopOptions(log_every=5), validation=validation,
    )  # fmt: skip


def lines(out: Path, kind: str = "train") -> list[dict]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def test_the_loss_falls_and_the_log_says_so(tmp_path: Path) -> None:
    outcome = trainer(tmp_path, steps=60).run()
    rows = lines(tmp_path)
    assert outcome.finished and outcome.step == 60
    assert [row["step"] for row in rows] == list(range(5, 65, 5))
    assert rows[-1]["total"] < 0.5 * rows[0]["total"]
    assert {"seconds", "samples_per_second", "learning_rate", "grad_norm", "pixel"} <= set(rows[0])
    assert rows[-1]["learning_rate"] < 0.1 * max(row["learning_rate"] for row in rows)


def test_a_stopped_and_resumed_run_equals_an_unstopped_one_bit_for_bit(tmp_path: Path) -> None:
    changes = {"critics_from": 0.3, "accumulate": 2, "checkpoint_every": 11}
    straight = trainer(tmp_path / "a", **changes)
    straight.run()
    first = trainer(tmp_path / "b", **changes)
    original = first._one

    def stop_at_eleven(done: float) -> None:
        original(done)
        if first.done_steps == 11:
            os.kill(os.getpid(), signal.SIGTERM)

    first._one = stop_at_eleven
    assert not first.run().finished
    second = trainer(tmp_path / "b", **changes)
    outcome = second.run(resume=True)
    assert outcome.finished and outcome.step == 20
    a, _ = load_checkpoint(latest_checkpoint(tmp_path / "a" / "checkpoints"))
    b, _ = load_checkpoint(latest_checkpoint(tmp_path / "b" / "checkpoints"))
    for part, tensors in a.items():
        assert set(tensors) == set(b[part]) and (tensors or part == "none")
        for name, value in tensors.items():
            assert torch.equal(value, b[part][name]), (part, name)


def test_frozen_modules_and_their_statistics_do_not_move(tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in toy_modules()["frozen"].state_dict().items()}
    run = trainer(tmp_path)
    run.run()
    after = run.modules["frozen"].state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert run.step.average.modules["frozen"] is run.modules["frozen"]


def test_a_submodule_can_be_trained_alone(tmp_path: Path) -> None:
    before = toy_modules()["net"].state_dict()
    run = trainer(tmp_path, trains=("net.3",))
    run.run()
    after = run.modules["net"].state_dict()
    moved = {k for k in before if not torch.equal(before[k], after[k])}
    assert moved == {"3.weight", "3.bias"}


def test_layers_learn_at_their_own_rate(tmp_path: Path) -> None:
    moved = {}
    for factor in (1.0, 0.1, 0.0):
        run = trainer(tmp_path / str(factor), norm=False, steps=1, warmup=0, rates={"net.0": factor}, weight_decay=0.0)
        before = [layer.weight.detach().clone() for layer in (run.modules["net"][0], run.modules["net"][2])]
        run.run()
        moved[factor] = [
            float((layer.weight.detach() - old).abs().max()) for layer, old in zip(run.modules["net"][::2], before)
        ]
    assert moved[0.1][0] == pytest.approx(0.1 * moved[1.0][0], rel=1e-3) and moved[0.0][0] == 0
    assert moved[1.0][1] == moved[0.1][1] == moved[0.0][1] > 0  # the rest learns as ever
    with pytest.raises(ConfigError, match="rates names 'nte'"):
        trainer(tmp_path / "misspelt", rates={"nte": 0.1})


def test_the_average_follows_the_weights(tmp_path: Path) -> None:
    run = trainer(tmp_path, steps=1, ema_decay=0.9)
    start = toy_modules()["net"].state_dict()["0.weight"]
    run.run()
    live, mean = run.modules["net"][0].weight, run.step.average.modules["net"][0].weight
    torch.testing.assert_close(mean, start + (live - start) * (1 - 0.1))
    live_mean = run.modules["net"][1].running_mean
    assert torch.equal(run.step.average.modules["net"][1].running_mean, live_mean)


def test_critics_start_when_told_and_learn(tmp_path: Path) -> None:
    run = trainer(tmp_path, critics_from=0.5)
    before = [p.clone() for p in run.objective.critics["whole"].parameters()]
    run.run()
    rows = lines(tmp_path)
    assert "adversarial" not in rows[1] and "critic_hinge" in rows[2]
    assert any(not torch.equal(a, b) for a, b in zip(before, run.objective.critics["whole"].parameters()))


def test_parts_of_a_batch_give_the_whole_batch(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "a", QuietObjective, norm=False)
    parts = trainer(tmp_path / "b", QuietObjective, norm=False, accumulate=4)
    whole.run(), parts.run()
    for a, b in zip(lines(tmp_path / "a"), lines(tmp_path / "b")):
        assert a["total"] == pytest.approx(b["total"], rel=1e-4)


def test_a_loss_that_is_not_a_number_stops_and_names_step_and_samples(tmp_path: Path) -> None:
    run = trainer(tmp_path, samples=ToySamples(poison=3))
    with pytest.raises(DivergedError, match=r"step \d+: 'pixel' is nan on the samples .*clip3"):
        run.run()
    assert latest_checkpoint(tmp_path / "checkpoints") is None


def test_losses_that_are_no_numbers_reach_no_gradient(tmp_path: Path) -> None:
    """Kernels of the CPU may crash on such gradients, as those of sampling do."""

    class Fragile(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, grad: torch.Tensor) -> torch.Tensor:
            assert grad.isfinite().all(), "a kernel that crashes"
            return grad

    class Objective(QuietObjective):
        def losses(self, batch: dict, adversarial: bool) -> tuple[dict, dict]:
            terms, aux = super().losses(batch, adversarial)
            return {name: Fragile.apply(value) * value.detach().sign() for name, value in terms.items()}, aux

    run = trainer(tmp_path, Objective, samples=ToySamples(poison=3))
    with pytest.raises(DivergedError, match=r"'pixel' is nan on the samples .*clip3"):
        run.run()


@pytest.mark.parametrize(
    ("setting", "value"), [("seconds", -3), ("warmup", -1), ("clip_norm", -1), ("weight_decay", -1)]
)
def test_numbers_that_mean_nothing_are_refused(setting: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"Stage 'toy': {setting} is"):
        toy_stage(**{setting: value})


def test_the_time_budget_ends_the_stage_and_its_schedule(tmp_path: Path) -> None:
    options = LoopOptions(log_every=5, seconds=1.0)
    run = trainer(tmp_path, options=options, steps=100_000)
    outcome = run.run()
    assert outcome.finished and 1 < outcome.step < 100_000
    rates = [row["learning_rate"] for row in lines(tmp_path)]
    assert rates[-1] < 0.6 * max(rates)


def test_looking_at_a_run_does_not_change_it(tmp_path: Path) -> None:
    plain = trainer(tmp_path / "a")
    looked = trainer(tmp_path / "b", validation=ToySamples(9), sample_every=4, validate_every=3)
    plain.run(), looked.run()
    for a, b in zip(plain.modules["net"].parameters(), looked.modules["net"].parameters()):
        assert torch.equal(a, b)
    assert [row["step"] for row in lines(tmp_path / "b", "validation")] == [3, 6, 9, 12, 15, 18]
    sheet = cv2.imread(str(tmp_path / "b" / "sheets" / "00000004.jpg"))
    assert sheet.shape == (3 * 8, 8 * 8, 3)


def test_old_checkpoints_go_and_the_newest_is_named(tmp_path: Path) -> None:
    options = LoopOptions(log_every=5, keep=2)
    trainer(tmp_path, options=options, checkpoint_every=5).run()
    folder = tmp_path / "checkpoints"
    assert sorted(p.name for p in folder.glob("step_*")) == ["step_00000015", "step_00000020"]
    assert latest_checkpoint(folder).name == "step_00000020"


def test_half_precision_trains(tmp_path: Path) -> None:
    options = LoopOptions(precision="bf16", log_every=5)
    trainer(tmp_path, options=options, steps=40).run()
    rows = lines(tmp_path)
    assert rows[-1]["total"] < rows[0]["total"]


def test_bad_input_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="trains 'nett'"):
        trainer(tmp_path, trains=("nett",))
    with pytest.raises(ConfigError, match="precision 'fp8'"):
        trainer(tmp_path, options=LoopOptions(precision="fp8"))
    with pytest.raises(ConfigError, match="has no setting 'speed'"):
        toy_stage(speed=3)
    with pytest.raises(ConfigError, match="batch 7 does not divide"):
        toy_stage(batch=7, accumulate=2)
    with pytest.raises(ConfigError, match="does not fit the setting 'steps'"):
        toy_stage(steps="many")


@pytest.mark.parametrize(
    "value", [1e99, "1e99", 10**400, float("inf"), float("nan"), 2.5, True, None, [3], "x" * 200, 10**9 + 1]
)
@pytest.mark.parametrize("key", [item.name for item in fields(Stage) if item.type == "int"])
def test_counts_that_are_none_are_refused(key: str, value: object) -> None:
    said = rf"^Stage 'toy': '.{{1,60}}' does not fit the setting '{key}' \(now \d+\): give a whole number up to 10{{9}}"
    with pytest.raises(ConfigError, match=said):
        toy_stage(**{key: value})


def test_counts_may_be_written_as_people_do() -> None:
    for value in (12, 12.0, "12", "1.2e1"):
        assert toy_stage(steps=value).steps == 12


@pytest.mark.parametrize(
    "values",
    [
        {"learning_rate": "inf"}, {"clip_norm": float("nan")}, {"weight_decay": float("nan")},
        {"betas": [0.9, float("inf")]}, {"seconds": float("inf")},
        {"loss_weights": {"simple": float("nan")}}, {"mix": {"rig": float("inf")}},
    ],
)  # fmt: skip
def test_numbers_that_are_not_finite_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="give numbers that are finite"):
        toy_stage(**values)


def test_a_checkpoint_of_another_model_or_stage_is_refused(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    with pytest.raises(WeightsError, match="does not fit the modules"):
        trainer(tmp_path, norm=False).run(resume=True)
    with pytest.raises(ConfigError, match="belongs to stage 'toy'"):
        trainer(tmp_path, name="other").run(resume=True)
    (latest_checkpoint(tmp_path / "checkpoints") / "modules.safetensors").write_bytes(b"short")
    with pytest.raises(WeightsError, match="cannot be read"):
        trainer(tmp_path).run(resume=True)


def test_without_an_average_the_live_weights_are_the_result(tmp_path: Path) -> None:
    """No second copy is kept then, as large nets need it."""
    trainer = Trainer(toy_modules(), None, toy_stage(ema_decay=0.0, steps=3), QuietObjective, ToySamples(), tmp_path)
    before = {name: value.clone() for name, value in trainer.modules["net"].state_dict().items()}
    outcome = trainer.run()
    assert outcome.modules["net"] is trainer.modules["net"]
    assert any(not torch.equal(value, before[name]) for name, value in outcome.modules["net"].state_dict().items())
