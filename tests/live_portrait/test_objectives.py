"""Both stages' objectives on small pictures: every loss is there, and learns what it should."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from portraits import modules_of, raw_pair
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.core.facemesh import TRAINING_POINTS
from vivant.methods.live_portrait import stage_one
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.reconstruct import fit_input
from vivant.methods.live_portrait.stage_one import BaseObjective
from vivant.methods.live_portrait.stage_two import OPENINGS, RetargetingObjective, ratios
from vivant.methods.live_portrait.train import STAGES, Objective, initialise
from vivant.pipelines.recipe import read_recipe
from vivant.training.features import LandmarksInPicture
from vivant.training.loop import LoopOptions, Trainer
from vivant.training.optim import Optimizer, learning_parameters

CPU = torch.device("cpu")
LOSSES_OF_THE_PAPER = {
    "perceptual", "regions", "adversarial", "feature_matching", "identity", "wing", "prior", "equivariance",
    "head_pose", "expression",
}  # fmt: skip


class OnePair:
    """Samples that are one pair over and over."""

    def __init__(self, face, size: int = 256) -> None:
        self.face, self.size = face, size

    def draw(self, step: int, seed: int, batch: int, mix: dict, rank: int = 0, world: int = 1) -> Tensor:
        return torch.zeros(batch, 3, dtype=torch.int64)

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        return raw_pair(self.face, self.size, len(index))

    def describe(self, index: Tensor) -> list[str]:
        return ["pair"] * len(index)


def test_the_paper_stage_names_every_loss_of_the_paper() -> None:
    assert set(STAGES["paper"].loss_weights) >= LOSSES_OF_THE_PAPER
    assert all(weight > 0 for weight in STAGES["paper"].loss_weights.values())
    assert set(STAGES["sharpen"].loss_weights) >= {"adversarial", "feature_matching", "identity"}


def test_the_published_nets_train_three_steps_with_all_losses(face, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stage_one, "PatchCritic", partial(stage_one.PatchCritic, limit=16))  # full width takes minutes
    modules = modules_of("tiny-published")
    before = {n: {k: v.clone() for k, v in m.state_dict().items()} for n, m in modules.items()}
    stage = replace(STAGES["paper"], steps=3, batch=1, warmup=0, critics_from=0.3, sample_every=3)
    trainer = Trainer(
        modules, PRESETS["tiny-published"], stage, Objective, OnePair(face), tmp_path, CPU, LoopOptions(log_every=1)
    )
    assert trainer.run().step == 3
    names = set(trainer.step.names)
    assert names >= LOSSES_OF_THE_PAPER | {"critic_whole", "critic_face", "critic_lips", "critic_grad_norm"}
    for name in stage.trains:
        moved = [k for k, v in modules[name].named_parameters() if not torch.equal(v, before[name][k])]
        assert moved, name
    assert (tmp_path / "sheets" / "00000003.jpg").exists()


def test_pictures_larger_than_the_input_are_the_target(face) -> None:
    objective = BaseObjective(modules_of("tiny-published"), PRESETS["tiny-published"], STAGES["paper"], CPU)
    batch = objective.augment(raw_pair(face, 512, 1), torch.Generator().manual_seed(0))
    assert batch["source_image"].shape[-1] == batch["driver_seen"].shape[-1] == 256
    made = {"image": torch.zeros(1, 3, 512, 512)}
    assert objective._target(batch, made) is batch["driver_target"] and batch["driver_target"].shape[-1] == 512
    small = fit_input({"source_image": torch.zeros(1, 3, 256, 256)}, 256)
    assert "driver_target" not in small
    with pytest.raises(ConfigError, match="frames of 128 px, the preset takes 256"):
        fit_input({"source_image": torch.zeros(1, 3, 128, 128)}, 256)


@pytest.mark.parametrize("preset", ["tiny", "tiny-published"])
@pytest.mark.parametrize("name", ["stitching", "eyes", "lips"])
def test_stage_two_moves_only_its_net_in_both_motion_spaces(face, name: str, preset: str) -> None:
    modules = modules_of(preset)
    for module in modules.values():
        module.requires_grad_(False)
    objective = Objective(modules, PRESETS[preset], STAGES[name], CPU)
    assert isinstance(objective, RetargetingObjective)
    nets = dict(modules["stitching_retargeting_module"].named_children())
    mine = objective._net(modules)
    with torch.no_grad():
        mine.mlp[-1].bias.fill_(0.01)  # at zero the picture stays, and the first term has no slope
    mine.requires_grad_(True)
    batch = objective.augment(raw_pair(face), torch.Generator().manual_seed(1))
    terms, _ = objective.losses(batch, False)
    assert set(terms) == set(STAGES[name].loss_weights)
    sum(terms.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mine.mlp[-1].parameters())
    others = [p for net in nets.values() if net is not mine for p in net.parameters()]
    assert all(p.grad is None for p in others)
    assert objective.sheet(batch, modules).shape == (6, 3, 256, 256)


@pytest.mark.parametrize("name", ["eyes", "lips"])
def test_stage_two_reads_openings_from_the_picture_whatever_the_motion_extractor_sees(face, name: str) -> None:
    image, labels, marks = face
    objective = RetargetingObjective(modules_of("tiny"), PRESETS["tiny"], STAGES[name], CPU)
    picture = image.clone().requires_grad_(True)
    found = objective._measure(picture, {"source_landmarks": labels})
    rows = [torch.tensor(points) for points in OPENINGS[name]]
    assert (found - ratios(torch.from_numpy(marks)[None], rows)).abs().max() < 0.03  # an untrained M is far off
    found.sum().backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0


def test_a_share_of_the_samples_shows_the_warp_what_the_motion_extractor_sees(face) -> None:
    modules = modules_of("tiny")

    def shown(chance: float | None, count: int = 2) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        settings = {} if chance is None else {"own_shape": chance}
        objective = BaseObjective(modules, PRESETS["tiny"], replace(STAGES["base"], settings=settings), CPU)
        batch = objective.augment(raw_pair(face, count=count), torch.Generator().manual_seed(3))
        seen: list[Tensor] = []
        hook = modules["warping_module"].register_forward_pre_hook(lambda _, given: seen.extend(given[1:]))
        with torch.no_grad():
            out = objective.forward(batch)
        hook.remove()
        return torch.stack(seen), torch.stack([out["x_s"], out["x_d"]]), batch

    told, own, usual = shown(None)
    assert "own_shape" not in usual and not torch.equal(told, own)
    assert torch.equal(shown(0.0)[0], told)  # the same draws otherwise
    assert torch.equal(shown(1.0)[0], own)
    mixed, own, batch = shown(0.5, 8)
    as_seen = (mixed == own).flatten(2).all(2)
    assert torch.equal(as_seen[0], batch["own_shape"]) and torch.equal(as_seen[1], batch["own_shape"])
    assert 0 < batch["own_shape"].sum() < 8
    with pytest.raises(ConfigError, match=r"own_shape is 1\.5"):
        shown(1.5)


def test_the_warp_seeing_their_shape_teaches_the_motion_extractor(face) -> None:
    slopes = {}
    for chance in (0.0, 1.0):
        modules = modules_of("tiny")
        stage = replace(STAGES["base"], settings={"own_shape": chance}, loss_weights={"copied": 1.0})
        objective = BaseObjective(modules, PRESETS["tiny"], stage, CPU)
        torch.manual_seed(5)
        with torch.no_grad():  # two frames that M sees alike would not move anything
            modules["motion_extractor"].head.weight.normal_(0, 0.1)
        batch = objective.augment(raw_pair(face), torch.Generator().manual_seed(3))
        sum(objective.losses(batch, False)[0].values()).backward()
        config = PRESETS["tiny"].space
        lids = [3 * config.keypoints + 3 * config.landmarks.index(point) + 1 for point in (159, 145)]
        slopes[chance] = modules["motion_extractor"].head.weight.grad[lids].abs().sum().item()
    assert slopes[0.0] == 0 < slopes[1.0]


def test_a_layer_of_the_next_fresh_start_has_a_rate_of_its_own() -> None:
    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / "live_portrait" / "fresh.yaml")
    stage = recipe.resolve(STAGES)[0]
    assert stage.settings == {"own_shape": 0.25} and 0 < stage.rates["motion_extractor.hidden"] < 0.2
    optimizer = Optimizer(
        learning_parameters(modules_of("tiny")), 1.0, (0.9, 0.99), 0.0, factors=stage.rates
    )  # raises where a name fits nothing
    assert sorted({group["lr"] for group in optimizer._adam.param_groups}) == [
        stage.rates["motion_extractor.hidden"],
        1.0,
    ]


@pytest.mark.parametrize("name", ["base", "lips"])
def test_the_same_seed_gives_the_same_losses(face, name: str) -> None:
    runs = []
    for _ in range(2):
        stage = replace(STAGES[name], settings={"own_shape": 0.5} if name == "base" else {})
        objective = Objective(modules_of("tiny"), PRESETS["tiny"], stage, CPU)
        batch = objective.augment(raw_pair(face), torch.Generator().manual_seed(7))
        with torch.no_grad():
            runs.append({key: float(value) for key, value in objective.losses(batch, False)[0].items()})
    assert runs[0] == runs[1]


def test_an_untrained_stitching_net_leaves_the_keypoints(face) -> None:
    modules = modules_of("tiny")
    objective = RetargetingObjective(modules, PRESETS["tiny"], STAGES["stitching"], CPU)
    batch = objective.augment(raw_pair(face), torch.Generator().manual_seed(1))
    with torch.no_grad():
        out = objective.forward(batch, modules)
    assert out["delta"].abs().max() == 0
    chin = batch["source_landmarks"][:, TRAINING_POINTS.index(152), 1]
    rows = torch.linspace(-1, 1, 256)
    for keep, height in zip(out["keep"][:, 0, :, 0], chin):
        assert (keep[rows < height] == 0).all()  # the face may change, what lies under the chin may not
        assert (keep[rows > height + 0.25] == 1).all()


def test_the_region_that_may_change_lies_at_the_labels(face) -> None:
    modules = modules_of("tiny")
    for name, inside, outside in (("eyes", 159, 17), ("lips", 13, 159)):
        objective = RetargetingObjective(modules, PRESETS["tiny"], STAGES[name], CPU)
        batch = {"source_landmarks": face[1]}
        keep = objective._outside(batch)

        def at(point: int, keep: Tensor = keep) -> float:
            x, y = ((face[1][0, TRAINING_POINTS.index(point), :2] + 1) * 128).long().tolist()
            return float(keep[0, 0, y, x])

        assert at(inside) < 0.05 and at(outside) > 0.9


def test_the_landmark_twin_sees_what_the_tracker_sees_and_lets_gradients_through(face) -> None:
    image, labels, marks = face
    net = LandmarksInPicture(CPU)
    picture = image.clone().requires_grad_(True)
    found = net(picture, labels)
    expected = torch.from_numpy(marks[:, :2] / 128 - 1)
    assert found.shape == (1, 478, 2) and (found[0] - expected).norm(dim=1).mean() * 128 < 1.0  # pixels of 256
    lips = [torch.tensor([13, 14, 61, 291])]
    ratios(found, lips).sum().backward()
    assert picture.grad is not None and picture.grad.abs().sum() > 0
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        assert torch.equal(net(image, labels), found.detach())


def test_ratios_are_opening_over_width() -> None:
    points = torch.tensor([[[0.0, 0.1, 5.0], [0.0, -0.1, -5.0], [-0.4, 0.0, 0.0], [0.4, 0.0, 0.0]]])
    assert torch.allclose(ratios(points, [torch.arange(4)]), torch.tensor([[0.25]]), atol=1e-3)


def test_a_fresh_start_knows_imagenet_and_the_mean_face() -> None:
    from vivant.training.features import imagenet_trunk

    config = PRESETS["tiny"]
    modules = modules_of("tiny")
    shape = torch.randn(config.space.keypoints, 3)
    with torch.no_grad():
        initialise(modules, config, SimpleNamespace(mean_shape=lambda landmarks: shape[: len(landmarks)]))
    extractor = modules["motion_extractor"]
    assert torch.equal(extractor.mean_shape, shape)
    trunk = imagenet_trunk(config.backbone_blocks).state_dict()
    assert all(torch.equal(value, trunk[key]) for key, value in extractor.trunk.state_dict().items())
    initialise(modules_of("tiny-published"), PRESETS["tiny-published"], None)
