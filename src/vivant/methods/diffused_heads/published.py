"""The published checkpoints, read without running anything of them, and their sizes told from their keys.

Two kinds exist: a Lightning checkpoint, which holds every tensor twice (``unet.*`` and ``diffusion.nn_backbone.*``) and
pickled transforms beside them, and TorchScript files of U-Net and audio encoder.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vivant.core.errors import WeightsError
from vivant.methods.diffused_heads.config import Config

AUDIO_ENCODER = "audio_encoder.pt"
_PREFIXES = ("unet.", "diffusion.nn_backbone.")
_FIRST = "input_blocks.0.0.weight"


class _Unread:
    """Stands for an object of a class that is not loaded: it takes anything and does nothing."""

    def __init__(self, *given: object, **named: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def find_checkpoint(folder: Path) -> Path:
    """The U-Net's file in a folder: a Lightning checkpoint, else a TorchScript or weights file that is not the audio
    encoder's.

    Raises:
        WeightsError: there is none, or several that could be meant.
    """
    for pattern in ("*.ckpt", "*.safetensors", "*.pt", "*.pth"):
        found = [file for file in sorted(folder.glob(pattern)) if file.name != AUDIO_ENCODER]
        if len(found) > 1:
            raise WeightsError(f"The folder {folder} holds several {pattern} files: give the one that is meant.")
        if found:
            return found[0]
    raise WeightsError(f"The folder {folder} holds no checkpoint of Diffused Heads: give the folder with the .ckpt.")


def read_unet(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    """The U-Net's tensors by their inner names, and the hyper-parameters of a Lightning checkpoint, else empty.

    Raises:
        WeightsError: the file is damaged, of another kind, or its two copies differ.
    """
    if is_script(path):
        return dict(load_script(path).state_dict()), {}
    found = _read_pickle(path)
    hyper = found.get("hyper_parameters", {})
    state = found.get("state_dict", found)
    tensors = {str(k): v for k, v in state.items() if isinstance(v, Tensor)} if isinstance(state, Mapping) else {}
    copies = [{k[len(p) :]: v for k, v in tensors.items() if k.startswith(p)} for p in _PREFIXES]
    copies = [copy for copy in copies if copy] or [tensors]
    if len(copies) == 2 and not _equal(*copies):
        raise WeightsError(f"The two copies of the U-Net in {path} differ: download the checkpoint again.")
    return copies[0], hyper if isinstance(hyper, Mapping) else {}


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(value, second[key]) for key, value in first.items())


def _read_pickle(path: Path) -> Mapping[str, Any]:
    """A PyTorch file by torch's own restricted reader; classes it does not know become :class:`_Unread`."""
    from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

    try:
        strangers: list[Any] = [(_Unread, name) for name in get_unsafe_globals_in_checkpoint(path)]
        with safe_globals(strangers):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path} cannot be read as a checkpoint: download or copy it again.") from error
    if not isinstance(found, Mapping):
        raise WeightsError(f"{path} is not a checkpoint of Diffused Heads: give the .ckpt or the TorchScript file.")
    return found


def is_script(path: Path) -> bool:
    """Whether a file is TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def load_script(path: Path) -> torch.jit.ScriptModule:
    """A TorchScript file on the CPU, whatever device it was saved on.

    A script is a program for torch's interpreter, not Python; take it only from those you trust.

    Raises:
        WeightsError: missing or damaged.
    """
    if not path.is_file():
        raise WeightsError(f"There is no file {path}: check the path.")
    try:
        return torch.jit.load(str(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is not a TorchScript file, or is damaged: download it again.") from error


class ScriptedEncoder(nn.Module):
    """The published audio encoder, called as :class:`vivant.methods.diffused_heads.audio.WindowEncoder` is."""

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script

    def forward(self, window: Tensor, lengths: Tensor, state: Tensor) -> tuple[Tensor, Any, Tensor]:
        """Samples (B, 1, 3200), ``lengths`` [3200], memory (2, B, 256) to the embedding, something unused, memory."""
        embedding, other, state = self.script(window, lengths, state)
        return embedding, other, state


def sizes_of(state: Mapping[str, Tensor], hyper: Mapping[str, Any], base: Config, origin: str) -> Config:
    """The configuration of published weights, told from their keys and, where they say it, hyper-parameters.

    Where attention lies is told by the keys; whether motion frames are grey by the number of input channels: three for
    each frame, else one.

    Raises:
        WeightsError: the tensors are no U-Net of this kind.
    """
    if _FIRST not in state or "audio_embed.0.weight" not in state or state[_FIRST].ndim != 4:
        raise WeightsError(f"{origin} holds no U-Net of Diffused Heads: the key {_FIRST} is missing.")
    width, channels = state[_FIRST].shape[:2]
    motion = channels - 6
    frames = hyper.get("n_motion_frames")
    grey = bool(motion % 3) if not isinstance(frames, int) or not frames else motion == frames
    heard = state["audio_embed.0.weight"].shape[1]
    reach = hyper.get("n_audio_motion_embs", base.audio_reach)
    reach = reach if isinstance(reach, int) else base.audio_reach
    if motion < 0 or heard % (2 * reach + 1):
        raise WeightsError(f"{origin} has {channels} input channels and {heard} numbers of sound, which fit no preset.")
    lowest = any(key.startswith("input_blocks.7.1.qkv") for key in state)
    return replace(
        base, width=int(width), motion_frames=motion if grey else motion // 3, grey_motion=grey, audio_reach=reach,
        audio_width=heard // (2 * reach + 1), attention="lowest" if lowest else "middle",
        learned_variance=state["out.2.weight"].shape[0] == 6 if "out.2.weight" in state else True,
    )  # fmt: skip
