"""The method's nets as ONNX parts, and the modules that inference sees when onnxruntime runs them.

Three parts do the work: appearance (F), motion (M) and frame (W and G as one graph, so that the warped volume never
leaves it); the MLPs of stage II are three more, of a few thousand weights each. All have a free number of rows B.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from vivant.methods.live_portrait.config import Config, LiteConfig
from vivant.methods.live_portrait.prepare import Features
from vivant.nn.onnx_net import OnnxNet, Part, resize_matrix

MOTION = ("kp", "exp", "scale", "t", "pitch", "yaw", "roll")
MLPS = ("retarget_shoulder", "retarget_mouth", "retarget_eye")
PICTURES, NUMBERS = 2e-3, 2e-3
"""Rounding: of pictures in 0..1 (half a grey level), and of features and motion."""


class _Named(nn.Module):
    """A module that gives a dictionary, or one tensor, as a tuple in a fixed order."""

    def __init__(self, module: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.module, self.names = module, names

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        found = self.module(x)
        return tuple(found[name] for name in self.names) if isinstance(found, dict) else (found,)


class _Resized(nn.Module):
    """Resizes by two matrices before the module, which then need not do it."""

    def __init__(self, module: nn.Module, size: int, target: int) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("matrix", resize_matrix(size, target))

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        matrix = self.get_buffer("matrix")
        found: dict[str, Tensor] = self.module(matrix @ image @ matrix.T)
        return found


class _Frame(nn.Module):
    """W and G: keypoints and features to pictures."""

    def __init__(self, modules: Mapping[str, nn.Module], names: tuple[str, ...]) -> None:
        super().__init__()
        self.warp, self.generator = modules["warping_module"], modules["spade_generator"]
        self.names = names

    def forward(self, kp_source: Tensor, kp_driving: Tensor, *features: Tensor) -> Tensor:
        # Repeated here, so that one picture's features need not be copied for every frame; the exporter also needs the
        # number of rows to come from one input.
        kp_source, *values = expand_rows((kp_source, *features), kp_driving)
        given = dict(zip(self.names, values)) if len(values) > 1 else values[0]
        picture: Tensor = self.generator(self.warp(given, kp_source, kp_driving)["out"])
        return picture


def expand_rows(sources: Sequence[Tensor], rows: Tensor) -> list[Tensor]:
    """Tensors of one row, or of as many as ``rows`` has, with as many as it has."""
    return [value.expand(rows.shape[0], *value.shape[1:]) for value in sources]


def onnx_parts(modules: Mapping[str, nn.Module], config: Config) -> dict[str, Part]:
    """The parts by name; ``modules`` in their inference form, on the CPU."""
    image = torch.rand(2, 3, config.input_size, config.input_size, generator=torch.Generator().manual_seed(0))
    appearance, motion = modules["appearance_feature_extractor"], modules["motion_extractor"]
    with torch.no_grad():
        features, seen = appearance(image), motion(image)
    names = tuple(features) if isinstance(features, dict) else ("features",)
    values = tuple(features.values()) if isinstance(features, dict) else (features,)
    points = (seen["kp"] + seen["exp"]).unflatten(1, (-1, 3))
    if isinstance(config, LiteConfig) and config.motion_input != config.input_size:
        motion = _Resized(motion, config.input_size, config.motion_input)
    parts = {
        "appearance": Part(_Named(appearance, names), (image,), ("image",), _out(names), NUMBERS),
        "motion": Part(_Named(motion, MOTION), (image,), ("image",), _out(MOTION), NUMBERS),
        "frame": Part(
            _Frame(modules, names), (points, points.flip(0), *values), ("kp_source", "kp_driving", *names),
            ("frame",), PICTURES, ("kp_source", *names),
        ),
    }  # fmt: skip
    mlps, k = modules["stitching_retargeting_module"], config.space.keypoints
    for name, width in zip(MLPS, (6 * k, 3 * k + 2, 3 * k + 3)):
        row = torch.rand(2, width, generator=torch.Generator().manual_seed(1))
        parts[name] = Part(_Named(mlps.get_submodule(name), ("row",)), (row,), ("row",), ("change",), NUMBERS)
    return parts


def _out(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of outputs: ONNX wants them different from those of inputs and weights."""
    return tuple(f"{name}_out" for name in names)


class _OnnxDictionary(nn.Module):
    """A part whose outputs are told by name, or a single one plain."""

    def __init__(self, net: OnnxNet, names: tuple[str, ...]) -> None:
        super().__init__()
        self.net, self.names = net, names

    def forward(self, image: Tensor) -> Features:
        found = self.net(image)
        return dict(zip(self.names, found)) if len(self.names) > 1 else found[0]


class _OnnxWarp(nn.Module):
    """Hands everything to the part that warps and decodes."""

    def forward(self, features: Features, kp_source: Tensor, kp_driving: Tensor) -> dict[str, tuple[Tensor, ...]]:
        values = list(features.values()) if isinstance(features, dict) else [features]
        sources = (value[:1] if value.stride(0) == 0 else value for value in (kp_source, *values))  # undo expand
        kp_source, *values = sources
        return {"out": (kp_source, kp_driving, *values)}


class _OnnxGenerator(nn.Module):
    def __init__(self, net: OnnxNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, given: tuple[Tensor, ...]) -> Tensor:
        frame: Tensor = self.net(*given)[0]
        return frame


class _OnnxMLP(_OnnxGenerator):
    def forward(self, row: Tensor) -> Tensor:  # type: ignore[override]
        change: Tensor = self.net(row)[0]
        return change


def onnx_modules(nets: Mapping[str, OnnxNet], outputs: Mapping[str, tuple[str, ...]]) -> dict[str, nn.Module]:
    """The five modules of inference over the exported ``nets``; ``outputs``: names of each part's outputs."""
    features = tuple(name.removesuffix("_out") for name in outputs["appearance"])
    return {
        "appearance_feature_extractor": _OnnxDictionary(nets["appearance"], features),
        "motion_extractor": _OnnxDictionary(nets["motion"], MOTION),
        "warping_module": _OnnxWarp(),
        "spade_generator": _OnnxGenerator(nets["frame"]),
        "stitching_retargeting_module": nn.ModuleDict({name: _OnnxMLP(nets[name]) for name in MLPS}),
    }
