"""SyncNet (Chung and Zisserman 2016, "Out of time") in the layout of the published file ``syncnet_v2.model``.

Five frames of a face and 0.2 s of sound become 1024 numbers each; their Euclidean distance is small where lips and
sound belong together. The published weights are fetched from the hub or read from a file that the user has; none is
bundled.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import pass_gate
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, sha256

SIZE = 224  # side of a face crop in pixels
WIDTH = 1024  # numbers of an embedding
HUB, HUB_FILE = "ByteDance/LatentSync", "auxiliary/syncnet_v2.model"
LICENCE = "as its authors state (joonson/syncnet_python: MIT; the file has no licence of its own)"


class SyncNet(nn.Module):
    """The two nets, keyed like the published file: ``netcnnaud``, ``netfcaud``, ``netcnnlip``, ``netfclip``."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.netcnnaud = nn.Sequential(
            *_block(2, 1, 64, (3, 3), padding=1), nn.MaxPool2d(1, 1),
            *_block(2, 64, 192, (3, 3), padding=1), nn.MaxPool2d(3, (1, 2)),
            *_block(2, 192, 384, (3, 3), padding=1),
            *_block(2, 384, 256, (3, 3), padding=1),
            *_block(2, 256, 256, (3, 3), padding=1), nn.MaxPool2d(3, (2, 2)),
            *_block(2, 256, 512, (5, 4)),
        )  # fmt: skip
        self.netfcaud = _head(width)
        self.netfclip = _head(width)
        self.netcnnlip = nn.Sequential(
            *_block(3, 3, 96, (5, 7, 7), (1, 2, 2)), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(3, 96, 256, (1, 5, 5), (1, 2, 2), (0, 1, 1)), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *_block(3, 256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_block(3, 256, 256, (1, 3, 3), padding=(0, 1, 1)),
            *_block(3, 256, 256, (1, 3, 3), padding=(0, 1, 1)), nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *_block(3, 256, 512, (1, 6, 6)),
        )  # fmt: skip

    def embed_video(self, windows: Tensor) -> Tensor:
        """Five frames (B, 3, 5, 224, 224), BGR in 0..255 -> (B, 1024)."""
        return self.netfclip(self.netcnnlip(windows).flatten(1))

    def embed_sound(self, windows: Tensor) -> Tensor:
        """MFCCs of 20 steps (B, 1, 13, 20) -> (B, 1024)."""
        return self.netfcaud(self.netcnnaud(windows).flatten(1))


def _block(
    axes: int, width_in: int, width: int, kernel: tuple[int, ...],
    stride: int | tuple[int, ...] = 1, padding: int | tuple[int, ...] = 0,
) -> tuple[nn.Module, nn.Module, nn.Module]:  # fmt: skip
    convolution, norm = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[axes - 2]
    return convolution(width_in, width, kernel, stride, padding), norm(width), nn.ReLU()  # type: ignore[arg-type]


def _head(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, width))


def load_syncnet(path: str | Path | None = None) -> tuple[SyncNet, WeightsInfo]:
    """The published net in evaluation mode on the CPU.

    Args:
        path: ``syncnet_v2.model`` (a pickle of tensors; no code of it runs) or a safetensors copy; None takes it from
            the hub's cache or downloads it (54.6 MB).

    Raises:
        MissingExtraError: ``path`` is None and huggingface_hub is not installed.
        WeightsError: missing, damaged, unsafe, or another model's file; the message names the keys.
    """
    pass_gate("syncnet", LICENCE)
    file = hub_file(HUB, HUB_FILE) if path is None else Path(path)
    with torch.device("meta"):
        net = SyncNet()
    net = net.to_empty(device="cpu")
    state = load_state(file)
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):  # torch 0.3, which wrote the file, did not count batches
            state.setdefault(key, torch.zeros_like(value))
    load_strict(net, state, str(file))
    source = f"{HUB}/{HUB_FILE} on Hugging Face" if path is None else str(file)
    net.eval().requires_grad_(False)
    return net, WeightsInfo("syncnet_v2", {str(file): sha256(file)}, LICENCE, source)
