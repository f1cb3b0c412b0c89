"""Dead units of M come back, and M answers as before."""

from __future__ import annotations

import torch
from portraits import modules_of
from revive_units import living, revive

from vivant.methods.live_portrait.lite import MotionExtractor


def test_dead_units_live_again_and_the_answers_stay() -> None:
    extractor = modules_of("tiny")["motion_extractor"]
    assert isinstance(extractor, MotionExtractor)
    seen = torch.rand(64, extractor.hidden.in_features, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        extractor.head.weight.normal_(0, 0.1)
        extractor.hidden.weight[5:] = -extractor.hidden.weight[5:].abs()  # no input is negative: these never live
        extractor.hidden.bias[5:] = -0.1
        before = extractor.head(extractor.hidden(seen).relu())
    alive = living(extractor, seen)
    assert not alive[5:].any()
    assert revive(extractor, seen) == int((~alive).sum())
    assert living(extractor, seen).all()
    share = (extractor.hidden(seen) > 0).float().mean(0)[5:]
    assert 0.3 < share.mean() < 0.7
    assert torch.allclose(extractor.head(extractor.hidden(seen).relu()), before, atol=1e-6)
    # the next step moves what they answer
    extractor.head(extractor.hidden(seen).relu()).square().sum().backward()
    assert (extractor.head.weight.grad[:, 5:].abs().sum(0) > 0).all()  # type: ignore[index]
