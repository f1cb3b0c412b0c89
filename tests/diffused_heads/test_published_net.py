"""Published layouts, golden values, and the checkpoints as they were published."""

from dataclasses import replace

import pytest
import torch
from nets import GOLDEN, SHAPES, error, fill, gen

from vivant.core.errors import WeightsError
from vivant.diffusion.losses import variational_bound
from vivant.diffusion.schedule import cosine
from vivant.methods.diffused_heads.audio import WindowEncoder
from vivant.methods.diffused_heads.config import Config
from vivant.methods.diffused_heads.published import ScriptedEncoder, read_unet, sizes_of
from vivant.methods.diffused_heads.train import lip_loss
from vivant.methods.diffused_heads.unet import UNet
from vivant.methods.diffused_heads.weights import convert, load_modules

LAYOUTS = {
    "crema_attn32": Config(),
    "crema_midonly": Config(attention="middle"),
    "gray_attn32": Config(grey_motion=True),
}
BOUND = 2e-5
SMALL = Config(image_size=32, width=32, multipliers=(1, 1, 2), blocks=2, audio_width=256)


@pytest.mark.parametrize("name", LAYOUTS)
def test_keys_and_shapes_are_the_published_ones_and_are_recognised(name):
    with torch.device("meta"):
        state = UNet(LAYOUTS[name]).state_dict()
    ours = {key: list(value.shape) for key, value in state.items()}
    assert ours == SHAPES[name] and list(ours) == list(SHAPES[name])
    assert sizes_of(state, {}, Config(), "here") == LAYOUTS[name]


@torch.no_grad()
def test_golden_values_of_the_net_and_the_losses():
    with torch.device("meta"):
        net = UNet(Config())
    net = fill(net.to_empty(device="cpu"))
    t = torch.tensor([7, 993])
    x, motion, identity, audio = (
        gen("x_t", (2, 3, 32, 32)), gen("motion_frames", (2, 6, 32, 32)), gen("x_cond", (2, 3, 32, 32)),
        gen("audio_emb", (2, 5, 256)),
    )  # fmt: skip
    assert error("time_embed([7,993])", net.time_embed(t)) < BOUND
    assert error("audio_embed(audio_emb)", net.audio_embed(audio.flatten(1))) < BOUND
    first = net.input_blocks[0][0](torch.cat([x, motion, identity], 1))
    assert error("input_blocks.0 (channels: x_t, motion, identity)", first) < BOUND
    assert error("unet(x_t, t=[7,993], identity, motion, audio)", net(x, t, motion, identity, audio)) < BOUND

    golden = next(value for key, value in GOLDEN.items() if key.startswith("losses"))
    clean, noise, t = gen("x0", (2, 3, 32, 32)).clamp(-1, 1), gen("eps", (2, 3, 32, 32)), torch.tensor([0, 500])
    schedule = cosine(dtype=torch.float32)
    noisy = schedule.add_noise(clean, noise, t)
    answer, variance = net(noisy, t, motion, identity, audio).chunk(2, 1)
    square = (answer - noise).square()
    boxes = torch.tensor([[10.2, 20.7, 22.4, 27.9], [3.1, 2.2, 12.0, 9.5]])
    bound = variational_bound(schedule, clean, noisy, t, answer, (variance + 1) / 2)
    assert float(square.mean()) == pytest.approx(golden["simple"], abs=1e-5)
    assert bound.tolist() == pytest.approx(golden["vlb_per_sample"], rel=1e-5)
    assert float(lip_loss(square, boxes, 5)) == pytest.approx(golden["lip"], abs=1e-5)
    total = square.mean() + 1e-4 * bound.mean() + 0.2 * lip_loss(square, boxes, 5)
    whole = golden["total (simple + 1e-4*mean vlb + 0.2*lip)"]
    assert float(total) == pytest.approx(whole, abs=1e-5)


@torch.no_grad()
def test_golden_values_with_grey_motion_frames():
    with torch.device("meta"):
        net = UNet(Config(grey_motion=True))
    net = fill(net.to_empty(device="cpu"))
    found = net(
        gen("x_t", (2, 3, 32, 32)), torch.tensor([7, 993]), gen("motion_gray", (2, 2, 32, 32)),
        gen("x_cond", (2, 3, 32, 32)), gen("audio_emb", (2, 5, 256)),
    )  # fmt: skip
    assert error("unet_gray(x_t, t, identity, motion_gray, audio)", found) < BOUND


@torch.no_grad()
def test_parts_computed_once_give_the_same_as_the_whole():
    net = fill(UNet(replace(SMALL, patch=2)))
    x, motion, identity = (gen(tag, (3, n, 32, 32)) for tag, n in (("a", 3), ("b", 6), ("c", 3)))
    audio, t = gen("d", (3, 5, 256)), torch.tensor([5, 5, 5])
    whole = net(x, t, motion, identity, audio)
    parts = net.denoise(x, net.conditions(motion, identity), net.times(t[:1]), net.sounds(audio))
    assert torch.allclose(whole, parts, atol=1e-5)


@torch.no_grad()
def test_pixels_can_be_copied_from_the_frames_that_are_shown():
    config = replace(SMALL, prediction="sample", learned_variance=False, copies="all")
    net = UNet(config).eval()
    x, motion, identity = (gen(tag, (2, n, 32, 32)) for tag, n in (("a", 3), ("b", 6), ("c", 3)))
    for place, want in enumerate((torch.zeros_like(identity), identity, motion[:, :3], motion[:, 3:])):
        net.out[2].bias.zero_()[3 + place] = 50.0
        found = net(x, torch.tensor([5, 5]), motion, identity, gen("d", (2, 5, 256)))
        assert torch.allclose(found, want, atol=1e-5)


class Strange:
    """Stands for torchvision's transforms inside a checkpoint."""

    def __init__(self, *parts):
        self.parts = parts


def lightning(path, state, **hyper):
    doubled = {
        f"{prefix}{key}": value for prefix in ("unet.", "diffusion.nn_backbone.") for key, value in state.items()
    }
    torch.save({"state_dict": doubled, "hyper_parameters": {"transform": Strange(1), **hyper}, "epoch": 3}, path)


class Scripted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(0.5))

    def forward(self, window: torch.Tensor, lengths: torch.Tensor, state: torch.Tensor):
        loud = window.abs().mean()
        state = state * self.weight + loud
        return state[1, :, :], lengths, state


def published_folder(tmp_path, **hyper):
    net = fill(UNet(SMALL))
    lightning(tmp_path / "crema.ckpt", net.state_dict(), **hyper)
    torch.jit.script(Scripted()).save(str(tmp_path / "audio_encoder.pt"))
    return net


def small(monkeypatch):
    presets = {"released": SMALL}
    monkeypatch.setattr("vivant.methods.diffused_heads.weights.PRESETS", presets)


def test_a_lightning_checkpoint_loads_without_running_anything(tmp_path, monkeypatch):
    small(monkeypatch)
    monkeypatch.setattr(Strange, "__setstate__", lambda self, state: pytest.fail("code of the file ran"), raising=False)
    net = published_folder(tmp_path, n_motion_frames=2, n_audio_motion_embs=2)
    modules, config, info = load_modules("released", tmp_path)
    assert config == SMALL and len(info.files) == 2 and "NC" in info.licence
    assert isinstance(modules["audio_encoder"], ScriptedEncoder)
    for key, value in net.state_dict().items():
        assert torch.equal(modules["unet"].state_dict()[key], value)
    again, _, _ = load_modules("released", tmp_path / "crema.ckpt")
    assert torch.equal(again["unet"].out[2].weight, net.out[2].weight)


def test_hyper_parameters_settle_what_keys_leave_open(tmp_path):
    with torch.device("meta"):
        state = UNet(replace(SMALL, motion_frames=3, grey_motion=True)).state_dict()
    assert not sizes_of(state, {}, SMALL, "x").grey_motion  # three channels look like one colour frame
    told = sizes_of(state, {"n_motion_frames": 3}, SMALL, "x")
    assert told.grey_motion and told.motion_frames == 3


def test_a_converted_checkpoint_and_a_script_load(tmp_path, monkeypatch):
    small(monkeypatch)
    net = published_folder(tmp_path)
    out = convert(tmp_path, tmp_path / "converted" / "unet.safetensors")
    modules, _, info = load_modules("released", out)
    assert torch.equal(modules["unet"].out[2].weight, net.out[2].weight) and "audio_encoder" not in modules
    assert "crema.ckpt" in info.source
    scripted = torch.jit.trace(net, (
        gen("x", (1, 3, 32, 32)), torch.tensor([3]), gen("m", (1, 6, 32, 32)), gen("i", (1, 3, 32, 32)),
        gen("a", (1, 5, 256)),
    ))  # fmt: skip
    scripted.save(str(tmp_path / "crema_script.pt"))
    state, hyper = read_unet(tmp_path / "crema_script.pt")
    assert not hyper and torch.equal(state["out.2.weight"], net.out[2].weight)


def test_what_does_not_fit_is_named(tmp_path, monkeypatch):
    small(monkeypatch)
    with pytest.raises(WeightsError, match="--weights"):
        load_modules("released")
    with pytest.raises(WeightsError, match="holds no checkpoint"):
        load_modules("released", tmp_path)
    with pytest.raises(WeightsError, match="no file"):
        load_modules("released", tmp_path / "none.ckpt")
    (tmp_path / "broken.ckpt").write_bytes(b"nothing like a checkpoint")
    with pytest.raises(WeightsError, match="cannot be read"):
        load_modules("released", tmp_path)
    state = fill(UNet(SMALL)).state_dict()
    doubled = {f"unet.{k}": v for k, v in state.items()} | {
        f"diffusion.nn_backbone.{k}": v + 1 for k, v in state.items()
    }
    torch.save({"state_dict": doubled}, tmp_path / "broken.ckpt")
    with pytest.raises(WeightsError, match="differ"):
        load_modules("released", tmp_path)
    state.pop("out.2.bias")
    lightning(tmp_path / "broken.ckpt", state)
    with pytest.raises(WeightsError, match=r"out\.2\.bias"):
        load_modules("released", tmp_path)
    torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / "broken.ckpt")
    with pytest.raises(WeightsError, match=r"input_blocks\.0"):
        load_modules("released", tmp_path)
    lightning(tmp_path / "second.ckpt", state)
    with pytest.raises(WeightsError, match="several"):
        load_modules("released", tmp_path)
    (tmp_path / "second.ckpt").unlink()
    lightning(tmp_path / "broken.ckpt", fill(UNet(SMALL)).state_dict())
    (tmp_path / "audio_encoder.pt").write_bytes(b"no script")
    with pytest.raises(WeightsError, match="TorchScript"):
        load_modules("released", tmp_path)


@torch.no_grad()
def test_the_window_encoder_remembers():
    net = WindowEncoder().eval()
    window, lengths = torch.randn(1, 1, 3200, generator=torch.Generator().manual_seed(0)), torch.tensor([3200])
    first, _, state = net(window, lengths, torch.zeros(2, 1, 256))
    second, _, _ = net(window, lengths, state)
    assert first.shape == (1, 256) and state.shape == (2, 1, 256) and not torch.allclose(first, second)
