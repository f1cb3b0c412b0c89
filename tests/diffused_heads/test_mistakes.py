"""Motion frames of training as sampling has them: with mistakes, at the portrait, coarse."""

from dataclasses import replace

import numpy as np
import torch
from training_makers import TINY, objective, pack

from vivant.data.talking import TalkingFrames
from vivant.methods.diffused_heads.guard import MotionFrames
from vivant.methods.diffused_heads.mistakes import mistaken


def test_motion_frames_have_mistakes_only_when_asked():
    raw = TalkingFrames(pack(), encoder="mel").gather(torch.tensor([[4, 0, 0, 4]] * 8))
    plain = objective().augment(raw, torch.Generator().manual_seed(0))
    rough = objective(weights={"drift": 1.0}).augment(raw, torch.Generator().manual_seed(0))
    assert torch.equal(plain["frame"], rough["frame"]) and torch.equal(plain["identity"], rough["identity"])
    assert float((plain["motion"] - rough["motion"]).abs().mean((1, 2, 3)).max()) > 0.01
    assert float(plain["motion"].flatten(2).std(2).max()) < 1e-3  # flat pictures stay flat without it


def test_mistakes_bend_pictures_smoothly_by_a_few_hundredths_of_the_side():
    side, count = 64, 64
    ramp = 0.7 * ((torch.arange(side) + 0.5) / side * 2 - 1)
    motion = ramp.expand(count, 2, 3, side, side).contiguous()  # what is read tells from where
    found = mistaken(motion, torch.full((count, 3, side, side), 9.0), 1.0, torch.Generator().manual_seed(0))
    shift = (found.mean(2) - motion[:, :, 0])[..., 8:-8, 8:-8]  # colours shift it a little, too
    kept = (found.amax((2, 3, 4)) < 1).all(1)  # neither anchored nor replaced by the portrait, which is over 1
    assert 20 < int(kept.sum()) < count
    assert 0.02 < float(shift[kept].abs().amax((1, 2, 3)).median()) < 0.35
    assert float(shift[kept].diff(dim=-1).abs().mean()) < 0.01
    alike = torch.corrcoef(shift[kept].mean((2, 3)).T)[0, 1]
    assert 0.7 < float(alike) < 0.999  # both frames of a sample mostly share their mistake
    assert torch.equal(mistaken(motion, motion[:, 0], 0.0, torch.Generator().manual_seed(0)), motion)


def test_some_samples_begin_at_the_portrait():
    motion, identity = torch.zeros(400, 2, 3, 8, 8), torch.ones(400, 3, 8, 8)
    found = mistaken(motion, identity, 1.0, torch.Generator().manual_seed(0)).mean((2, 3, 4)) > 0.95
    assert 20 < int(found.all(1).sum()) < 70 and 25 < int((found[:, 0] & ~found[:, 1]).sum()) < 75
    assert not (found[:, 1] & ~found[:, 0]).any()


def test_nets_that_see_coarse_motion_are_trained_as_they_are_shown_it():
    config = replace(TINY, motion_coarse=4)
    rows = torch.tensor([[4, 0, 0, 4]])
    source = pack()
    source.frames[:] = np.random.default_rng(0).integers(0, 255, source.frames.shape, dtype=np.uint8)
    raw = TalkingFrames(source, encoder="mel").gather(rows)
    batch = objective(config).augment(raw, torch.Generator().manual_seed(0))
    fine = objective(TINY).augment(raw, torch.Generator().manual_seed(0))["motion"]
    chain = MotionFrames(fine[:, :3], 2, False, factor=4)
    chain.add(fine[:, 3:])
    assert torch.allclose(chain.before(1), batch["motion"], atol=1e-6)
    assert float(batch["motion"].std()) < 0.5 * float(fine.std())
    noisy = [MotionFrames(fine[:, :3], 2, False, factor=4, noise=0.1, seed=seed).before(1) for seed in (0, 0, 1)]
    assert torch.equal(noisy[0], noisy[1]) and not torch.equal(noisy[0], noisy[2])
