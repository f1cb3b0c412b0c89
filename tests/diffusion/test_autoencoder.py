"""Stable Diffusion's autoencoder and its tiny decoder against diffusers, loading, and streaming out of latents."""

import json
from itertools import count

import diffusers
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vivant.core.errors import ConfigError, WeightsError
from vivant.diffusion.autoencoder import Autoencoder, AutoencoderConfig, TinyDecoder, our_names
from vivant.diffusion.codec import (
    Codec,
    CompiledDecoder,
    check_size,
    decode_stream,
    load_autoencoder,
    load_tiny_decoder,
    to_pixels,
)

SMALL = AutoencoderConfig(widths=(32, 64, 64), groups=8)


def theirs(config, device="cpu"):
    levels = len(config.widths)
    torch.manual_seed(0)
    with torch.device(device):
        return diffusers.AutoencoderKL(
            block_out_channels=config.widths, down_block_types=["DownEncoderBlock2D"] * levels,
            up_block_types=["UpDecoderBlock2D"] * levels, layers_per_block=config.blocks,
            latent_channels=config.channels, norm_num_groups=config.groups,
        ).eval()  # fmt: skip


def pictures(side=32, seed=0):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def test_keys_and_shapes_are_the_published_ones():
    with torch.device("meta"):
        ours = Autoencoder()
    want = {key: value.shape for key, value in theirs(AutoencoderConfig(), "meta").state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == want
    assert sum(p.numel() for p in ours.parameters()) == 83_653_863 and ours.factor == 8


@torch.no_grad()
def test_numbers_equal_diffusers():
    reference, ours = theirs(SMALL), Autoencoder(SMALL).eval()
    ours.load_state_dict(reference.state_dict())
    found, want = ours.encode(pictures()), reference.encode(pictures() * 2 - 1).latent_dist
    assert torch.allclose(found, want.mean * 0.18215, atol=1e-6)
    assert torch.allclose(ours.moments(pictures())[1], want.logvar, atol=1e-5)
    latents = torch.randn(2, 4, 6, 10, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ours.decode(latents), reference.decode(latents / 0.18215).sample / 2 + 0.5, atol=5e-6)
    assert isinstance(ours, Codec)


@torch.no_grad()
def test_a_sample_is_drawn_from_the_posterior():
    net = Autoencoder(SMALL).eval()
    mean, draws = net.encode(pictures()), [
        net.encode(pictures(), torch.Generator().manual_seed(s), sample=True) for s in (1, 1, 2)
    ]  # fmt: skip
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    spread = (0.5 * net.moments(pictures())[1]).exp() * 0.18215
    assert 0.8 < float(((draws[0] - mean) / spread).std()) < 1.2


@torch.no_grad()
def test_the_tiny_decoder_equals_diffusers(tmp_path):
    reference = diffusers.AutoencoderTiny().eval()
    save_file(reference.state_dict(), tmp_path / "diffusion_pytorch_model.safetensors")
    ours = load_tiny_decoder(tmp_path)
    latents = torch.randn(1, 4, 4, 6, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(ours.decode(latents), reference.decode(latents).sample / 2 + 0.5, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("old", [False, True])
def test_a_folder_of_the_hub_loads(tmp_path, old):
    reference = theirs(SMALL)
    state = reference.state_dict()
    if old:  # names of the files that were published first
        words = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
        for new, before in words.items():
            state = {k.replace(f"attentions.0.{new}", f"attentions.0.{before}"): v for k, v in state.items()}
    torch.save(state, tmp_path / "diffusion_pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps(dict(reference.config)))
    net, info = load_autoencoder(tmp_path)
    assert net.config == AutoencoderConfig(4, (32, 64, 64), 2, 8, 0.18215) and len(info.files) == 1
    assert torch.allclose(
        net.encode(pictures()), reference.encode(pictures() * 2 - 1).latent_dist.mean * 0.18215, atol=1e-6
    )


def test_convolutions_of_the_first_files_become_matrices():
    state = {"encoder.mid_block.attentions.0.query.weight": torch.zeros(8, 8, 1, 1)}
    assert our_names(state)["encoder.mid_block.attentions.0.to_q.weight"].shape == (8, 8)


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(WeightsError, match="has no"):
        load_autoencoder(tmp_path)
    save_file({"encoder.conv_in.weight": torch.zeros(1)}, tmp_path / "diffusion_pytorch_model.safetensors")
    with pytest.raises(WeightsError, match="missing"):
        load_autoencoder(tmp_path)
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(WeightsError, match="configuration"):
        load_autoencoder(tmp_path)
    with pytest.raises(ConfigError, match="multiples of 4"):
        check_size(Autoencoder(SMALL), 30, 32)
    check_size(Autoencoder(SMALL), 32, 64)


def test_decoding_streams_in_batches():
    asked = []

    class Flat:
        def decode(self, latents):
            asked.append(len(latents))
            return latents[:, :1].expand(-1, 3, -1, -1)

    source = (torch.full((4, 2, 2), i / 10) for i in count())
    frames = decode_stream(Flat(), source, batch=3)
    first = next(frames)
    assert asked == [3] and first.shape == (2, 2, 3) and first.dtype == np.uint8
    assert [int(next(frames)[0, 0, 0]) for _ in range(4)] == [26, 51, 77, 102]
    assert asked == [3, 3]


def test_a_compiled_decoder_knows_one_number_of_latents(monkeypatch):
    """Fewer are filled up: compiling again for the end of a clip would cost more than decoding it."""
    asked, net = [], Autoencoder(SMALL).eval()

    def fake(form, fullgraph):
        assert fullgraph
        return lambda latents: asked.append(len(latents)) or form(latents)

    monkeypatch.setattr(torch, "compile", fake)
    latents = torch.randn(6, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    plain, quick = (np.stack(list(decode_stream(net, latents))) for net in (net, CompiledDecoder(net)))
    assert asked == [4, 4] and len(quick) == 6
    assert np.abs(plain.astype(int) - quick).max() <= 1  # batches of another size may round otherwise


def test_the_decoder_compiles_as_one_graph():
    net, graphs = Autoencoder(SMALL).eval(), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net.decode, fullgraph=True, backend=backend)
    latents = torch.randn(4, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.allclose(compiled(latents), net.decode(latents), atol=1e-6)
    assert len(graphs) == 1


def test_broken_numbers_are_not_shown():
    class Broken:
        def decode(self, latents):
            return latents[:, :3] * float("nan")

    with pytest.raises(WeightsError, match="damaged"):
        list(decode_stream(Broken(), [torch.zeros(4, 2, 2)]))
    half = torch.full((1, 3, 1, 1), 0.5)
    assert int(to_pixels(half)[0, 0, 0, 0]) == 128 and int(to_pixels(half, truncate=True)[0, 0, 0, 0]) == 127
    assert isinstance(TinyDecoder(), torch.nn.Module)


class Loud(torch.nn.Module):
    """Half precision cannot hold what it computes on the way."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(60000.0))

    def decode(self, latents):
        return (latents * self.factor * 2)[:, :3] / 240000


def test_a_decoder_that_breaks_in_half_precision_goes_on_in_bfloat16():
    net = Loud().half()
    with pytest.warns(UserWarning, match="going on in torch.bfloat16"):
        frames = list(decode_stream(net, [torch.ones(4, 2, 2)] * 3, batch=2))
    assert len(frames) == 3 and all((frame == 128).all() for frame in frames)
    assert net.factor.dtype == torch.bfloat16
    broken = Loud()
    with torch.no_grad():
        broken.factor.fill_(float("nan"))
    with pytest.raises(WeightsError, match="damaged"):
        list(decode_stream(broken, [torch.ones(4, 2, 2)]))
