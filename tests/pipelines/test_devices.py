"""The device and number type that are asked for."""

from __future__ import annotations

import warnings

import pytest
import torch

from vivant.pipelines import devices


def test_bf16_on_a_processor_without_it_is_warned_of(monkeypatch):
    monkeypatch.setattr(devices, "has_native_bf16", lambda: False)
    with pytest.warns(UserWarning, match="no bf16 instructions"):
        assert devices.pick_dtype("bf16", "cpu") == torch.bfloat16
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.pick_dtype("auto", "cpu") == torch.float32
        assert devices.pick_dtype("bf16", "cuda") == torch.bfloat16
        monkeypatch.setattr(devices, "has_native_bf16", lambda: True)
        assert devices.pick_dtype("bf16", "cpu") == torch.bfloat16
