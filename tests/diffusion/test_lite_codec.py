"""Our own codec: sizes, latents, learning, weights."""

import json

import numpy as np
import pytest
import torch

from vivant.core.errors import ConfigError, WeightsError
from vivant.data.pack import PackRow, encode_frames, read_pack, write_pack
from vivant.data.pictures import PackedPictures
from vivant.diffusion.codec import Codec
from vivant.diffusion.lite_codec.config import PRESETS
from vivant.diffusion.lite_codec.model import build_modules
from vivant.diffusion.lite_codec.train import STAGES, Objective
from vivant.diffusion.lite_codec.weights import describe, load_codec, load_modules, save_modules
from vivant.media.image import read_image
from vivant.training.loop import LoopOptions, Trainer
from vivant.weights.assets import asset


def smooth(count, side=64, seed=0):
    """Pictures with structure: coloured blobs."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.random((count, 3, 5, 5))).float()
    big = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return (big * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("pack")
    rows = [PackRow(f"clip{i}", "someone", split, group, 4) for i, (split, group) in enumerate(
        [("train", "still"), ("train", "grid"), ("test", "still")]
    )]  # fmt: skip
    write_pack(path / "pack.safetensors", encode_frames(smooth(12)), rows, {"place": np.arange(12), "tall": np.ones(3)})
    return path


def test_sizes_and_the_promise_of_a_codec():
    codec = build_modules(PRESETS["lite"])["codec"]
    count = sum(p.numel() for p in codec.parameters())
    assert 1_000_000 < count < 3_000_000
    assert isinstance(codec, Codec) and (codec.channels, codec.factor) == (8, 8)
    latents = codec.encode(torch.rand(2, 3, 64, 96))
    assert latents.shape == (2, 8, 8, 12) and codec.decode(latents).shape == (2, 3, 64, 96)


def test_the_shipped_codec_gives_the_portrait_back():
    image = read_image(asset("demo/portrait.jpg"))
    side = 8 * (min(image.shape[:2]) // 8)
    picture = torch.from_numpy(image[:side, :side]).permute(2, 0, 1)[None] / 255
    codec = load_codec("lite")
    with torch.no_grad():
        again = codec.decode(codec.encode(picture)).clamp(0, 1)
    assert -10 * (again - picture).square().mean().log10() > 32


def test_latents_are_normalised_by_what_was_seen():
    codec = load_codec("tiny", seed=0)
    images = torch.rand(4, 3, 32, 32)
    plain = codec.encode(images)
    codec.mean.fill_(0.5)
    codec.spread.fill_(2.0)
    assert torch.allclose(codec.encode(images), (plain - 0.5) / 2, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(codec.decode((plain - 0.5) / 2), codec.decoder(plain) / 2 + 0.5, atol=1e-5)
    a, b = (codec.encode(images, torch.Generator().manual_seed(1), sample=True) for _ in range(2))
    assert torch.equal(a, b) and not torch.equal(a, codec.encode(images))


@pytest.mark.parametrize("stage", STAGES)
def test_both_stages_learn_and_only_what_they_should(stage, folder, tmp_path):
    modules, config, _ = load_modules("tiny", seed=3)
    before = {k: v.clone() for k, v in modules["codec"].state_dict().items()}
    steps = 20 if stage == "base" else 5
    changes = {
        "steps": steps,
        "batch": 4,
        "warmup": 2,
        "sample_every": steps,
        "checkpoint_every": 0,
        "learning_rate": 5e-3,
    }
    short = STAGES[stage].changed(changes)
    samples = PackedPictures.load(folder)
    trainer = Trainer(modules, config, short, Objective, samples, tmp_path, "cpu", LoopOptions(log_every=5))
    outcome = trainer.run()
    after = outcome.modules["codec"].state_dict()
    assert outcome.finished and list((tmp_path / "sheets").glob("*.jpg"))
    moved = {k.split(".")[0] for k in after if not torch.equal(after[k], before[k])}
    assert moved == ({"encoder", "decoder", "mean", "spread"} if stage == "base" else {"decoder"})
    if stage == "base":
        rows = [r for r in (tmp_path / "log.jsonl").read_text().splitlines() if '"total"' in r]
        totals = [float(json.loads(r)["total"]) for r in rows]
        assert totals[-1] < totals[0]


def test_saved_weights_come_back_and_wrong_ones_are_named(tmp_path):
    modules, config, _ = load_modules("tiny", seed=1)
    path = save_modules(modules, tmp_path / "codec.safetensors", describe("tiny", config))
    again, _, info = load_modules("tiny", path)
    assert info.files and all(
        torch.equal(v, again["codec"].state_dict()[k]) for k, v in modules["codec"].state_dict().items()
    )
    with pytest.raises(WeightsError, match="preset 'tiny'"):
        load_modules("lite", path)
    with pytest.raises(ConfigError, match="no preset"):
        load_modules("huge")


def test_a_pack_gives_back_what_was_packed(folder):
    pack = read_pack(folder)
    assert pack.frames.shape == (12, 64, 64, 3) and list(pack.starts) == [0, 4, 8, 12]
    assert np.abs(pack.frames.astype(int) - smooth(12)).mean() < 2
    part = read_pack(folder, "train", ["grid"])
    assert [row.id for row in part.rows] == ["clip1"]
    assert list(part.arrays["place"]) == [4, 5, 6, 7] and len(part.arrays["tall"]) == 1
    assert (part.frames == pack.frames[4:8]).all()


def test_samples_follow_the_mix_and_the_seed(folder):
    samples = PackedPictures.load(folder)
    a, b = (samples.draw(3, 1, 6, {}) for _ in range(2))
    assert torch.equal(a, b) and not torch.equal(a, samples.draw(4, 1, 6, {}))
    only = samples.draw(0, 0, 32, {"grid": 1.0, "still": 0.0})
    assert set(samples.describe(only)) == {f"clip1[{i}]" for i in range(4)}
    assert samples.gather(only)["image"].shape == (32, 3, 64, 64)
    whole = samples.draw(5, 2, 8, {})
    parts = [samples.draw(5, 2, 4, {}, rank, 2) for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts))
    with pytest.raises(ConfigError, match="rig"):
        samples.draw(0, 0, 4, {"rig": 1.0})


def test_a_damaged_pack_is_refused(folder, tmp_path):
    from vivant.core.errors import MediaError

    with pytest.raises(MediaError, match="does not exist"):
        read_pack(tmp_path)
    (tmp_path / "pack.safetensors").write_bytes((folder / "pack.safetensors").read_bytes()[:-500])
    with pytest.raises(MediaError, match="damaged"):
        read_pack(tmp_path)
    with pytest.raises(ConfigError, match="split 'val'"):
        read_pack(folder, "val")
    with pytest.raises(ConfigError, match="count"):
        write_pack(tmp_path / "x", [b""], [])
    with pytest.raises(ConfigError, match="neither"):
        write_pack(tmp_path / "x", [b"a"], [PackRow("a", "b", "train", "c", 1)], {"wrong": np.zeros(5)})
    write_pack(tmp_path / "bad.safetensors", [b"no jpeg"], [PackRow("a", "b", "train", "c", 1)])
    with pytest.raises(MediaError, match="decoded"):
        read_pack(tmp_path / "bad.safetensors")
