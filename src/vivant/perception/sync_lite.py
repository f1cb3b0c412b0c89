"""Our own small sync net, after SyncNet (Chung and Zisserman 2016): lower faces and log-mel sound to one space.

It differs from the published net in input (grey lower faces of 96 px, 40 log-mel bins), size and training, so its
numbers are named apart: ``sync-c-lite`` and ``sync-d-lite``. Embeddings have the length 10, so distances lie in 0..20.

Axis letters: B batch, F frames, N = F - 4 windows, T steps of sound (100 a second), D numbers of an embedding.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional as F

from vivant.core.errors import WeightsError
from vivant.weights.assets import asset, assets_info
from vivant.weights.cards import WeightsInfo
from vivant.weights.loading import load_state, load_strict, read_metadata, sha256

BUNDLED = "sync/lite.safetensors"
SIZE = 96  # side of a lower face in pixels
RADIUS = 10.0  # length of an embedding
WINDOW, STEPS, HOP = 5, 20, 4  # frames, sound steps of a window, sound steps of a frame
_MEL_MEAN, _MEL_STD = 9.0, 4.0  # of log-mel energies of speech, roughly


@dataclass(frozen=True)
class SyncSize:
    """Sizes of the net. ``widths``: channels of the four stages of the picture trunk; ``sound``: of the sound trunk;
    ``embedding``: D."""

    widths: tuple[int, int, int, int] = (16, 32, 64, 96)
    sound: tuple[int, int, int] = (24, 48, 96)
    embedding: int = 128
    dropout: float = 0.2


TINY = SyncSize((4, 6, 8, 12), (4, 6, 8), 16)


class SyncLite(nn.Module):
    """The two nets, ``video`` and ``sound``."""

    def __init__(self, size: SyncSize | None = None) -> None:
        super().__init__()
        self.size = size or SyncSize()
        self.video = VideoNet(self.size)
        self.sound = SoundNet(self.size)

    def embed_video(self, frames: Tensor) -> Tensor:
        """Grey lower faces (B, F, 96, 96) in 0..1 -> (B, F - 4, D) of length 10, one for five frames."""
        return RADIUS * F.normalize(self.video(frames).float(), dim=-1)

    def embed_sound(self, mel: Tensor) -> Tensor:
        """Log-mel energies (B, T, 40) from the first frame on -> (B, (T - 20) // 4 + 1, D) of length 10."""
        return RADIUS * F.normalize(self.sound(mel).float(), dim=-1)


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut; ``stride`` 2 halves the picture."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(width_in, width, 3, stride)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width))
        self.shortcut = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(width_in, width, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.second(self.first(x)) + self.shortcut(x))


def _convolution(width_in: int, width: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(width_in, width, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU())


class VideoNet(nn.Module):
    """Three frames at a time in the first layer, then a trunk over each, then three of these: five frames in all.

    Neighbouring windows share the trunk, so a clip costs about as much as its frames."""

    def __init__(self, size: SyncSize) -> None:
        super().__init__()
        self.size = size
        a, b, c, d = size.widths
        self.stem = _convolution(3, a // 2, 5, 2)
        self.trunk = nn.Sequential(
            _Residual(a // 2, a, 2), _Residual(a, b, 2), _Residual(b, c, 2), _Residual(c, d, 2),
            nn.Conv2d(d, d, 3, bias=False), nn.BatchNorm2d(d), nn.ReLU(),
        )  # fmt: skip
        self.join = nn.Sequential(nn.Conv1d(d, 2 * d, 3, bias=False), nn.BatchNorm1d(2 * d), nn.ReLU())
        self.head = nn.Sequential(nn.Dropout(size.dropout), nn.Linear(2 * d, size.embedding))

    def forward(self, frames: Tensor) -> Tensor:
        """(B, F, 96, 96) in 0..1 -> (B, F - 4, D)."""
        threes = _even(frames).unfold(1, 3, 1).permute(0, 1, 4, 2, 3)  # (B, F - 2, 3, H, W)
        seen = self.trunk(self.stem(threes.flatten(0, 1))).flatten(1)
        joined = self.join(seen.unflatten(0, threes.shape[:2]).transpose(1, 2))
        return self.head(joined.transpose(1, 2))


def _even(frames: Tensor) -> Tensor:
    """Brightness and contrast taken out: mean 0 and deviation 1 of each frame."""
    mean, deviation = frames.mean((2, 3), keepdim=True), frames.std((2, 3), keepdim=True)
    return (frames - mean) / (deviation + 0.02)


class SoundNet(nn.Module):
    """A small trunk over the 20 steps of each window."""

    def __init__(self, size: SyncSize) -> None:
        super().__init__()
        a, b, c = size.sound
        self.trunk = nn.Sequential(
            nn.Conv2d(1, a, (3, 5), (1, 2), (1, 2), bias=False), nn.BatchNorm2d(a), nn.ReLU(),
            _Residual(a, b, 2), _Residual(b, c, 2),
            nn.Conv2d(c, 2 * c, 5, bias=False), nn.BatchNorm2d(2 * c), nn.ReLU(),
        )  # fmt: skip
        self.head = nn.Sequential(nn.Dropout(size.dropout), nn.Linear(2 * c, size.embedding))

    def forward(self, mel: Tensor) -> Tensor:
        """(B, T, 40) -> (B, (T - 20) // 4 + 1, D)."""
        windows = ((mel - _MEL_MEAN) / _MEL_STD).unfold(1, STEPS, HOP).transpose(2, 3)  # (B, N, 20, 40)
        seen = self.trunk(windows.flatten(0, 1)[:, None]).flatten(1)
        return self.head(seen).unflatten(0, windows.shape[:2])


def save_sync_lite(net: SyncLite, path: str | Path, **metadata: str) -> Path:
    """Write ``net`` as one safetensors file in float16, its sizes and ``metadata`` in the header."""
    from safetensors.torch import save_file

    path = Path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    halves = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    draft = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(halves, draft, {"net": "sync-lite", "size": json.dumps(asdict(net.size)), **metadata})
    draft.replace(path)
    return path


def load_sync_lite(path: str | Path | None = None) -> tuple[SyncLite, WeightsInfo]:
    """The net in evaluation mode on the CPU, frozen.

    Args:
        path: a file of :func:`save_sync_lite`; None takes the bundled weights.

    Raises:
        WeightsError: missing, damaged, or another model's file; the message names the keys.
    """
    file = asset(BUNDLED) if path is None else Path(path)
    metadata, state = read_metadata(file), load_state(file)
    try:
        values = json.loads(metadata["size"])
        width = int(values["embedding"])
        size = SyncSize(tuple(values["widths"]), tuple(values["sound"]), width, float(values["dropout"]))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{file} does not hold a sync-lite net: give a file that its training wrote.") from error
    net = SyncLite(size)
    load_strict(net, state, str(file))
    net.eval().requires_grad_(False)
    if path is None:
        row = assets_info()[BUNDLED]
        return net, WeightsInfo("sync-lite", {str(file): sha256(file)}, row.licence, row.source)
    licence = metadata.get("licence", "unknown")
    return net, WeightsInfo("sync-lite", {str(file): sha256(file)}, licence, metadata.get("source", str(file)))
