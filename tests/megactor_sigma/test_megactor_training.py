"""How MegActor-Sigma learns: the mix of drivers, disguises, masks of attention and loss, stages."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from megactor_makers import FACE, SIDE, alive

from vivant.core.errors import ConfigError
from vivant.data.windows import ClipWindows, WindowClip
from vivant.methods.megactor_sigma.config import PRESETS
from vivant.methods.megactor_sigma.disguise import Chances, Draws, disguised
from vivant.methods.megactor_sigma.regions import chosen_mask, region_boxes
from vivant.methods.megactor_sigma.train import STAGES, Objective
from vivant.training.step import choose_learning


def windows(frames=16, heard=1.0):
    config, generator = PRESETS["tiny"], torch.Generator().manual_seed(1)
    points = torch.from_numpy(FACE).expand(frames, -1, -1) + 0.01 * torch.randn(frames, 1, 2, generator=generator)
    arrays = {
        "latents": torch.randn(2 * frames, 4, 8, 8, generator=generator).half(),
        "picture": torch.randint(30, 255, (frames, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator),
        "points": points,
        "speech": torch.randn(frames, 2, config.audio.numbers, generator=generator).half(),
        "heard": torch.full((frames,), heard),
    }
    return ClipWindows([WindowClip("clip", "grid", frames)], arrays, 6, ["latents"])


def batch_of(stage="mixed", count=64, heard=1.0, seed=0, config=None, frames=1, **settings):
    chosen = replace(STAGES[stage], frames=frames, settings={**STAGES[stage].settings, **settings})
    config = config or PRESETS["tiny"]
    objective = Objective(alive(config), config, chosen, torch.device("cpu"))
    data = windows(heard=heard)
    raw = data.gather(data.draw(0, seed, count, {}))
    return objective, objective.augment(raw, torch.Generator().manual_seed(seed)), raw


def modes(batch):
    """(speech drives, eyes shown, mouth shown) of each sample, read off what the net gets."""
    seen = batch["driven"][:, 0, 0]
    return torch.stack([batch["keep_audio"] > 0, seen[:, :32].flatten(1).any(1), seen[:, 40:].flatten(1).any(1)], 1)


def test_single_frames_hear_what_is_before_and_behind():
    _, batch, raw = batch_of("mixed", count=3)
    whole = raw["speech"].float().unflatten(-1, (5, 384))  # B, 6 frames, steps, states, width
    assert torch.equal(batch["speech"][:, 0], whole[:, 0:5].flatten(1, 3))  # frames around the third one
    assert torch.equal(batch["clean"][:, 0], raw["latents"][:, 2].float())
    _, batch, raw = batch_of("motion", count=3, frames=6)
    first = raw["speech"].float().unflatten(-1, (5, 384))[:, [0, 0, 0, 1, 2]].flatten(1, 3)
    assert torch.equal(batch["speech"][:, 0], first)  # nothing is known before the window


def test_the_mix_is_the_papers():
    still = {"swap": 0.0, "size": 0.0, "unconditional": 0.0}
    _, batch, _ = batch_of(count=1200, **still)
    hears, eyes, mouth = modes(batch).unbind(1)
    mixed, alone, visual = hears & eyes & ~mouth, hears & ~eyes & ~mouth, ~hears & (eyes | mouth)
    shares = [float(each.float().mean()) for each in (visual, alone, mixed)]
    assert sum(shares) == pytest.approx(1) and shares == pytest.approx([0.1, 0.2, 0.7], abs=0.04)
    for part in (eyes & mouth, eyes & ~mouth, ~eyes & mouth):  # face dropout of visual samples
        assert (part & visual).sum() > 15
    assert torch.equal(batch["drives"] > 0, eyes | mouth)
    with pytest.raises(ConfigError, match="shares visual and audio are more than 1 together"):
        batch_of(visual=0.6, audio=0.5)
    with pytest.raises(ConfigError, match="swap is 2, give 0 to 1"):
        batch_of(swap=2)


def test_silent_clips_and_the_first_stage_are_visual():
    for stage, heard in (("mixed", 0.0), ("visual", 1.0)):
        _, batch, _ = batch_of(stage, heard=heard, unconditional=0.0)
        assert not batch["keep_audio"].any() and batch["drives"].all()


def test_losses_and_attention_leave_out_what_nothing_decides():
    """Weights fall to 0 in the mouth of samples whose eyes alone drive, without speech; masks stand where eyes drive
    and the mouth does not, with speech too."""
    _, batch, raw = batch_of(count=300, swap=0.0, size=0.0, unconditional=0.0)
    hears, eyes, mouth = modes(batch).unbind(1)
    own = region_boxes(raw["points"][:, 2:3])  # the middle one of six frames
    in_mouth = chosen_mask(own, torch.tensor([0.0, 0, 1]).expand(300, 1, 3), 8)[:, 0, 0] > 0
    zero = batch["weight"][:, 0, 0] == 0
    undecided = eyes & ~mouth & ~hears
    assert undecided.any() and zero[undecided].any((1, 2)).all() and not zero[~undecided].any()
    assert (zero[undecided].sum((1, 2)) == in_mouth[undecided].sum((1, 2))).float().mean() > 0.4  # the rest is mirrored
    masked = batch["masks"][:, 0].flatten(1).any(1)
    assert torch.equal(masked, eyes & ~mouth) and (masked & hears).any()
    _, plain, _ = batch_of(count=300, plain=1.0, unconditional=0.0)
    assert not plain["masks"].any() and (plain["weight"] > 0).all()
    shows = modes(plain)
    assert torch.equal(shows[:, 1], shows[:, 2])  # whole drivers or none


def test_masked_error_counts_by_weight():
    objective, batch, _ = batch_of(count=8, unconditional=0.0)
    first = objective.losses(batch, False)[0]["noise"]
    spoiled = {**batch, "target": batch["target"] + 9 * (batch["weight"] == 0)}
    assert torch.allclose(objective.losses(spoiled, False)[0]["noise"], first)
    other = {**batch, "target": batch["target"] + 9 * (batch["weight"] > 4)}
    assert objective.losses(other, False)[0]["noise"] > 2 * first


def test_unconditional_samples_lose_everything_together():
    objective, batch, _ = batch_of(unconditional=1.0)
    assert not batch["keep"].any() and not batch["keep_audio"].any() and not batch["drives"].any()
    assert not objective.added(batch).any()
    lite = replace(PRESETS["tiny"], reference_input=True, net=replace(PRESETS["tiny"].net, extra=8))
    objective, batch, _ = batch_of(config=lite, unconditional=1.0)
    assert not objective.added(batch).any()


def test_mirrored_windows_mirror_their_drivers():
    objective, _, _ = batch_of(count=2)
    data = windows()
    raw = data.gather(torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]]))
    chances = {"swap": 0.0, "style": 0.0, "size": 0.0, "colour": 0.0, "visual": 1.0, "audio": 0.0}
    raw["picture"] = raw["picture"][:, :, :, :, :].clone()
    objective, _, _ = batch_of(count=2, **chances)
    for seed in range(40):  # until both show eyes and mouth alike
        batch = objective.augment(raw, torch.Generator().manual_seed(seed))
        if modes(batch)[:, 1:].all():
            break
    plain, mirrored = (batch["driven"][i, 0, 0] for i in range(2))
    both = (plain > 0) & (mirrored.flip(-1) > 0)
    assert both.sum() > 50 and torch.allclose(plain[both], mirrored.flip(-1)[both], atol=0.02)


def test_disguises_change_looks_and_keep_the_mouths_opening():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(4, 2, 3, SIDE, SIDE, generator=generator)
    points = torch.from_numpy(FACE).expand(4, 2, -1, -1).clone()
    points[1] *= 1.3  # another person's face: larger
    points[1, :, 4, 1] += 0.1  # with a longer nose
    points[:, 1, 8, 1] += 0.05  # in the second frame the mouth is open

    def run(**chances):
        none = {"swap": 0.0, "style": 0.0, "size": 0.0, "colour": 0.0}
        draws = Draws(4, torch.device("cpu"), torch.Generator().manual_seed(3))
        return disguised(pictures, points, Chances(**{**none, **chances}), draws)

    same, unmoved = run()
    assert torch.allclose(same, pictures, atol=1e-3) and torch.allclose(unmoved, points, atol=1e-6)
    for name in ("swap", "style", "size", "colour"):
        made, moved = run(**{name: 1.0})
        assert (made - pictures).abs().mean() > 0.02 and made.min() >= 0 and made.max() <= 1
        assert torch.equal(moved, unmoved) is (name in ("style", "colour"))
    _, moved = run(swap=1.0)
    before, after = (p[:, :, 8, 1] - p[:, :, 7, 1] for p in (points, moved))
    assert torch.allclose(before, after, atol=1e-5)
    nose = (moved - points)[2, 0, 4]  # the third clip takes the second one's proportions
    assert nose[1] > 0.02


def test_warped_pictures_show_at_the_moved_points_what_was_at_the_points():
    """A ramp of brightness tells where each pixel came from."""
    ramp = (torch.arange(SIDE) + 0.5) / SIDE
    pictures = torch.stack([ramp.expand(SIDE, -1), ramp[:, None].expand(-1, SIDE), torch.zeros(SIDE, SIDE)])
    pictures = pictures.expand(2, 1, -1, -1, -1).clone()
    points = torch.from_numpy(FACE).expand(2, 1, -1, -1).clone()
    points[1, :, 4, 1] += 0.12
    chances = Chances(swap=0.0, style=0.0, size=1.0, colour=0.0)
    made, moved = disguised(pictures, points, chances, Draws(2, torch.device("cpu"), torch.Generator().manual_seed(1)))
    for row in range(2):
        for point, new in zip(points[row, 0], moved[row, 0]):
            x, y = ((new + 1) * SIDE / 2 - 0.5).round().long()
            assert (made[row, 0, :2, y, x] * 2 - 1 - point).abs().max() < 0.08


@pytest.mark.parametrize("stage", ["visual", "mixed", "motion", "all"])
def test_each_stage_trains_its_parts(stage):
    modules = alive(PRESETS["tiny"])
    choose_learning(modules, STAGES[stage].trains)
    learning = {f"{n}.{k}" for n, m in modules.items() for k, p in m.named_parameters() if p.requires_grad}
    parts = {
        "temporal": any(".temporal." in key for key in learning),
        "audio": any(".attn2." in key for key in learning),
        "self": any(".attn1." in key and key.startswith("denoiser") for key in learning),
        "reference": any(key.startswith("reference_net") for key in learning),
        "driven": any(key.startswith("driven_encoder") for key in learning),
        "codec": any(key.startswith("codec") for key in learning),
    }
    wanted = {"visual": {"self", "reference", "driven"}, "mixed": {"self", "reference", "driven", "audio"}}
    wanted |= {"motion": {"temporal"}, "all": set(parts) - {"codec"}}
    assert {name for name, there in parts.items() if there} == wanted[stage]
    assert stage == "all" or STAGES[f"paper-{stage}"].trains == STAGES[stage].trains


def test_the_papers_settings_learn_the_variance_and_save_memory():
    found = []
    for save in (0.0, 1.0):
        objective, batch, _ = batch_of("paper-mixed", count=4, save_memory=save)
        terms = objective.losses(batch, False)[0]
        assert set(terms) == {"noise", "bound"} and all(torch.isfinite(term) for term in terms.values())
        sum(terms.values()).backward()
        found.append((terms["noise"].item(), objective.modules["driven_encoder"].spatial_conv_out.weight.grad.clone()))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-5) and torch.allclose(found[0][1], found[1][1], atol=1e-6)
    with pytest.raises(ConfigError, match="set prediction to epsilon"):
        batch_of(config=replace(PRESETS["tiny"], prediction="v"))


def test_the_bound_teaches_the_variance_alone():
    objective, batch, _ = batch_of("paper-visual", count=4)
    objective.losses(batch, False)[0]["bound"].backward()
    grad = objective.modules["denoiser"].proj_out.weight.grad.unflatten(0, (4, 8))
    assert not grad[:, :4].any() and grad[:, 4:].any()


def test_sheets_show_reference_driver_target_and_result():
    objective, batch, _ = batch_of("motion", count=2, frames=6)
    sheet = objective.sheet(batch, objective.modules)
    assert sheet.shape == (8, 3, SIDE, SIDE) and sheet.min() >= 0 and sheet.max() <= 1
