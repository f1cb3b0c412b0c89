"""Low-rank additions are merged where their names say, and refused where they do not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from vivant.core.errors import WeightsError
from vivant.nn.unet_blocks import UNetConfig
from vivant.nn.video_unet import VideoUNet
from vivant.weights.lora import merge_lora


@pytest.fixture(scope="module")
def unet():
    torch.manual_seed(0)
    return VideoUNet(UNetConfig(4, (16, 24), (True, False), 1, 2, 12, 4, reference="cross"))


PATH = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def pair(rank=2, rows=24, columns=24):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rank, columns, generator=generator), torch.randn(rows, rank, generator=generator)


@pytest.mark.parametrize("style", ["kohya", "peft"])
def test_a_layer_changes_by_alpha_over_rank_times_the_product(unet, style):
    net, (down, up) = copy.deepcopy(unet), pair()
    if style == "kohya":
        name = "lora_unet_" + PATH.replace(".", "_")
        state = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up, f"{name}.alpha": torch.tensor(4.0)}
        factor = 2.0
    else:
        state, factor = {f"unet.{PATH}.lora_A.weight": down, f"unet.{PATH}.lora_B.weight": up}, 1.0
    state["lora_te_text_model.lora_down.weight"] = down
    assert merge_lora(net, state, "x.safetensors", strength=0.5) == 1
    changed = net.get_submodule(PATH).weight - unet.get_submodule(PATH).weight
    assert torch.allclose(changed, 0.5 * factor * up @ down, atol=1e-5)
    others = [k for k, v in net.state_dict().items() if not torch.equal(v, unet.state_dict()[k])]
    assert others == [f"{PATH}.weight"]


def test_convolutions_change_too(unet):
    net, name = copy.deepcopy(unet), "lora_unet_mid_block_resnets_0_conv1"
    down, up = torch.randn(2, 24, 3, 3), torch.randn(24, 2, 1, 1)
    merge_lora(net, {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}, "x")
    before, after = (each.get_submodule("mid_block.resnets.0.conv1").weight for each in (unet, net))
    want = torch.einsum("or,ricd->oicd", up.flatten(1), down)  # the second of two convolutions is 1x1
    assert torch.allclose(after - before, want, atol=1e-5)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (
            {"lora_unet_none.lora_down.weight": torch.ones(1, 4)},
            r"1 layers that the net does not have \(lora_unet_none\)",
        ),
        ({"weight": torch.ones(1)}, "holds no LoRA"),
        ({f"unet.{PATH}.lora_A.weight": torch.ones(1, 24)}, "lora_B"),
        (
            {f"unet.{PATH}.lora_A.weight": torch.ones(1, 8), f"unet.{PATH}.lora_B.weight": torch.ones(24, 1)},
            "does not fit the layer",
        ),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_changes(unet, state, message):
    net: nn.Module = copy.deepcopy(unet)
    with pytest.raises(WeightsError, match=message):
        merge_lora(net, state, "x.safetensors")
    assert all(torch.equal(value, unet.state_dict()[key]) for key, value in net.state_dict().items())
