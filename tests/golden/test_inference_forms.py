"""The folded and fused inference forms give the numbers of the plain nets; spectral norm and blocks by definition."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from golden import fill, rand, randn
from torch import nn

from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.model import build_modules, optimize_for_inference
from vivant.nn.fold import UpsampledConv2d, fold_norms
from vivant.nn.spectral import SpectralConv2d
from vivant.pipelines.devices import has_native_bf16

computes_in_bf16 = pytest.mark.skipif(
    not has_native_bf16(), reason="without bf16 instructions these nets take minutes in bf16"
)


def relative(found, want):
    return ((found - want).abs().max() / want.abs().max()).item()


@pytest.fixture(scope="module")
def tiny():
    return {name: fill(module) for name, module in build_modules(PRESETS["tiny-published"]).items()}


def tiny_outputs(modules, batch=2):
    with torch.inference_mode():
        features = modules["appearance_feature_extractor"](rand(101, 1, 3, 128, 128))
        source = 0.3 * randn(1, 1, 21, 3)
        driving = source + 0.05 * randn(2, 2, 21, 3)[:batch]
        warped = modules["warping_module"](features, source.expand_as(driving), driving)
        return {"features": features, **warped, "image": modules["spade_generator"](warped["out"])}


def test_fast_equals_plain(tiny):
    plain, fast = tiny_outputs(tiny), tiny_outputs(optimize_for_inference(tiny))
    for key, want in plain.items():
        assert relative(fast[key], want) < 1e-4, key


def test_originals_stay_trainable_and_unchanged(tiny):
    before = {name: set(module.state_dict()) for name, module in tiny.items()}
    fast = optimize_for_inference(tiny)
    assert {name: set(module.state_dict()) for name, module in tiny.items()} == before
    assert all(p.requires_grad for module in tiny.values() for p in module.parameters())
    assert not any(p.requires_grad for module in fast.values() for p in module.parameters())


@computes_in_bf16
def test_half_precision_follows_full(tiny):
    fast = {name: module.bfloat16() for name, module in optimize_for_inference(tiny).items()}
    with torch.inference_mode():
        source = 0.3 * randn(1, 1, 21, 3)
        volume = fast["appearance_feature_extractor"](rand(101, 1, 3, 128, 128).bfloat16())
        found = fast["warping_module"](volume, source, source)
        assert found["out"].dtype == torch.bfloat16 and found["deformation"].dtype == torch.float32
        assert torch.isfinite(fast["spade_generator"](found["out"]).float()).all()


def test_no_norm_that_follows_a_convolution_is_left(tiny):
    fast = optimize_for_inference(tiny)
    assert not [m for m in fast["warping_module"].modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert not [m for m in fast["spade_generator"].modules() if isinstance(m, SpectralConv2d)]


def test_one_portrait_serves_a_batch_of_motions(tiny):
    both = tiny_outputs(tiny)
    alone = tiny_outputs(tiny, batch=1)
    assert both["image"].shape == (2, 3, 256, 256)
    assert relative(both["image"][:1], alone["image"]) < 1e-4


def test_only_norms_behind_a_convolution_are_folded():
    net = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.BatchNorm2d(4))
    net = fill(net)
    fast, x = copy.deepcopy(net), randn(1, 2, 3, 8, 8)
    fold_norms(fast)
    assert isinstance(fast[1], nn.Identity) and isinstance(fast[3], nn.BatchNorm2d)
    assert torch.allclose(fast(x), net(x), atol=1e-5)


@pytest.mark.parametrize("zoom", [2, 3, 4])
def test_upsampled_convolution(zoom):
    conv, x = nn.Conv2d(3, 5, 3, padding=1), randn(1, 2, 3, 6, 7)
    want = conv(F.interpolate(x, scale_factor=zoom, mode="nearest"))
    assert torch.allclose(UpsampledConv2d(conv, zoom)(x), want, atol=1e-5)


def test_spectral_convolution_learns_its_norm_and_keeps_it_in_evaluation():
    conv, x = SpectralConv2d(6, 5, 3), randn(1, 2, 6, 8, 8)
    with torch.no_grad():
        conv.weight_orig.mul_(7)
    for _ in range(60):
        conv(x)
    largest = torch.linalg.matrix_norm(conv.normalised_weight().flatten(1), ord=2)
    assert largest.item() == pytest.approx(1, abs=1e-2)
    conv.eval()
    before = conv.weight_u.clone()
    assert torch.allclose(conv(x), conv.folded()(x), atol=1e-5) and torch.equal(conv.weight_u, before)
    assert set(conv.state_dict()) == {"weight_orig", "bias", "weight_u", "weight_v"}
    copy.deepcopy(conv.train())(x).sum().backward()


def test_published_nets_train(tiny):
    modules = {name: copy.deepcopy(module).train() for name, module in tiny.items()}
    image = rand(101, 2, 3, 128, 128)
    motion = modules["motion_extractor"](image)
    points = motion["kp"].unflatten(1, (21, 3)) + motion["exp"].unflatten(1, (21, 3))
    features = modules["appearance_feature_extractor"](image)
    warped = modules["warping_module"](features, points, points.flip(0))
    modules["spade_generator"](warped["out"]).mean().backward()
    for name in ("appearance_feature_extractor", "warping_module", "spade_generator"):
        idle = [key for key, p in modules[name].named_parameters() if p.grad is None]
        assert not idle, idle
    assert modules["motion_extractor"].detector.fc_kp.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_spectral_weights_stay_in_full_precision_under_autocast(kind, training):
    conv, x = SpectralConv2d(6, 5, 3).train(training), randn(1, 2, 6, 8, 8)
    plain = copy.deepcopy(conv)
    want = plain(x)
    with torch.autocast("cpu", dtype=kind):
        found, weight = conv(x), conv.normalised_weight()
    assert found.dtype == kind and weight.dtype == torch.float32
    assert torch.equal(weight, plain.normalised_weight()) and torch.equal(conv.weight_u, plain.weight_u)
    assert relative(found.float(), want) < 0.02
    found.float().sum().backward()
    assert conv.weight_orig.grad.dtype == torch.float32


@computes_in_bf16
def test_plain_nets_run_under_autocast(tiny):
    """Training keeps the nets unfolded and computes in bfloat16."""
    want = tiny_outputs(tiny)["image"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = tiny_outputs(tiny)["image"]
    assert (found.float() - want).abs().mean() < 0.01  # of pictures in 0..1
