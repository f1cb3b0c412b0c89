"""What a run leaves behind when it is killed, watched and judged: checkpoints, the best one, logs, trackers."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest
import torch
from toy import ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.core.errors import ConfigError, MissingExtraError
from vivant.training.checkpoint import BEST, latest_checkpoint, load_checkpoint, save_checkpoint
from vivant.training.loop import DivergedError, LoopOptions, Trainer

HERE = Path(__file__).parent
torch.set_num_threads(1)


def rows(out: Path, kind: str = "train") -> list[dict]:
    found = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in found if row["kind"] == kind]


def trainer(out: Path, options: LoopOptions | None = None, samples=None, validation=None, **changes) -> Trainer:
    options = options or LoopOptions(log_every=5, tracker="none")
    return Trainer(toy_modules(), None, toy_stage(**changes), ToyObjective, samples or ToySamples(), out,
                   options=options, validation=validation)  # fmt: skip


def run(out: Path, pause: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HERE / "killed_run.py"), str(out), str(pause)],
                            stderr=subprocess.DEVNULL)  # fmt: skip


def test_killed_at_random_steps_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    assert run(tmp_path / "whole", 0).wait(timeout=120) == 0
    out, killed = tmp_path / "killed", 0
    for step in (random.randint(1, 9), random.randint(10, 19), random.randint(20, 28)):
        process = run(out, 0.05)
        deadline = time.monotonic() + 100
        while process.poll() is None and time.monotonic() < deadline:
            if (out / "log.jsonl").exists() and (seen := rows(out)) and seen[-1]["step"] >= step:
                time.sleep(random.random() * 0.05)  # anywhere in a step, also while a checkpoint is written
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        killed += process.wait(timeout=20) == -signal.SIGKILL
    assert killed == 3
    assert run(out, 0).wait(timeout=120) == 0
    whole, state = load_checkpoint(latest_checkpoint(tmp_path / "whole" / "checkpoints"))
    again, other = load_checkpoint(latest_checkpoint(out / "checkpoints"))
    assert state["step"] == other["step"] == 30 and other["finished"] and state["best"] == other["best"]
    for part, tensors in whole.items():
        assert set(tensors) == set(again[part])
        assert all(torch.equal(value, again[part][name]) for name, value in tensors.items()), part
    losses = [[(row["step"], row["total"]) for row in rows(tmp_path / name)] for name in ("whole", "killed")]
    assert losses[0] == losses[1]  # every step once, nothing of what was lost


def test_the_best_checkpoint_is_kept_however_old_it_is(tmp_path: Path, monkeypatch) -> None:
    curve = iter([0.3, 0.1, 0.2, 0.15, 0.4, 0.5])
    monkeypatch.setattr(
        "vivant.training.loop.validate", lambda *given: {"pixel": (value := next(curve)), "total": value}
    )
    options = LoopOptions(log_every=5, keep=1, tracker="none")
    run = trainer(tmp_path, options, validation=ToySamples(9), steps=24, validate_every=4, checkpoint_every=4)
    run.run()
    assert [row["total"] for row in rows(tmp_path, "validation")] == [0.3, 0.1, 0.2, 0.15, 0.4, 0.5]
    best = latest_checkpoint(tmp_path / "checkpoints", BEST)
    assert best is not None and best.name == "step_00000008"
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("step_*"))
    assert kept == ["step_00000008", "step_00000024"] and load_checkpoint(best)[1]["best"] == 0.1
    assert not torch.equal(load_checkpoint(best)[0]["averaged"]["net/0.weight"],
                           run.step.average.modules["net"].state_dict()["0.weight"])  # fmt: skip
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="no validation loss 'beauty': take one of pixel, total"):
        trainer(tmp_path / "b", LoopOptions(tracker="none", best="beauty"), validation=ToySamples(9),
                validate_every=2).run()  # fmt: skip


def test_a_step_written_twice_is_never_missing(tmp_path: Path) -> None:
    parts = {name: {"x": torch.ones(1)} for name in ("modules", "averaged", "critics", "optimizer", "critic_optimizer")}
    first = save_checkpoint(tmp_path, 3, parts, {"finished": False})
    before = (first / "modules.safetensors").stat().st_ino
    assert save_checkpoint(tmp_path, 3, parts, {"finished": True}) == first
    assert (first / "modules.safetensors").stat().st_ino == before and load_checkpoint(first)[1]["finished"]


def test_all_samples_of_a_bad_batch_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"clip3.*bad_batch_\d+\.txt"):
        trainer(tmp_path, samples=ToySamples(poison=3)).run()
    listed = next(tmp_path.glob("bad_batch_*.txt")).read_text().split()
    assert len(listed) == 8 and "clip3" in listed


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_trackers_get_numbers_and_sheets_and_go_on_in_the_same_run(name: str, tmp_path: Path, monkeypatch) -> None:
    seen: dict[str, list] = {"init": [], "log": [], "finish": []}
    fake = types.ModuleType(name)
    fake.init = lambda **given: seen["init"].append(given)
    fake.log = lambda values, step: seen["log"].append((step, values))
    fake.finish = lambda: seen["finish"].append(True)
    fake.Image = lambda array: ("image", array.shape)
    monkeypatch.setitem(sys.modules, name, fake)
    options = LoopOptions(log_every=5, tracker=name)
    trainer(tmp_path / "run" / "toy", options, steps=10, sample_every=10, checkpoint_every=5).run()
    trainer(tmp_path / "run" / "toy", options, steps=15).run(resume=True)
    assert [step for step, values in seen["log"] if "train/total" in values] == [5, 10, 15]
    assert ("image", (24, 64, 3)) in [values.get("sheet") for _, values in seen["log"]]
    first, second = seen["init"]
    assert first == second and first["project"] == "vivant" and first["name"] == "run/toy" and len(seen["finish"]) == 2
    assert name == "trackio" or first["id"]


def test_trackers_that_are_not_there_are_named(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=r"vivant\[wandb\]"):
        trainer(tmp_path / "a", LoopOptions(tracker="wandb")).run()
    with pytest.raises(ConfigError, match="no tracker 'mlflow': use one of tensorboard"):
        trainer(tmp_path / "b", LoopOptions(tracker="mlflow")).run()
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.warns(UserWarning, match="TensorBoard is not installed"):
        trainer(tmp_path / "c", LoopOptions(log_every=5)).run()
    assert rows(tmp_path / "c")
