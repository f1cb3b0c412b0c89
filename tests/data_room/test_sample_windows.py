"""Windows of frames: drawn by pure functions, gathered with their reference, mirrored as a whole."""

from __future__ import annotations

import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.data.windows import ClipWindows, WindowClip

CLIPS = [WindowClip("a", "grid", 5), WindowClip("b", "rig", 2), WindowClip("c", "rig", 6)]


def windows(length=3):
    latents = torch.cat([torch.arange(13.0), 100 + torch.arange(13.0)])[:, None]
    return ClipWindows(CLIPS, {"latents": latents, "pose": torch.arange(13.0)[:, None]}, length, ["latents"])


def test_windows_stay_inside_their_clips_and_short_clips_are_left_out():
    data = windows()
    assert len(data) == 13 and data.groups == {"grid": 1, "rig": 1}
    index = data.draw(0, 7, 200, {})
    reference, first, clip, flip = index.unbind(1)
    starts, ends = torch.tensor([0, 5, 7])[clip], torch.tensor([5, 7, 13])[clip]
    assert (clip != 1).all() and (first >= starts).all() and (first + 3 <= ends).all()
    assert (reference >= starts).all() and (reference < ends).all() and 0 < flip.float().mean() < 1


def test_the_same_step_draws_the_same_and_ranks_share_a_batch():
    data = windows()
    whole = data.draw(3, 7, 8, {"grid": 0.5, "rig": 0.5})
    assert torch.equal(whole, data.draw(3, 7, 8, {"grid": 0.5, "rig": 0.5}))
    parts = [data.draw(3, 7, 4, {"grid": 0.5, "rig": 0.5}, rank, 2) for rank in range(2)]
    assert torch.equal(whole, torch.cat(parts)) and not torch.equal(whole, data.draw(4, 7, 8, {}))
    assert (whole[:, 2] == 0).sum() == 4


def test_gathered_frames_follow_one_another_and_mirror_together():
    found = windows().gather(torch.tensor([[1, 2, 0, 0], [7, 9, 2, 1]]))
    assert found["latents"][..., 0].tolist() == [[2, 3, 4], [109, 110, 111]]
    assert found["pose"][..., 0].tolist() == [[2, 3, 4], [9, 10, 11]]
    assert found["reference_latents"].flatten().tolist() == [1, 107] and found["flip"].tolist() == [0, 1]


def test_readable_names_and_refusals():
    data = windows()
    assert data.describe(torch.tensor([[7, 9, 2, 1]])) == ["c[0->2] mirrored"]
    with pytest.raises(ConfigError, match="mix names"):
        data.draw(0, 0, 2, {"people": 1.0})
    with pytest.raises(ConfigError, match="No clip has the 7 frames"):
        windows(7)
    with pytest.raises(ConfigError, match="'latents' has 13 rows where 26"):
        ClipWindows(CLIPS, {"latents": torch.zeros(13, 1)}, 3, ["latents"])
