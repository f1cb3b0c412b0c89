"""What is drawn from the data, what the losses see, and that nets learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from nets import gen
from training_makers import TINY, objective, pack, rows_of

from vivant.core.errors import ConfigError
from vivant.data.pack import PackRow, encode_frames, read_pack, write_pack
from vivant.data.talking import TalkingFrames
from vivant.methods.diffused_heads.guard import grey
from vivant.methods.diffused_heads.model import build_modules
from vivant.methods.diffused_heads.train import STAGES, Objective, lip_loss
from vivant.training.loop import LoopOptions, Trainer


def test_frames_predecessors_and_sound_are_the_published_ones():
    samples = TalkingFrames(pack(), encoder="mel")
    index = torch.tensor([[0, 3, 0, 4], [1, 3, 0, 4], [4, 0, 0, 4], [5, 7, 5, 7], [8, 8, 8, 8]])
    raw = samples.gather(index)
    assert rows_of(raw, "frame") == [0, 1, 4, 5, 8] and rows_of(raw, "identity") == [3, 3, 0, 7, 8]
    # missing oldest predecessors are the identity frame
    assert rows_of(raw, "motion") == [[3, 3], [3, 0], [2, 3], [7, 7], [8, 8]]
    heard = raw["audio"].mean((-1, -2)).int().tolist()
    assert heard == [[0, 0, 0, 1, 2], [0, 0, 1, 2, 3], [2, 3, 4, 4, 4], [5, 5, 5, 6, 7], [8] * 5]
    assert raw["mouth"][2].tolist() == [4, 6, 12, 16] and raw["identity_mouth"][2].tolist() == [0, 2, 8, 12]
    assert samples.describe(index)[:2] == ["c0[0<-3]", "c0[1<-3]"]


def test_draws_are_functions_of_seed_and_step():
    samples = TalkingFrames(pack(), encoder="mel")
    a, b = (samples.draw(3, 1, 64, {}) for _ in range(2))
    assert torch.equal(a, b) and not torch.equal(a, samples.draw(4, 1, 64, {}))
    frame, identity, first, last = a.unbind(1)
    assert ((frame >= first) & (frame <= last) & (identity >= first) & (identity <= last)).all()
    assert (identity != frame)[last > first].all()
    assert set(frame.tolist()) == set(range(9)) and set(identity[first == 0].tolist()) == set(range(5))
    firsts = TalkingFrames(pack(), encoder="mel", identity="first").draw(0, 0, 16, {"grid": 1.0})
    assert torch.equal(firsts[:, 1], firsts[:, 2]) and set(firsts[:, 2].tolist()) == {0, 5}
    parts = [samples.draw(5, 2, 8, {}, rank, 2) for rank in range(2)]
    assert torch.equal(samples.draw(5, 2, 16, {}), torch.cat(parts))


def test_coarse_features_come_back_in_their_units():
    source = pack()
    source.arrays["mel"] = source.arrays["mel"].astype(np.int8)
    source.arrays["table.mel"] = np.full(80, 0.5, np.float32)
    raw = TalkingFrames(source, encoder="mel").gather(torch.tensor([[2, 0, 0, 4]]))
    assert raw["audio"].mean((-1, -2))[0].tolist() == [0, 0.5, 1, 1.5, 2]


def test_a_pack_of_movies_loads(tmp_path):
    from vivant.media.writer import VideoWriter

    movies = []
    for clip in range(2):
        with VideoWriter(tmp_path / "clip.mp4", 25, quality=4) as writer:
            for number in range(3):
                writer.write(np.full((32, 32, 3), 40 * (clip + 1) + 10 * number, np.uint8))
        movies.append((tmp_path / "clip.mp4").read_bytes())
    rows = [PackRow(f"c{i}", "p", ("train", "test")[i], "grid", 3) for i in range(2)]
    arrays = {"mel": np.zeros((6, 4, 80), np.float16), "mouth": np.zeros((6, 4)), "table.mel": np.ones(80)}
    path = write_pack(tmp_path / "pack.safetensors", movies, rows, arrays)
    found = read_pack(path, "test")
    assert np.abs(found.frames[:, 0, 0, 0].astype(int) - [80, 90, 100]).max() <= 3 and len(found.arrays["mel"]) == 3
    assert len(TalkingFrames.load(tmp_path, encoder="mel").frames) == 3
    write_pack(path, [movies[0], movies[1][: len(movies[1]) // 2]], rows, arrays)
    from vivant.core.errors import MediaError

    with pytest.raises(MediaError, match="Clip 1"):
        read_pack(path, "test")


def test_the_lip_term_looks_at_the_target_s_mouth_and_can_look_where_upstream_does():
    error = torch.zeros(1, 3, 32, 32)
    error[:, :, 10:14, 6:12] = 2.0
    box = torch.tensor([[6.4, 10.2, 11.5, 13.9]])
    assert float(lip_loss(error, box, 0)) == 2.0
    assert float(lip_loss(error, box, 1)) == pytest.approx(2.0 * 24 / (6 * 8))
    assert float(lip_loss(error, torch.tensor([[20.0, 20, 25, 25]]), 2)) == 0
    task, raw = objective(), TalkingFrames(pack(), encoder="mel").gather(torch.tensor([[4, 0, 0, 4]]))
    batch = task.augment(raw, torch.Generator().manual_seed(1))
    square = torch.rand(1, 3, 32, 32)
    here = task._lip(square, batch)
    task.lip_frame = "identity"
    assert float(here) != float(task._lip(square, batch))


def test_boxes_are_mirrored_with_the_picture():
    side = TINY.image_size
    source = pack()
    for number, frame in enumerate(source.frames):
        x0, y0, x1, y1 = source.arrays["mouth"][number].astype(int)
        frame[:] = 0
        frame[y0:y1, x0:x1] = 255
    raw = TalkingFrames(source, encoder="mel").gather(torch.tensor([[4, 0, 0, 4]] * 16))
    batch = objective().augment(raw, torch.Generator().manual_seed(0))
    turned = 0
    for picture, box in zip(batch["frame"], batch["mouth"].int().tolist()):
        lit = picture[0] > picture[0].mean()
        rows, columns = lit.any(1).nonzero().flatten(), lit.any(0).nonzero().flatten()
        assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == box
        turned += box[0] != 4
    assert 0 < turned < 16 and side == 32


def test_the_identity_frame_learns_to_move():
    config = replace(TINY, prediction="sample", learned_variance=False, copies="warped", zero_start=True)
    task = objective(config)
    with torch.no_grad():  # a flow to the right everywhere: the picture moves left by a quarter of half a side
        task.modules["unet"].out[2].bias[-4:].fill_(0.0)
        task.modules["unet"].out[2].bias[-8:-4].fill_(1.0)
    picture = torch.linspace(-1, 1, 32).expand(1, 3, 32, 32).contiguous()
    sound = torch.zeros(1, 5, 16)
    answer, moved = task.modules["unet"].with_moved(
        picture, torch.tensor([999]), picture.repeat(1, 2, 1, 1), picture, sound
    )
    assert torch.allclose(moved[..., 8:20] - picture[..., 8:20], torch.full((1, 3, 32, 12), 8 / 31), atol=1e-3)
    assert torch.allclose(answer, picture / 3 + moved / 3, atol=1e-5)  # what is painted is still zero
    raw = TalkingFrames(pack(), encoder="mel").gather(torch.tensor([[4, 0, 0, 4], [6, 7, 5, 7]]))
    terms, _ = task.losses(task.augment(raw, torch.Generator().manual_seed(0)), False)
    terms["moved"].backward()
    grown = task.modules["unet"].out[2].weight.grad.unflatten(0, (-1, 4))
    assert set(terms) == {"simple", "lip", "moved"} and float(grown[:-2].abs().max()) == 0


def test_grey_and_fewer_predecessors_are_taken_from_the_same_data():
    raw = TalkingFrames(pack(), encoder="mel").gather(torch.tensor([[4, 0, 0, 4]] * 4))
    grown = objective().augment(raw, torch.Generator().manual_seed(0))
    dim = objective(replace(TINY, grey_motion=True)).augment(raw, torch.Generator().manual_seed(0))
    assert torch.allclose(dim["motion"][:, :1], grey(grown["motion"][:, :3]), atol=1e-6)
    one = objective(replace(TINY, motion_frames=1, audio_reach=1)).augment(raw, torch.Generator().manual_seed(0))
    assert torch.equal(one["motion"], grown["motion"][:, 3:]) and torch.equal(one["audio"], grown["audio"][:, 1:4])
    none = objective(replace(TINY, motion_frames=0, audio_reach=0)).augment(raw, torch.Generator().manual_seed(0))
    assert none["motion"].shape == (4, 0, 32, 32) and none["audio"].shape[1] == 1


@pytest.mark.parametrize(
    "change", [{}, {"prediction": "v", "learned_variance": False}, {"prediction": "v"}, {"motion_frames": 0},
               {"prediction": "sample"}, {"prediction": "sample", "learned_variance": False, "copies": "all"},
               {"prediction": "sample", "learned_variance": False, "copies": "warped", "motion_coarse": 2},
               {"encoder": "window", "audio_width": 80, "image_size": 16}],
)  # fmt: skip
def test_every_kind_of_net_has_finite_losses_and_gradients(change):
    config = replace(TINY, **change)
    weights = {"vlb": 1e-2 if config.learned_variance else 0.0, "drift": 0.5}
    source = pack()
    if config.encoder == "window":
        source.arrays["window"] = source.arrays["mel"][:, :1]
        config = replace(config, audio_width=256)
        source.arrays["window"] = np.repeat(source.arrays["window"], 4, 2)[..., :256]
    encoder = config.encoder if config.encoder == "window" else "mel"
    task = objective(config, weights)
    raw = TalkingFrames(source, encoder=encoder).gather(torch.tensor([[4, 0, 0, 4], [6, 7, 5, 7]]))
    batch = task.augment(raw, torch.Generator().manual_seed(0))
    terms, _ = task.losses(batch, False)
    assert set(terms) == {"simple", "lip"} | ({"vlb"} if config.learned_variance else set()) | (
        {"moved"} if config.copies == "warped" else set()
    )
    sum(terms.values()).backward()
    learning = list(task.modules["unet"].parameters())
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in learning)


def test_only_the_variance_learns_from_the_bound():
    task = objective(weights={"vlb": 1.0, "simple": 0.0, "lip": 0.0})
    raw = TalkingFrames(pack(), encoder="mel").gather(torch.tensor([[4, 0, 0, 4], [6, 7, 5, 7]]))
    terms, _ = task.losses(task.augment(raw, torch.Generator().manual_seed(0)), False)
    terms["vlb"].backward()
    last = task.modules["unet"].out[2].weight.grad
    folded = last.view(6, -1, *last.shape[1:])
    assert float(folded[:3].abs().max()) == 0 and float(folded[3:].abs().max()) > 0


def test_what_does_not_fit_is_refused():
    source = pack()
    with pytest.raises(ConfigError, match="whisper"):
        TalkingFrames(source)
    with pytest.raises(ConfigError, match="identity choice"):
        TalkingFrames(source, encoder="mel", identity="last")
    with pytest.raises(ConfigError, match="rig"):
        TalkingFrames(source, encoder="mel").draw(0, 0, 2, {"rig": 1.0})
    few = TalkingFrames(source, encoder="mel", motion=1, reach=1).gather(torch.tensor([[4, 0, 0, 4]]))
    with pytest.raises(ConfigError, match="motion: 2"):
        objective().augment(few, None)
    with pytest.raises(ConfigError, match="reach: 2"):
        objective(replace(TINY, motion_frames=1)).augment(few, None)
    with pytest.raises(ConfigError, match="32 px"):
        objective(replace(TINY, image_size=24)).augment(few, None)
    with pytest.raises(ConfigError, match="vlb"):
        objective(replace(TINY, learned_variance=False), {"vlb": 1.0})


def test_a_stage_trains_writes_sheets_and_learns(tmp_path):
    source = pack(clips=(9,))
    source.frames[:] = (gen("clip", (9, 1, 1, 3)).numpy() * 40 + 128).astype(np.uint8)
    stage = STAGES["lite"].changed({
        "steps": 30, "batch": 4, "learning_rate": 3e-3, "warmup": 2, "ema_decay": 0.9, "mix": {}, "sample_every": 30,
        "checkpoint_every": 0,
    })  # fmt: skip
    torch.manual_seed(0)
    modules = build_modules(TINY)
    before = modules["audio_encoder"].net[1].weight.clone()
    samples = TalkingFrames(source, encoder="mel")
    trainer = Trainer(modules, TINY, stage, Objective, samples, tmp_path, "cpu", LoopOptions(log_every=10))
    assert trainer.run().finished and list((tmp_path / "sheets").glob("*.jpg"))
    import json

    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    totals = [row["total"] for row in rows if "total" in row]
    assert totals[-1] < 0.8 * totals[0]
    assert not torch.equal(before, modules["audio_encoder"].net[1].weight)


def test_a_recipe_trains_from_the_command_line(tmp_path):
    from vivant.apps.cli import main

    rows = [PackRow("c", "p", "train", "grid", 4), PackRow("d", "q", "test", "grid", 4)]
    frames = encode_frames(np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8))
    arrays = {"mel": np.zeros((8, 4, 80), np.float16), "mouth": np.tile(np.float32([8, 16, 24, 28]), (8, 1))}
    write_pack(tmp_path / "data" / "pack.safetensors", frames, rows, arrays)
    (tmp_path / "recipe.yaml").write_text(
        "method: diffused-heads\npreset: tiny\nvalidation: test\nsamples: {encoder: mel}\n"
        "stages:\n  - {name: lite, steps: 2, batch: 2, warmup: 1, validate_every: 2, sample_every: 0}\n"
    )
    out = tmp_path / "run"
    words = ["train", "--recipe", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "data"), "--out", str(out)]
    assert main(words) == 0
    from vivant.methods.diffused_heads.weights import load_modules

    _, _, info = load_modules("tiny", out / "weights.safetensors")
    assert info.name == "tiny"
    (tmp_path / "recipe.yaml").write_text("method: codec\npreset: tiny\nstages: [{name: base, steps: 2, batch: 2}]\n")
    assert main([*words[:-1], str(tmp_path / "codec")]) == 0
    assert (tmp_path / "codec" / "weights.safetensors").is_file()
