from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from vivant.training import losses as L
from vivant.training.critics import PatchCritic
from vivant.training.transforms import RandomWarp, Warp

torch.set_num_threads(1)


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_hinge_is_two_at_chance_and_zero_beyond_the_margins() -> None:
    zero = torch.zeros(4, 1, 3, 3)
    assert L.hinge_critic(zero, zero) == 2
    assert L.hinge_critic(zero + 1.5, zero - 1.2) == 0
    assert L.hinge_critic(zero + 0.25, zero - 0.5) == pytest.approx(0.75 + 0.5)
    assert L.hinge_generator(zero + 0.7) == pytest.approx(-0.7)


def test_feature_matching_averages_layers_and_leaves_the_real_side_alone() -> None:
    fake = [torch.ones(2, 3, requires_grad=True), torch.full((2, 5), 4.0, requires_grad=True)]
    real = [torch.zeros(2, 3, requires_grad=True), torch.full((2, 5), 1.0, requires_grad=True)]
    value = L.feature_matching(fake, real)
    value.backward()
    assert value == 2.0 and real[0].grad is None and fake[0].grad is not None


def test_wing_is_logarithmic_then_linear_and_continuous() -> None:
    zero = torch.zeros(1, dtype=torch.float64)
    assert L.wing(zero + 0.05, zero) == pytest.approx(0.1 * math.log(1 + 5), rel=1e-5)
    corner = 0.1 * math.log(1 + 10)
    assert L.wing(zero + 0.3, zero) == pytest.approx(0.3 - 0.1 + corner, rel=1e-5)
    assert L.wing(zero + 0.1 - 1e-6, zero) == pytest.approx(float(L.wing(zero + 0.1 + 1e-6, zero)), abs=1e-5)


def test_the_keypoint_prior_pushes_close_points_apart_and_holds_the_depth() -> None:
    far = torch.tensor([[[0.0, 0.0, 0.33], [1.0, 0.0, 0.33]]])
    assert L.keypoint_prior(far) == pytest.approx(2 * 0.1, abs=1e-6)  # the points with themselves
    near = torch.tensor([[[0.0, 0.0, 0.0], [0.2, 0.0, 0.0]]])
    assert L.keypoint_prior(near) == pytest.approx(0.2 + 2 * (0.1 - 0.04) + 0.33, abs=1e-5)


def test_deformation_and_head_pose_have_their_closed_forms() -> None:
    assert L.deformation_prior(torch.tensor([[[1.0, -2.0, 0.5], [0.0, 0.0, 0.5]]])) == pytest.approx(2.0)
    ours, theirs = [torch.tensor([1.0, 3.0])] * 3, [torch.tensor([2.0, 2.0]), torch.zeros(2), torch.tensor([1.0, 3.0])]
    assert L.head_pose(ours, theirs) == pytest.approx(1 + 2 + 0)


def test_a_warp_moves_pictures_and_points_alike() -> None:
    warp = RandomWarp(affine_sd=0.08, spline_sd=0.01).draw(3, torch.Generator().manual_seed(4))
    size = 64
    line = (torch.arange(size) + 0.5) * 2 / size - 1
    smooth = torch.stack(torch.meshgrid(line, line, indexing="xy"), 0).expand(3, -1, -1, -1)  # tells where it was
    warped = warp.image(smooth)
    points = rand(3, 10, 2) - 0.5
    read = F.grid_sample(warped, points[:, :, None], align_corners=False)[..., 0].transpose(1, 2)
    torch.testing.assert_close(read, warp.points(points), atol=2e-3, rtol=0)
    assert L.equivariance(warp.points(points), points, warp.points) == 0


def test_without_noise_a_warp_is_the_identity_and_draws_follow_the_generator() -> None:
    points = rand(2, 5, 2)
    still = RandomWarp(affine_sd=0.0, spline_sd=0.0).draw(2)
    torch.testing.assert_close(still.points(points), points)
    maker = RandomWarp()
    a, b = (maker.draw(2, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(a.points(points), b.points(points)) and not torch.equal(maker.draw(2).affine, a.affine)


def test_a_translated_warp_reads_from_the_shifted_place() -> None:
    affine = torch.tensor([[[1.0, 0.0, 0.5], [0.0, 1.0, 0.0]]])
    warp = Warp(affine, torch.zeros(1, 1, 2), torch.zeros(1, 2))
    assert warp.points(torch.zeros(1, 1, 2)).tolist() == [[[0.5, 0.0]]]


def test_the_critic_gives_a_map_of_answers_and_its_features() -> None:
    critic = PatchCritic(base=4)
    answers, features = critic(rand(2, 3, 64, 64))
    assert answers.shape == (2, 1, 2, 2) and [f.shape[1] for f in features] == [8, 16, 32, 64]
    assert PatchCritic().head.in_channels == 512


def test_the_critic_learns_to_tell_noise_from_flat_pictures() -> None:
    torch.manual_seed(0)
    critic = PatchCritic(base=4)
    optimizer = torch.optim.Adam(critic.parameters(), 5e-3)
    flat, noise = torch.full((4, 3, 64, 64), 0.5), rand(4, 3, 64, 64)
    values = []
    for _ in range(25):
        loss = L.hinge_critic(critic(flat)[0], critic(noise)[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert values[-1] < 1.0 < 1.8 < values[0]
