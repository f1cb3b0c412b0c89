"""A step that runs as a graph."""

from __future__ import annotations

import torch

from vivant.training.capture import CapturedStep


def test_a_released_step_holds_no_graph(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    device = torch.device("cpu")
    step = CapturedStep(lambda mode: None, device, [], enabled=False)
    step.release()
    assert not waited
    step._graph, step._mode, step._calls = object(), False, 9
    step.release()
    assert step._graph is None and step._calls == 0 and waited == [device]
