"""Latent codecs: pictures to small maps of about unit variance that diffusion works on, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from vivant.core.errors import ConfigError, WeightsError
from vivant.diffusion.autoencoder import Autoencoder, AutoencoderConfig, TinyDecoder, our_names
from vivant.diffusion.precision import widen
from vivant.weights.cards import WeightsInfo
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, sha256

SD_VAE = "stabilityai/sd-vae-ft-mse"
"""Hub repository of the autoencoder that V-Express and Animate Anyone were trained with (MIT)."""
TINY_SD = "madebyollin/taesd"
"""Hub repository of the tiny preview decoder (MIT)."""
DECODED = 4
"""Latents that are decoded at once."""
_WEIGHTS = "diffusion_pytorch_model"


@runtime_checkable
class Decoder(Protocol):
    """What turns latents into pictures."""

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to images (B, 3, H, W) in 0..1 (not clamped)."""


@runtime_checkable
class Codec(Decoder, Protocol):
    """A latent codec. ``channels``: C of a latent; ``factor``: pixels a side of one latent, H = factor h."""

    channels: int
    factor: int

    def encode(self, images: Tensor, generator: Generator | None = None, sample: bool = False) -> Tensor:
        """Images (B, 3, H, W) in 0..1 to latents (B, C, h, w) of about unit variance; ``sample`` draws from the
        posterior, as trainings do, instead of taking its mean."""


def load_autoencoder(folder: str | Path | None = None) -> tuple[Autoencoder, WeightsInfo]:
    """Stable Diffusion's autoencoder in evaluation mode on the CPU: from a folder (or a file in it), else the hub.

    A folder holds ``config.json`` and the weights as the hub has them (safetensors, or a pickle of tensors); without
    ``config.json`` the sizes of Stable Diffusion 1.5 are meant.

    Raises:
        WeightsError: the files are missing, damaged, or of another architecture.
    """
    if folder is None:
        config_file: Path | None = hub_file(SD_VAE, "config.json")
        weights = hub_file(SD_VAE, f"{_WEIGHTS}.safetensors")
    else:
        root = Path(folder)
        weights = _weights_in(root) if root.is_dir() else root
        config_file = weights.parent / "config.json"
    config = _read_config(config_file) if config_file is not None and config_file.is_file() else AutoencoderConfig()
    with torch.device("meta"):
        net = Autoencoder(config)
    net = net.to_empty(device="cpu")
    load_strict(net, our_names(load_state(weights)), str(weights))
    source = f"{SD_VAE} on Hugging Face" if folder is None else str(folder)
    info = WeightsInfo("sd-vae", {str(weights): sha256(weights)}, "MIT" if folder is None else "unknown", source)
    return net.eval(), info


def build_codec(name: str) -> nn.Module:
    """The latent codec "sd" (Stable Diffusion's), "lite" or "tiny" (ours) with random weights."""
    if name == "sd":
        return Autoencoder(AutoencoderConfig())
    from vivant.diffusion.lite_codec.config import PRESETS
    from vivant.diffusion.lite_codec.model import LiteCodec

    return LiteCodec(PRESETS[name])


def load_codec(name: str, folder: str | Path | None = None, seed: int | None = None) -> nn.Module:
    """The latent codec "lite" or "tiny" (ours), "sd" (Stable Diffusion's, from ``folder`` or the hub), or Stable
    Diffusion's from the folder ``name``, in evaluation mode. ``seed``: of what has no weights.

    Raises:
        WeightsError: the files are missing, damaged, or of another architecture.
    """
    if name in ("lite", "tiny"):
        from vivant.diffusion.lite_codec.weights import load_codec as load_lite

        return load_lite(name, seed=seed)
    return load_autoencoder(folder if name == "sd" else name)[0]


def load_tiny_decoder(path: str | Path | None = None) -> TinyDecoder:
    """The preview decoder of Stable Diffusion's latents, from a folder or file, else the hub.

    Raises:
        WeightsError: the file is missing, damaged, or of another architecture.
    """
    if path is None:
        weights = hub_file(TINY_SD, f"{_WEIGHTS}.safetensors")
    else:
        weights = _weights_in(Path(path)) if Path(path).is_dir() else Path(path)
    state = load_state(weights)
    head = "decoder."
    part = {key.removeprefix(head): value for key, value in state.items() if key.startswith(head)}
    net = TinyDecoder()
    load_strict(net, part or state, str(weights))
    return net.eval()


def _weights_in(folder: Path) -> Path:
    for name in (f"{_WEIGHTS}.safetensors", f"{_WEIGHTS}.bin"):
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(f"The folder {folder} has no {_WEIGHTS}.safetensors or .bin: give the autoencoder's folder.")


def _read_config(path: Path) -> AutoencoderConfig:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, Mapping):
            raise ValueError("not a mapping")
        return AutoencoderConfig(
            channels=int(values.get("latent_channels", 4)),
            widths=tuple(int(w) for w in values.get("block_out_channels", AutoencoderConfig.widths)),
            blocks=int(values.get("layers_per_block", 2)),
            groups=int(values.get("norm_num_groups", 32)),
            scale=float(values.get("scaling_factor", 0.18215)),
        )
    except (OSError, ValueError, TypeError) as error:
        raise WeightsError(
            f"{path} is not the configuration of an autoencoder ({error}): download it again."
        ) from error


def check_size(codec: Codec, height: int, width: int) -> None:
    """Raises ConfigError if the sides do not divide by the codec's factor."""
    factor = codec.factor
    if height % factor or width % factor or min(height, width) < factor:
        raise ConfigError(
            f"Pictures of {width}x{height} do not fit latents: both sides must be multiples of {factor}, "
            f"for example {max(1, round(width / factor)) * factor}x{max(1, round(height / factor)) * factor}."
        )


def to_pixels(images: Tensor, truncate: bool = False) -> np.ndarray:
    """Images (B, 3, H, W) in 0..1 to (B, H, W, 3) uint8; ``truncate`` cuts fractions off as upstream code does."""
    scaled = images.float().clamp(0, 1) * 255
    return (scaled if truncate else scaled + 0.5).to(torch.uint8).permute(0, 2, 3, 1).contiguous().cpu().numpy()


class CompiledDecoder(nn.Module):
    """A :class:`Decoder` as one compiled graph for ``batch`` latents. Fewer are filled up with the last one: another
    number would be compiled anew."""

    def __init__(self, decoder: nn.Module, batch: int = DECODED) -> None:
        super().__init__()
        self.decoder, self.batch = decoder, batch
        decode = cast(Callable[[Tensor], Tensor], decoder.decode)
        self._decode = torch.compile(decode, fullgraph=True)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, C, h, w) to images (B, 3, H, W) in 0..1 (not clamped)."""
        count = len(latents)
        filled = torch.cat([latents, latents[-1:].expand(max(0, self.batch - count), -1, -1, -1)])
        return self._decode(filled)[:count]


@torch.inference_mode()
def decode_stream(
    decoder: Decoder, latents: Iterable[Tensor], batch: int = DECODED, truncate: bool = False
) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) uint8 of latents (C, h, w), decoded ``batch`` at a time as they come; a net whose half precision
    breaks goes on in a wider one.

    Raises:
        WeightsError: a picture is not finite in float32, too.
    """
    waiting = iter(latents)
    while part := list(islice(waiting, batch)):
        stacked = torch.stack(part)
        device, dtype = _place(decoder)
        images = decoder.decode(stacked.to(device, dtype))
        while not bool(torch.isfinite(images).all()):
            if dtype == torch.float32 or not isinstance(decoder, nn.Module):
                raise WeightsError("The decoder gave a picture that is not finite: its weights are damaged.")
            dtype = widen([decoder], dtype, device)
            images = decoder.decode(stacked.to(device, dtype))
        yield from to_pixels(images, truncate)


def _place(decoder: Decoder) -> tuple[torch.device, torch.dtype]:
    if isinstance(decoder, nn.Module):
        first = next(decoder.parameters())
        return first.device, first.dtype
    return torch.device("cpu"), torch.float32
