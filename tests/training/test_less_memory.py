"""Ways to train with less memory: activations computed again, moments of 8 bits."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import ToyObjective, ToySamples, toy_stage

from vivant.core.errors import ConfigError, MissingExtraError
from vivant.nn.spectral import SpectralConv2d
from vivant.training.checkpoint import latest_checkpoint, load_checkpoint
from vivant.training.loop import LoopOptions, Trainer
from vivant.training.recompute import find_blocks, recomputed

torch.set_num_threads(1)


class Net(nn.Module):
    """Blocks with everything that a second forward pass could spoil: statistics, singular vectors, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(SpectralConv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.2)) for _ in range(3)
        )
        self.last = nn.Conv2d(8, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


def modules(width: int = 0) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    net: nn.Module = Net()
    if width:
        net = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 3, 3, padding=1))
    return {"net": net, "frozen": nn.Identity()}


def run(out: Path, nets: dict[str, nn.Module], resume: bool = False, **changes) -> Trainer:
    trainer = Trainer(nets, None, toy_stage(**changes), ToyObjective, ToySamples(), out,
                      options=LoopOptions(log_every=5, tracker="none"))  # fmt: skip
    trainer.run(resume)
    return trainer


def test_computing_activations_again_changes_nothing(tmp_path: Path) -> None:
    plain = run(tmp_path / "a", modules(), steps=8, accumulate=2)
    again = run(tmp_path / "b", modules(), steps=8, accumulate=2, recompute=["net.blocks.*"])
    assert (tmp_path / "a" / "log.jsonl").read_text().count("\n") == 2
    for (key, one), two in zip(plain.modules["net"].state_dict().items(), again.modules["net"].state_dict().values()):
        assert torch.equal(one, two), key
    assert all("forward" not in vars(block) for block in again.modules["net"].blocks)


def kept_bytes(nets: dict[str, nn.Module], patterns: list[str]) -> int:
    """Bytes that the forward pass keeps for the backward pass."""
    total = 0

    def pack(x: torch.Tensor) -> torch.Tensor:
        nonlocal total
        total += x.numel() * x.element_size()
        return x

    x = torch.rand(2, 3, 32, 32)
    with recomputed(find_blocks(nets, patterns)), torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        nets["net"](x).mean()
    return total


def test_activations_of_blocks_are_not_kept() -> None:
    assert kept_bytes(modules(), ["net.blocks.*"]) < 0.6 * kept_bytes(modules(), [])


def test_blocks_are_found_by_name_the_outermost_first() -> None:
    nets = modules()
    assert list(find_blocks(nets, ["net.blocks*"])) == ["net.blocks.0", "net.blocks.1", "net.blocks.2"]
    assert list(find_blocks(nets, ["net.*.0", "net.blocks.1"])) == ["net.blocks.0", "net.blocks.1", "net.blocks.2.0"]
    with pytest.raises(ConfigError, match=r"No block that learns is called 'net\.tail\*'"):
        find_blocks(nets, ["net.tail*"])


def test_moments_of_eight_bits_learn_resume_exactly_and_are_small(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    whole = run(tmp_path / "a", modules(192), steps=30, optimizer="adamw8bit", checkpoint_every=15)
    run(tmp_path / "b", modules(192), steps=30, optimizer="adamw8bit", checkpoint_every=15)
    folder = tmp_path / "b" / "checkpoints"
    (folder / "latest").write_text("step_00000015")
    again = run(tmp_path / "b", modules(192), True, steps=30, optimizer="adamw8bit", checkpoint_every=15)
    assert whole.done_steps == again.done_steps == 30
    for key, value in whole.modules["net"].state_dict().items():
        assert torch.equal(value, again.modules["net"].state_dict()[key]), key
    exact = run(tmp_path / "c", modules(192), steps=30)
    moments = [load_checkpoint(latest_checkpoint(tmp_path / n / "checkpoints"))[0]["optimizer"] for n in ("a", "c")]
    small, large = (sum(v.numel() * v.element_size() for k, v in m.items() if "net/0.weight" in k) for m in moments)
    assert small < 0.5 * large  # two bytes instead of eight a number, and tables that larger tensors do not notice
    last = [row.splitlines()[-1] for row in ((tmp_path / n / "log.jsonl").read_text() for n in ("a", "c"))]
    totals = [float(line.split('"total": ')[1].split(",")[0]) for line in last]
    assert totals[0] == pytest.approx(totals[1], rel=0.1) and exact.done_steps == 30


def test_what_does_not_go_together_is_said(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ConfigError, match="no optimizer 'sgd'"):
        toy_stage(optimizer="sgd")
    with pytest.raises(ConfigError, match="shard needs the optimizer adamw"):
        toy_stage(optimizer="adamw8bit", shard=True)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingExtraError, match=r"vivant\[adam8bit\]"):
        run(tmp_path, modules(), optimizer="adamw8bit")
