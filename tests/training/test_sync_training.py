"""The sync net learns, its samples are exact, and its loss pulls on pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from vivant.apps.cli import main
from vivant.core.errors import ConfigError
from vivant.data.manifest import Row, write_manifest
from vivant.data.sync_clips import SEGMENT, SyncClips
from vivant.media.writer import VideoWriter
from vivant.metrics.sync_crops import Track, cut_lower_face, lower_face_matrices
from vivant.perception.sync_lite import TINY, SyncLite, load_sync_lite, save_sync_lite
from vivant.pipelines.recipe import read_recipe
from vivant.training.loop import LoopOptions, Trainer
from vivant.training.sync import train as teacher
from vivant.training.sync import weights
from vivant.training.sync.augment import augment_frames, augment_mel
from vivant.training.sync.config import PRESETS
from vivant.training.sync.model import build_modules
from vivant.training.sync_loss import SyncLoss


def talking(seed: int, length: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Frames (F, 112, 112) of a dark mouth on a grey face that opens with the sound (4 F, 40)."""
    rng = np.random.default_rng(seed)
    opening = np.interp(np.arange(length * 4) / 4, np.arange(0, length + 8, 3), rng.random((length + 10) // 3))
    y, x = np.mgrid[:112, :112]
    shape = (np.abs(y - 60)[None] < 2 + 24 * opening[::4, None, None]) & (np.abs(x - 56) < 30)
    frames = np.where(shape, 40, 150).astype(np.uint8) + rng.integers(0, 20, (length, 112, 112)).astype(np.uint8)
    mel = 4 + 10 * opening[:, None] + rng.random((length * 4, 40))
    return frames, mel.astype(np.float16)


def row(name: str, group: str, frames: int = 50) -> Row:
    return Row(id=name, person=name, split="train", kind="clip", group=group, frames=frames, fps=25, size=112,
               labels=f"{name}.npz", video=f"{name}.mp4")  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> SyncClips:
    made = [talking(seed) for seed in range(6)]
    rows = [row(f"c{seed}", "a" if seed < 4 else "b") for seed in range(6)]
    frames = torch.from_numpy(np.concatenate([frames for frames, _ in made]))
    return SyncClips(frames, rows, [mel for _, mel in made])


def test_samples_are_segments_with_their_own_sound(clips: SyncClips) -> None:
    index = clips.draw(3, 7, 6, {"a": 0.5, "b": 0.5})
    assert torch.equal(index, clips.draw(3, 7, 6, {"a": 0.5, "b": 0.5}))
    assert not torch.equal(index, clips.draw(4, 7, 6, {"a": 0.5, "b": 0.5}))
    assert sum(int(clip) >= 4 for clip, _ in index) == 3
    parts = [clips.draw(3, 7, 3, {}, rank, 2) for rank in range(2)]
    assert torch.equal(torch.cat(parts), clips.draw(3, 7, 6, {}))
    raw = clips.gather(index)
    for (clip, first), frames, mel in zip(index.tolist(), raw["frames"], raw["mel"]):
        true_frames, true_mel = talking(clip)
        assert np.array_equal(frames.numpy(), true_frames[first : first + SEGMENT])
        assert np.array_equal(mel.numpy(), true_mel[4 * first : 4 * (first + SEGMENT)])
    assert clips.describe(index)[0] == f"c{index[0, 0]}[{index[0, 1]}]"
    with pytest.raises(ConfigError, match="'x'"):
        clips.draw(0, 0, 4, {"x": 1.0})


def test_a_prepared_folder_is_read(tmp_path) -> None:
    frames, mel = talking(0, 40)
    with VideoWriter(tmp_path / "c0.mp4", 25, quality=1) as writer:
        for frame in frames:
            writer.write(np.repeat(frame[..., None], 3, axis=2))
    np.savez(tmp_path / "c0.npz", mel=mel)
    write_manifest(tmp_path, [row("c0", "a", 40), row("short", "a", 20)])
    found = SyncClips.load(tmp_path, workers=1)
    assert [clip.id for clip in found.rows] == ["c0"]
    assert np.abs(found.frames.numpy().astype(int) - frames).mean() < 3
    np.savez(tmp_path / "c0.npz", mel=mel[:100])
    with pytest.raises(ConfigError, match="100 steps of sound for 40 frames"):
        SyncClips.load(tmp_path, workers=1)
    with pytest.raises(ConfigError, match="no clip of split 'val'"):
        SyncClips.load(tmp_path, split="val")


def test_augmentation_keeps_shapes_and_depends_on_the_seed_alone(clips: SyncClips) -> None:
    raw = clips.gather(clips.draw(0, 0, 2, {}))
    made = [augment_frames(raw["frames"], torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert made[0].shape == (2, SEGMENT, 96, 96) and torch.isfinite(made[0]).all()
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    mel = augment_mel(raw["mel"].float(), torch.Generator().manual_seed(1))
    assert mel.shape == (2, 116, 40) and torch.isfinite(mel).all() and mel.min() >= 0


def test_the_net_learns_which_sound_belongs_to_which_lips(clips: SyncClips) -> None:
    torch.manual_seed(0)
    size = replace(TINY, dropout=0.0)
    modules = build_modules(size)
    objective = teacher.Objective(modules, size, teacher.STAGES["match"], torch.device("cpu"))
    batch = objective.augment(clips.gather(clips.draw(0, 0, 2, {})), torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam([p for module in modules.values() for p in module.parameters()], 1e-2)
    totals = []
    for _ in range(40):
        total = sum(objective.losses(batch, False)[0].values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert np.mean(totals[-3:]) < 0.7 * np.log(50), totals  # of 50 windows, log 50 nats by chance


def test_a_run_of_the_loop_is_saved(clips: SyncClips, tmp_path) -> None:
    stage = teacher.STAGES["match"].changed({"steps": 2, "batch": 2, "validate_every": 0})
    stage = stage.changed({"sample_every": 2})
    modules = build_modules(TINY)
    outcome = Trainer(modules, TINY, stage, teacher.Objective, clips, tmp_path, options=LoopOptions(log_every=1)).run()
    assert outcome.finished and list((tmp_path / "sheets").glob("*.jpg"))
    path = weights.save_modules(outcome.modules, tmp_path / "w.safetensors", weights.describe("tiny", TINY))
    again, size, _ = weights.load_modules("tiny", path)
    assert size == TINY
    for name, module in outcome.modules.items():
        for key, value in module.state_dict().items():
            assert torch.allclose(again[name].state_dict()[key].float(), value.float(), atol=1e-2), key
    with pytest.raises(ConfigError, match="size 'lite'"):
        weights.load_modules("lite", path)


def test_the_command_trains_on_a_prepared_folder(tmp_path) -> None:
    frames, mel = talking(0, 40)
    for name in ("c0", "c1"):
        with VideoWriter(tmp_path / f"{name}.mp4", 25) as writer:
            for frame in frames:
                writer.write(np.repeat(frame[..., None], 3, axis=2))
        np.savez(tmp_path / f"{name}.npz", mel=mel)
    write_manifest(tmp_path, [row("c0", "a", 40), row("c1", "a", 40)])
    recipe = Path(__file__).parents[2] / "recipes" / "sync" / "tiny.yaml"
    words = [
        "--data",
        str(tmp_path),
        "--out",
        str(tmp_path / "run"),
        "--set",
        "match.steps=2",
        "--set",
        "match.batch=2",
    ]
    assert main(["train", "sync", "--recipe", str(recipe), *words, "--device", "cpu", "--workers", "1"]) == 0
    net, _ = load_sync_lite(tmp_path / "run" / "weights.safetensors")
    assert net.size == TINY


@pytest.mark.parametrize("name", ["lite", "base", "tiny"])
def test_recipes_are_whole(name: str) -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "sync" / f"{name}.yaml")
    assert recipe.method == "sync" and recipe.preset in PRESETS
    assert [stage.name for stage in recipe.resolve(teacher.STAGES)] == ["match"]


def track(side: int) -> Track:
    """A face that fills a picture of ``side`` pixels, turned a little."""
    align = side * np.array([[0.7, -0.1, 0.2], [0.1, 0.7, 0.1]])
    return Track(0, np.zeros((8, 4)), np.repeat(align[None], 8, axis=0), np.ones(8, bool))


@pytest.mark.parametrize(("side", "oversample"), [(160, 1), (640, 3)])
def test_the_loss_cuts_as_the_scorer_does(tmp_path, side: int, oversample: int) -> None:
    path = save_sync_lite(SyncLite(TINY), tmp_path / "w.safetensors")
    loss = SyncLoss(weights=path, oversample=oversample)
    y, x = np.mgrid[:side, :side] / side
    picture = np.stack([np.sin(20 * x), np.cos(14 * y), np.sin(9 * (x + y))], -1)
    picture = ((picture + 1) * 127).astype(np.uint8)
    matrices = lower_face_matrices(track(side))
    frames = torch.from_numpy(picture).permute(2, 0, 1)[None, None].expand(1, 8, -1, -1, -1) / 255
    made = loss.crop(frames, torch.from_numpy(matrices)[None])[0, 3].numpy() * 255
    assert np.abs(made - cut_lower_face(picture, matrices[3])).mean() < 1.5


def test_the_loss_reaches_the_pixels_and_knows_the_right_sound(clips: SyncClips, tmp_path) -> None:
    torch.manual_seed(0)
    path = save_sync_lite(SyncLite(TINY), tmp_path / "w.safetensors")
    loss = SyncLoss(weights=path)
    frames = torch.rand(1, 8, 3, 160, 160, requires_grad=True)
    matrices = torch.from_numpy(lower_face_matrices(track(160)))[None]
    mel = torch.rand(1, 40, 40) * 10
    contrast, distance = loss(frames, matrices, mel)
    (contrast + distance).backward()
    assert frames.grad is not None and frames.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in loss.parameters())
    net, _ = load_sync_lite(path)
    with torch.no_grad():
        video, sound = net.embed_video(loss.crop(frames, matrices)), net.embed_sound(mel[:, :32])
    assert distance.item() == pytest.approx((video - sound).norm(dim=-1).mean().item() / 10, abs=1e-3)
