"""The group norm that may learn behind frozen layers on a CPU."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vivant
from vivant.nn.group_norm import GroupNorm

# In a process of its own: without the mend torch ends it with a segmentation fault.
FROZEN_BELOW = """
import sys, torch
from vivant.nn.temporal import TemporalTransformer

motion = TemporalTransformer(32, heads=2, groups=8, positions=4)
torch.nn.init.normal_(motion.proj_out.weight)
frozen = torch.nn.Conv2d(3, 32, 3, padding=1).requires_grad_(False)
pictures = torch.randn(4, 3, 8, 8)
frozen, pictures = (x.to(memory_format=torch.channels_last) for x in (frozen, pictures))
with torch.autocast("cpu", torch.bfloat16, enabled=sys.argv[1] == "bfloat16"):
    seen = frozen(pictures)
    assert seen.is_contiguous(memory_format=torch.channels_last) and not seen.requires_grad
    motion(seen, 4).float().square().sum().backward()
assert motion.norm.weight.grad.abs().sum() > 0
print("learned")
"""


@pytest.mark.parametrize("precision", ["bfloat16", "float32"])
def test_a_norm_learns_behind_frozen_layers_whose_maps_have_channels_last(precision: str) -> None:
    done = subprocess.run([sys.executable, "-c", FROZEN_BELOW, precision], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout.strip() == "learned"


def test_the_numbers_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours, theirs = GroupNorm(4, 8), torch.nn.GroupNorm(4, 8)
    x = torch.randn(2, 8, 5, 6)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    found, expected = ours(x), theirs(x)
    assert torch.equal(found, expected)
    found.square().sum().backward()
    expected.square().sum().backward()
    for mine, other in zip(ours.parameters(), theirs.parameters()):
        assert torch.equal(mine.grad, other.grad)
    assert x.grad is None and not x.requires_grad
    assert not ours.requires_grad_(False)(x).requires_grad  # nothing learns: nothing to remember


def test_no_net_builds_the_norm_of_torch_itself() -> None:
    files = [file for file in Path(vivant.__file__).parent.rglob("*.py") if file.name != "group_norm.py"]
    assert [str(file) for file in files if "nn.GroupNorm" in file.read_text()] == []


def test_tokens_are_normed_as_maps_are() -> None:
    torch.manual_seed(0)
    norm = GroupNorm(4, 24)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    maps = (3 * torch.randn(2, 24, 5, 6) + torch.randn(24, 1, 1)).requires_grad_()
    tokens = maps.detach().flatten(2).transpose(1, 2).contiguous().requires_grad_()
    expected, found = norm(maps), norm.tokens(tokens)
    assert found.is_contiguous() and torch.allclose(found, expected.flatten(2).transpose(1, 2), atol=1e-5)
    weights = torch.randn(2, 30, 24)
    (expected.flatten(2).transpose(1, 2) * weights).sum().backward()
    expected_of = [parameter.grad.clone() for parameter in norm.parameters()]
    norm.zero_grad()
    (found * weights).sum().backward()
    assert torch.allclose(tokens.grad, maps.grad.flatten(2).transpose(1, 2), atol=1e-4)
    for parameter, wanted in zip(norm.parameters(), expected_of):
        assert torch.allclose(parameter.grad, wanted, atol=1e-4)
    same = torch.ones(1, 30, 24, requires_grad=True)  # no spread
    norm.tokens(same).sum().backward()
    assert torch.isfinite(same.grad).all()
