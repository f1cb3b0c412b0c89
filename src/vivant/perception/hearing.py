"""Speech encoders by name: sound in windows of a few seconds becomes numbers every 10 or 20 ms.

Every encoder is called with the samples of one window and answers with its steps; step s stands for the time from
s / rate to (s + 1) / rate of the window. Nets are loaded when first used and kept for the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError
from vivant.core.speech import SPEECH_FEATURES, SPEECH_RATE
from vivant.nn.mel import HOP, mel_energies, whisper_mel
from vivant.nn.whisper import WhisperEncoder, stacked, whisper_sizes
from vivant.weights.assets import asset
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict, sha256

WINDOW_SECONDS = 30
"""Longest window an encoder is given, the length that Whisper knows."""
_STRIDE = 320
_TRANSFORMERS = {"wav2vec2": "facebook/wav2vec2-base-960h", "hubert": "facebook/hubert-base-ls960"}
_WHISPER_BASE = ("openai/whisper-base", "model.safetensors")
HUB_FILES = {
    "whisper-base": (_WHISPER_BASE[0], (_WHISPER_BASE[1],)),
    **{name: (repo, ("config.json", "model.safetensors")) for name, repo in _TRANSFORMERS.items()},
}
"""Encoders that are fetched from the hub: name -> (repository, files)."""
_VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True)
class SpeechEncoder:
    """``name`` as in :data:`SPEECH_FEATURES`; ``rate``: steps a second; ``width``: D numbers a step; ``files``: path
    -> SHA-256 of its weights; ``encode``: samples (n,) float32 at 16 kHz, at most 30 s -> (steps, D) float32 with
    steps = ceil(n rate / 16000)."""

    name: str
    rate: int
    width: int
    files: Mapping[str, str]
    encode: Callable[[np.ndarray], np.ndarray]


def check_encoder(name: str) -> None:
    """Refuse a name that no encoder has.

    Raises:
        ConfigError: the message names those there are.
    """
    if name not in SPEECH_FEATURES:
        raise ConfigError(f"There is no speech encoder '{name}': use one of {', '.join(SPEECH_FEATURES)}.")


def load_encoder(name: str, path: str | Path | None = None, device: str = "cpu", padded: bool = True) -> SpeechEncoder:
    """The encoder called ``name``.

    Args:
        name: mel (computed, no weights), whisper-tiny-en (bundled), whisper-base, wav2vec2, hubert (from the hub).
        path: where its weights lie instead: a file of a Whisper encoder, or a folder of transformers with
            ``config.json`` for wav2vec2 and hubert.
        device: torch device that computes.
        padded: Whisper hears silence up to 30 s after the samples, as it was trained; without it, it hears them alone,
            which takes time by their length and is meant for streams.

    Raises:
        ConfigError: no such encoder, or a path for one that has no weights.
        MissingExtraError: wav2vec2 and hubert need the package transformers.
        WeightsError: weights missing, damaged or of another model.
    """
    check_encoder(name)
    if name == "mel":
        if path is not None:
            raise ConfigError("The speech encoder 'mel' has no weights: leave its path out.")
        return SpeechEncoder("mel", SPEECH_RATE // HOP, SPEECH_FEATURES["mel"][1], {}, partial(_mel, device))
    return _load(name, None if path is None else str(path), device, padded)


@cache
def _load(name: str, path: str | None, device: str, padded: bool) -> SpeechEncoder:
    if name in _TRANSFORMERS:
        net, files = _transformers_net(name, path)
        width = int(net.config.hidden_size)
        return SpeechEncoder(
            name, SPEECH_RATE // _STRIDE, width, files, partial(_by_transformers, net.to(device), device)
        )
    file = Path(path) if path else _whisper_file(name)
    width = SPEECH_FEATURES[name][1]
    encode = partial(_by_whisper, _whisper_net(file, width).to(device), device, padded)
    return SpeechEncoder(name, SPEECH_RATE // _STRIDE, width, {str(file): sha256(file)}, encode)


def _steps(count: int, stride: int) -> int:
    return -(-count // stride)


def _mel(device: str, samples: np.ndarray) -> np.ndarray:
    """Energies on a fixed scale: 0 at 1e-4, 1 at 1; silence is -1.5."""
    energies = (mel_energies(_tensor(samples, device)) + 4.0) / 4.0
    return _array(energies[0].T)


@torch.inference_mode()
def _by_whisper(net: WhisperEncoder, device: str, padded: bool, samples: np.ndarray) -> np.ndarray:
    """Silence fills the window up to 30 s, as when the net was trained, or only the last step."""
    missing = WINDOW_SECONDS * SPEECH_RATE - len(samples) if padded else -len(samples) % _STRIDE
    heard = F.pad(_tensor(samples, device), (0, missing))
    return _array(stacked(net(whisper_mel(heard)))[0, : _steps(len(samples), _STRIDE)])


@torch.inference_mode()
def _by_transformers(net: Any, device: str, samples: np.ndarray) -> np.ndarray:
    """Zero mean and unit variance, then the last hidden state; the ends, which have no step, repeat their neighbour."""
    x = _tensor(samples, device)
    x = (x - x.mean()) / (x.var(correction=0) + _VARIANCE_FLOOR).sqrt()
    wanted = _steps(len(samples), _STRIDE)
    x = F.pad(x, (0, max(0, 2 * _STRIDE - x.shape[-1])))  # shorter than one receptive field
    found = net(x).last_hidden_state[0, :wanted]
    return _array(torch.cat([found, found[-1:].expand(wanted - len(found), -1)]))


def _tensor(samples: np.ndarray, device: str) -> Tensor:
    return torch.from_numpy(np.array(samples, np.float32))[None].to(device)


def _array(values: Tensor) -> np.ndarray:
    return np.asarray(values.float().cpu().numpy())


def _whisper_file(name: str) -> Path:
    if name == "whisper-tiny-en":
        return asset("speech/whisper_tiny_en_encoder.safetensors")
    return hub_file(*_WHISPER_BASE)


def _whisper_net(file: Path, width: int) -> WhisperEncoder:
    """The encoder of a file that holds it alone or within the whole Whisper."""
    state = load_state(file)
    for prefix in ("model.encoder.", "encoder."):
        inner = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
        state = inner or state
    try:
        sizes = whisper_sizes(state)
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{file} holds no Whisper encoder: give a file with the keys of transformers.") from error
    if sizes[0] * (sizes[1] + 1) != width:
        raise WeightsError(f"{file} is a Whisper of {sizes[1]} layers of {sizes[0]}, another size than asked for.")
    net = WhisperEncoder(*sizes)
    load_strict(net, {key: value.float() for key, value in state.items()}, str(file))
    return net.eval().requires_grad_(False)


def _transformers_net(name: str, path: str | None) -> tuple[Any, dict[str, str]]:
    """wav2vec2 or HuBERT from a folder or the hub, and the hashes of its files."""
    try:
        from transformers import HubertModel, Wav2Vec2Model
        from transformers.utils import logging
    except ImportError:
        raise MissingExtraError("transformers", "speech", f"The speech encoder '{name}'") from None
    kind: Any = {"wav2vec2": Wav2Vec2Model, "hubert": HubertModel}[name]
    where = path or _TRANSFORMERS[name]
    if path is not None and not (Path(path) / "config.json").is_file():
        raise WeightsError(f"{path} is no folder of transformers with a config.json: give one that holds '{name}'.")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        net, report = kind.from_pretrained(where, output_loading_info=True, local_files_only=path is not None)
    except Exception as error:  # the library's errors differ between its versions
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"The speech encoder '{name}' cannot be loaded from {where} ({first}): connect once to download it, "
            "or give a folder that holds it."
        ) from error
    missing = [key for key in report["missing_keys"] if "masked_spec_embed" not in key]  # used in training only
    if missing:
        raise WeightsError(f"{where} lacks {len(missing)} weights of '{name}' ({missing[0]}, …): give another folder.")
    return net.eval().requires_grad_(False), _hashes(path)


def _hashes(folder: str | None) -> dict[str, str]:
    if folder is None:
        return {}
    return {str(file): sha256(file) for file in sorted(Path(folder).glob("*.safetensors"))}
