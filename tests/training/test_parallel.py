from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import ToyObjective, ToySamples, toy_modules, toy_stage

from vivant.training import parallel
from vivant.training.checkpoint import latest_checkpoint, load_checkpoint
from vivant.training.features import PerceptualDistance
from vivant.training.loop import LoopOptions, Trainer
from vivant.training.shared_norm import share_norms

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row["total"] for row in rows if row["kind"] == "train"]


def start(out: Path, what: str) -> list[subprocess.Popen[bytes]]:
    """Both processes."""
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    command = [sys.executable, str(HERE / "two_processes.py"), str(out), what]
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    return [subprocess.Popen(command, env={**common, **rank}, stderr=subprocess.DEVNULL) for rank in ranks]


@pytest.mark.parametrize("shard", ["", "moments", "weights"])
def test_two_processes_learn_what_one_learns(tmp_path: Path, shard: str) -> None:
    torch.set_num_threads(1)
    one = Trainer(
        toy_modules(), None, toy_stage(critics_from=0.5, accumulate=2), ToyObjective, ToySamples(), tmp_path / "one",
        options=LoopOptions(log_every=5),
    )  # fmt: skip
    average = one.run().modules["net"]
    both = tmp_path / "two"
    both.mkdir()
    assert [process.wait(timeout=120) for process in start(both, shard)] == [0, 0]
    weights = [torch.load(both / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    for name, value in average.state_dict().items():
        assert torch.equal(weights[0][name], weights[1][name])
        torch.testing.assert_close(weights[0][name], value, atol=2e-5, rtol=1e-4)
    moments = [
        load_checkpoint(latest_checkpoint(tmp_path / name / "checkpoints"))[0]["optimizer"] for name in ("one", "two")
    ]
    assert set(moments[0]) == set(moments[1])
    for name, value in moments[0].items():  # also where each process kept only its share
        torch.testing.assert_close(moments[1][name].reshape(value.shape), value, atol=2e-5, rtol=1e-3)
    if shard == "weights":  # checkpoints hold whole tensors, so one process may go on
        (both / "checkpoints" / "latest").write_text("step_00000010")
        log = losses(both)
        stage, options = toy_stage(critics_from=0.5, accumulate=2), LoopOptions(log_every=5)
        go_on = Trainer(toy_modules(), None, stage, ToyObjective, ToySamples(), both, options=options)
        found = go_on.run(resume=True).modules["net"].state_dict()
        for name, value in average.state_dict().items():
            torch.testing.assert_close(found[name], value, atol=2e-5, rtol=1e-4)
        assert losses(both) == pytest.approx(log, rel=1e-5)
    # noise, batch norms and parts of the batch are those of one process, so the curves are, too
    assert losses(both) == pytest.approx(losses(tmp_path / "one"), rel=1e-5)


def test_losses_and_neighbours_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    """Pictures of very different contrast: a divisor of each process's own would tell."""
    generator = torch.Generator().manual_seed(0)
    contrast = torch.tensor([0.05, 0.1, 0.9, 1.0]).view(4, 1, 1, 1)
    ours, theirs = (torch.rand(4, 3, 64, 64, generator=generator) * contrast for _ in range(2))
    torch.save({"ours": ours, "theirs": theirs}, tmp_path / "images.pt")
    assert [process.wait(timeout=120) for process in start(tmp_path, "whole")] == [0, 0]
    found = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2)]
    whole = PerceptualDistance(torch.device("cpu"))(ours, theirs)
    assert float(sum(part["loss"] for part in found) / 2) == pytest.approx(float(whole), rel=1e-6)
    assert torch.equal(torch.cat([part["rows"] for part in found]), ours.roll(1, 0))


def test_a_bad_batch_of_one_process_stops_both_and_is_named(tmp_path: Path) -> None:
    assert all(process.wait(timeout=60) for process in start(tmp_path, "poison"))
    names = next(tmp_path.glob("bad_batch_*.txt")).read_text().split()
    assert len(names) == 8 and "clip3" in names  # of the whole batch, wherever it was


def test_no_process_goes_back_through_a_loss_that_is_no_number_anywhere(tmp_path: Path) -> None:
    assert [process.wait(timeout=60) for process in start(tmp_path, "lost")] == [0, 0]
    assert [(tmp_path / f"rank{rank}.txt").read_text() for rank in range(2)] == ["0 True", "0 True"]


def test_alone_nothing_is_shared() -> None:
    assert (parallel.rank(), parallel.world()) == (0, 1)
    assert parallel.agree(2.5, True, torch.device("cpu")) == (2.5, True)
    assert parallel.start(torch.device("cpu")) == torch.device("cpu")


def test_batch_norms_on_gpus_are_the_fused_ones_and_keep_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vivant.training.parallel.world", lambda: 2)
    for device, fused in (("cuda", True), ("cpu", False)):
        nets = nn.ModuleList([nn.BatchNorm1d(4), nn.BatchNorm2d(4), nn.BatchNorm3d(4), nn.BatchNorm2d(4).eval()])
        names = list(nets.state_dict())
        share_norms(nets, torch.device(device))
        assert [isinstance(net, nn.SyncBatchNorm) for net in nets] == [fused] * 3 + [False]
        assert all(isinstance(net, kind) for net, kind in zip(nets, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)))
        assert type(nets[3]) is nn.BatchNorm2d and list(nets.state_dict()) == names
