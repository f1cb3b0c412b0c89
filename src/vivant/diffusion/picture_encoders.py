"""The weights of the frozen nets that describe a reference picture: bundled, from a folder, or from the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from vivant.core.errors import WeightsError
from vivant.nn.picture_encoder import ClipEncoder, Lite0Encoder
from vivant.weights.assets import asset
from vivant.weights.hub import hub_file
from vivant.weights.loading import load_state, load_strict

CLIP_HUB = "lambdalabs/sd-image-variations-diffusers"
"""Hub repository of the CLIP encoder that the released nets of Animate Anyone were trained with."""
_LITE0 = "training/efficientnet_lite0.safetensors"
_NAME = "pytorch_model"


def fill_picture_encoder(encoder: nn.Module, folder: str | Path | None = None) -> None:
    """Give an encoder of :func:`vivant.nn.picture_encoder.picture_encoder` its weights.

    EfficientNet-Lite0 is bundled; CLIP is read from ``folder`` (which holds ``pytorch_model`` or ``model``, ``.bin`` or
    ``.safetensors``), or from the hub.

    Raises:
        WeightsError: the file is missing or does not fit.
    """
    if isinstance(encoder, Lite0Encoder):
        wanted, found = encoder.trunk.state_dict().keys(), load_state(asset(_LITE0))
        state = {k: v.float() if v.is_floating_point() else v for k, v in found.items() if k in wanted}
        load_strict(encoder.trunk, state, _LITE0)
        return
    assert isinstance(encoder, ClipEncoder)
    file = hub_file(CLIP_HUB, f"image_encoder/{_NAME}.bin") if folder is None else _clip_in(Path(folder))
    state = {key: value for key, value in load_state(file).items() if not key.endswith("position_ids")}
    load_strict(encoder.net, clip_names(encoder.net.state_dict(), state), str(file))


def clip_names(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Keys of ``state`` with or without the level ``vision_model``, as the installed transformers has them."""
    head = "vision_model."
    if any(key.startswith(head) for key in wanted):
        return dict(state)
    return {key.removeprefix(head): value for key, value in state.items()}


def _clip_in(folder: Path) -> Path:
    for name in (_NAME, "model"):
        for ending in (".safetensors", ".bin"):
            if (folder / f"{name}{ending}").is_file():
                return folder / f"{name}{ending}"
    raise WeightsError(f"The folder {folder} has no {_NAME}.bin or .safetensors: give the folder of CLIP's encoder.")
