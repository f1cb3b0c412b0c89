"""Nets of metrics: LPIPS against torchmetrics, published files by their keys, invariance to batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as reference

from vivant.core.errors import WeightsError
from vivant.metrics.nets.i3d import I3D
from vivant.metrics.nets.inception import InceptionV3
from vivant.metrics.nets.lite0 import Lite0, distance, window_features
from vivant.metrics.nets.loaders import is_program, load_i3d, load_inception, window_tensor
from vivant.metrics.nets.lpips import Lpips, load_lpips
from vivant.metrics.nets.published import Store
from vivant.metrics.nets.published import _in_torchmetrics as heads


def body(trunk: str) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    net = Lpips(trunk)  # type: ignore[arg-type]
    return {key: value for key, value in net.state_dict().items() if key.startswith("features.")}


@pytest.fixture(scope="module")
def alex_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet with random weights under its published name and keys, classifier included."""
    folder = tmp_path_factory.mktemp("weights")
    state = body("alex") | {"classifier.1.weight": torch.zeros(2, 2)}
    torch.save(state, folder / "alexnet-owt-7be5be79.pth")
    return folder


@pytest.mark.parametrize("trunk", ["alex", "vgg"])
def test_lpips_agrees_with_torchmetrics_parts(trunk: str) -> None:
    """The published linear heads on random trunks, against torchmetrics' normalisation and scaling."""
    net = Lpips(trunk)  # type: ignore[arg-type]
    found = torch.load(str(heads(f"lpips-{trunk}")), weights_only=True, map_location="cpu")
    net.load_state_dict(body(trunk) | found)
    a, b = torch.rand(2, 2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    scaling, total = reference._ScalingLayer if hasattr(reference, "_ScalingLayer") else reference.ScalingLayer, 0.0
    maps = []
    for image in (a, b):
        x, kept = scaling()(2 * image - 1), []
        for number, layer in enumerate(net.features):
            x = layer(x)
            if number in net.taps:
                kept.append(reference._normalize_tensor(x))
        maps.append(kept)
    for number, (one, other) in enumerate(zip(*maps)):
        weight = found[f"lin{number}.model.1.weight"]
        total = total + ((one - other) ** 2 * weight).sum(1).mean((1, 2))
    assert torch.allclose(net(a, b), total, atol=1e-6)
    assert float(net(a, a).detach().abs().max()) == 0


def test_lpips_from_files(alex_folder: Path) -> None:
    meter = load_lpips("alex", Store(alex_folder))
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (72, 80, 3), np.uint8) for _ in range(4)]
    together = meter.distance(meter.levels(pictures[:2]), meter.levels(pictures[2:]))
    alone = [meter.distance(meter.levels([a]), meter.levels([b]))[0] for a, b in zip(pictures[:2], pictures[2:])]
    assert np.allclose(together, alone, atol=1e-5) and (together > 0).all()
    with pytest.raises(WeightsError, match="vgg16"):
        load_lpips("vgg", Store(alex_folder))


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert "pt_inception" in str(store.lacks("inception-fid")) and "--metric-weights" in str(
        store.lacks("i3d-kinetics")
    )
    (tmp_path / "pt_inception-2015-12-05-6726825d.pth").write_bytes(b"no weights")
    assert store.lacks("inception-fid") is None
    with pytest.raises(WeightsError, match="not a weights file"):
        load_inception(store)


def test_published_files_load_by_their_keys(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = InceptionV3().state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    pictures = [np.full((40, 40, 3), value, np.uint8) for value in (30, 220)]
    describe = load_inception(Store(tmp_path))
    found = describe(pictures)
    assert found.shape == (2, 2048)
    assert np.allclose(found[1:], describe(pictures[1:]), atol=1e-5)
    torch.save(old | {"fc.bias": torch.zeros(7)}, tmp_path / "pt_inception-2015-12-05-6726825d.pth")
    with pytest.raises(WeightsError, match="wrong shape"):
        load_inception(Store(tmp_path))


def test_i3d_from_its_file_and_from_a_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(I3D().state_dict(), tmp_path / "rgb_imagenet.pt")
    pictures = [np.full((60, 90, 3), 10 * i, np.uint8) for i in range(16)]
    assert load_i3d(Store(tmp_path))(pictures).shape == (1, 400)
    assert not is_program(tmp_path / "rgb_imagenet.pt")

    class Program(nn.Module):
        def forward(
            self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = True
        ) -> torch.Tensor:
            return x.mean((2, 3, 4))

    torch.jit.script(Program()).save(str(tmp_path / "i3d_torchscript.pt"))
    assert is_program(tmp_path / "i3d_torchscript.pt")
    found = load_i3d(Store(tmp_path))(pictures)  # the program's name comes first
    assert found.shape == (1, 3) and found[0] == pytest.approx([75] * 3, rel=1e-5)


def test_windows_for_i3d_are_square_and_in_range() -> None:
    window = window_tensor(torch.ones(16, 3, 60, 90))
    assert window.shape == (1, 3, 16, 224, 224)
    assert float(window.min()) == pytest.approx(1) and float(window.max()) == pytest.approx(1)


def test_lite0_does_not_depend_on_the_batch_and_grows_with_blur(picture: np.ndarray) -> None:
    import cv2

    net = Lite0()
    blurred = [cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (0.7, 1.5, 3)]
    apart = distance(net.levels(blurred), net.levels([picture] * 3))
    assert apart[0] < apart[1] < apart[2]
    alone = distance(net.levels(blurred[1:2]), net.levels([picture]))
    assert alone[0] == pytest.approx(apart[1], abs=1e-5)
    pooled, timed = net.describe([picture, *blurred])
    assert pooled.shape == (4, 320) and timed.shape == (4, 112)
    assert np.allclose(net.describe(blurred[2:])[0], pooled[3:], atol=1e-5)


def test_window_features_tell_change_over_time() -> None:
    still, rng = np.ones((40, 112), np.float32), np.random.default_rng(0)
    found = window_features(still)
    assert found.shape == (2, 336) and (found[:, 112:] == 0).all()
    moving = window_features(still + rng.normal(0, 1, still.shape).astype(np.float32))
    assert (moving[:, 112:] > 0).all()
