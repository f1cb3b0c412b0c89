"""Export: the nets of a method as ONNX files, checked against torch, and loaded again for onnxruntime."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.core.spec import MethodSpec
from vivant.pipelines.options import unknown
from vivant.provenance.record import plain, sha256_file, versions
from vivant.weights.cards import WeightsInfo
from vivant.weights.catalogue import pass_gate

if TYPE_CHECKING:
    from vivant.nn.onnx_net import Part

OPSET = 20
"""The first with a GridSample of volumes (5-D)."""
INDEX = "export.json"
VERSION = 1


@dataclass(frozen=True)
class Exported:
    """One written part. ``error``: largest difference from torch, in the output's unit."""

    name: str
    path: Path
    size: int
    error: float


def export(
    out: str | os.PathLike[str],
    method: str = DEFAULT_METHOD,
    preset: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    seed: int = 0,
) -> list[Exported]:
    """Write the nets of a method into the folder ``out``, which appears whole or not at all.

    Each file is run by onnxruntime and compared with torch at one, two and three rows.

    Raises:
        ConfigError: the method cannot be exported, or no such preset. MediaError: the folder is not empty or cannot be
        written. WeightsError: a part does not compute the same. MissingExtraError: onnx or onnxruntime is missing.
    """
    from vivant.media.files import Staged

    spec = _portable(method)
    for package in ("onnx", "onnxruntime"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "onnx", "vivant export")
    preset = preset or spec.default_preset
    if preset not in spec.part("config").PRESETS:
        raise unknown(f"preset of {spec.name}", preset, spec.presets)
    with Staged(out, folder=True) as staged:
        modules, config, info = spec.part("weights").load_modules(preset, weights, seed=seed)
        pass_gate(f"{spec.name} ({info.name})", info.licence)
        parts = spec.part("portable").onnx_parts(spec.part("model").optimize_for_inference(modules), config)
        staged.temporary.mkdir()
        found = [_write(name, part, staged.temporary) for name, part in parts.items()]
        index = {
            "version": VERSION, "method": spec.name, "preset": preset, "opset": OPSET, "versions": versions(),
            "weights": plain(info) | {"files": {Path(file).name: digest for file, digest in info.files.items()}},
            "parts": {item.name: {"sha256": sha256_file(item.path), "error": item.error,
                                  "outputs": parts[item.name].outputs} for item in found},
        }  # fmt: skip
        (staged.temporary / INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return [Exported(item.name, Path(out) / item.path.name, item.size, item.error) for item in found]


def _portable(method: str) -> MethodSpec:
    spec = get_method(method)
    if find_spec(f"{spec.package}.portable") is None:
        raise ConfigError(f"The method '{spec.name}' cannot be exported yet: live-portrait can.")
    return spec


def _write(name: str, part: Part, folder: Path) -> Exported:
    """Write one part and hold it against torch."""
    import torch

    path = folder / f"{name}.onnx"
    rows = {name: {0: "sources" if name in part.shared else "rows"} for name in (*part.inputs, *part.outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns of every constant that it traced; the check below decides
        torch.onnx.export(
            part.module.eval(), part.example, str(path), dynamo=False, opset_version=OPSET,
            input_names=list(part.inputs), output_names=list(part.outputs), dynamic_axes=rows,
        )  # fmt: skip
    error = max(_difference(part, path, count, one) for count in (1, 2, 3) for one in {False, bool(part.shared)})
    if not error <= part.tolerance:
        raise WeightsError(f"The part '{name}' as ONNX differs from torch by {error:.2g}, which is more than rounding.")
    return Exported(name, path, path.stat().st_size, error)


def _difference(part: Part, path: Path, count: int, one: bool) -> float:
    """Largest difference of any output with ``count`` rows; ``one``: one row of what may be shared."""
    import torch

    from vivant.nn.onnx_net import OnnxNet

    rows = [1 if one and name in part.shared else count for name in part.inputs]
    inputs = [torch.cat([value, value[:1].flip(-1)])[:row] for value, row in zip(part.example, rows)]
    with torch.no_grad():
        wanted = part.module(*inputs)
    wanted = (wanted,) if isinstance(wanted, torch.Tensor) else wanted
    found = OnnxNet(path)(*inputs)
    return max(float((a - b).abs().max()) for a, b in zip(wanted, found, strict=True))


def load_exported(spec: MethodSpec, folder: str | os.PathLike[str] | None) -> tuple[dict[str, Any], Any, Any, str]:
    """Modules over exported nets, their configuration, what is known of the weights, and the preset.

    Raises:
        ConfigError: no folder is given, or it holds another method. WeightsError: it is no export, or a file of it was
        changed. MissingExtraError: onnxruntime is not installed.
    """
    if folder is None:
        raise ConfigError("The backend onnx needs exported nets: vivant export -o FOLDER, then --weights FOLDER.")
    index = _read_index(Path(folder))
    if index["method"] != spec.name:
        raise ConfigError(f"{folder} holds nets of {index['method']}: add --method {index['method']}.")
    from vivant.nn.onnx_net import OnnxNet

    nets, files = {}, {}
    for name, part in index["parts"].items():
        path = Path(folder) / f"{name}.onnx"
        if not path.is_file() or sha256_file(path) != part["sha256"]:
            raise WeightsError(f"The file {path} is missing or was changed: export again.")
        nets[name], files[path.name] = OnnxNet(path), part["sha256"]
    known = index["weights"]
    info = WeightsInfo(known["name"], files, known["licence"], f"{known['source']}, exported to ONNX")
    outputs = {name: tuple(part["outputs"]) for name, part in index["parts"].items()}
    config = spec.part("config").PRESETS[index["preset"]]
    return spec.part("portable").onnx_modules(nets, outputs), config, info, index["preset"]


def _read_index(folder: Path) -> Mapping[str, Any]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        names = {"method", "preset", "parts", "weights"}
        if index["version"] == VERSION and names <= index.keys() and all(map(str.isidentifier, index["parts"])):
            return dict(index)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    raise WeightsError(f"The folder {folder} holds no exported nets: vivant export -o FOLDER makes one.")
