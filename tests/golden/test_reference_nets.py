"""V-Express and Animate Anyone in published size: key names, shapes, and the golden values that fit a test's time.

``python tests/golden/reference_nets.py`` compares all of them.
"""

from __future__ import annotations

import json

import pytest
import torch
from reference_nets import DATA, NETS, built, error, filled, given

from vivant.nn.reference_unet import ReferenceUNet

SHAPES = json.loads((DATA / "reference_nets.shapes.json").read_text())
BOUND = 1e-5


def shapes(name):
    with torch.device("meta"):
        return {key: list(value.shape) for key, value in NETS[name]().state_dict().items()}


@pytest.mark.parametrize("name", SHAPES)
def test_keys_and_shapes_equal_the_published_files(name):
    assert shapes(name) == SHAPES[name]


@pytest.mark.parametrize("family", ["v_express", "animate_anyone"])
def test_motion_modules_only_add_keys(family):
    whole = SHAPES[f"{family}.denoising_unet_with_motion"]
    assert shapes(f"{family}.denoising_unet") == {k: v for k, v in whole.items() if "motion_modules" not in k}


@pytest.mark.parametrize(
    ("family", "net", "tag"), [("v_express", "v_kps_guider", "kps"), ("animate_anyone", "pose_guider", "pose")]
)
def test_golden_guider(family, net, tag):
    with torch.inference_mode():
        assert error(family, f"{net}({tag})", built(f"{family}.{net}")(given(family, tag))) < BOUND


def test_golden_audio_projection():
    with torch.inference_mode():
        found = built("v_express.audio_projection")(given("v_express", "audio"))
    assert error("v_express", "audio_projection(audio)", found) < BOUND


@pytest.mark.parametrize(
    ("family", "net", "token"),
    [("v_express", "reference_net", None), ("animate_anyone", "reference_unet", "clip_embed")],
)
def test_golden_reference_tokens_of_the_first_block(family, net, token):
    """Only what runs before the first tap is given weights; the rest of the 860 million numbers stays unmade."""
    with torch.device("meta"):
        whole = NETS[f"{family}.{net}"]()
    assert isinstance(whole, ReferenceUNet)
    first = torch.nn.ModuleDict()
    first.conv_in, first.time_embedding = whole.conv_in, whole.time_embedding
    first.down_blocks = torch.nn.ModuleList([whole.down_blocks[0]])
    first.down_blocks[0].downsamplers = None
    filled(first)
    from vivant.nn.unet_blocks import Reading

    path = "down_blocks.0.attentions.0"
    with torch.inference_mode():
        time = whole.time_embedding(torch.zeros(1))
        attention = whole.transformer(path).block.attn2
        vector = attention.bias if token is None else attention.single(given(family, token))
        run = Reading(time, whole.tap, {path: vector}, {}, "")
        whole.down_blocks[0].read(0, whole.conv_in(given(family, "reference_latent")), run)
    assert error(family, f"reference bank {path}.transformer_blocks.0", run.found[path]) < BOUND
