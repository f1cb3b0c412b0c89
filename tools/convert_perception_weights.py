"""Make ``src/vivant/assets/perception`` from the files their makers published (run by developers only).

Usage: python tools/convert_perception_weights.py SOURCE_FOLDER
where SOURCE_FOLDER holds ``face_landmarker.task`` and ``face_detection_full_range_sparse.tflite`` (Google),
``face_recognition_model.bin`` and ``face_recognition_model-weights_manifest.json`` (dlib's net as face-api
publishes it). Needs ``pip install tflite`` (the flatbuffer schema) besides Vivant's own
dependencies.
"""

from __future__ import annotations

import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tflite_reader import weights_in_order
from torch import nn

from vivant.perception.twins import BlendshapeNet, LandmarkNet

TARGET = Path(__file__).resolve().parent.parent / "src" / "vivant" / "assets" / "perception"
TASK_MEMBERS = {
    "face_detector.tflite": "face_detector_short_range.tflite",
    "face_landmarks_detector.tflite": "face_landmarks.tflite",
    "face_blendshapes.tflite": "face_blendshapes.tflite",
}
GEOMETRY = "geometry_pipeline_metadata_landmarks.binarypb"


def protobuf_fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield (field number, value) of one protobuf message; 32-bit values are read as float."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
        elif kind == 5:
            yield tag >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif kind == 2:
            length, at = _varint(data, at)
            yield tag >> 3, data[at : at + length]
            at += length
        else:
            raise ValueError(f"unexpected protobuf wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return result, at


def canonical_face(metadata: bytes) -> dict[str, np.ndarray]:
    """Google's canonical mesh: vertices (468, 3) in cm, uv (468, 2), triangles (898, 3), weights (468,)."""
    weights = np.zeros(468, np.float32)
    vertex: list[float] = []
    index: list[int] = []
    for field, value in protobuf_fields(metadata):
        if field == 1:  # the mesh: 3 = vertex buffer of x y z u v, 4 = index buffer
            for inner, number in protobuf_fields(value):
                if inner == 3:
                    vertex.append(number)
                elif inner == 4:
                    index.append(number)
        elif field == 2:  # one point of the Procrustes basis: 1 = landmark, 2 = weight
            point = dict(protobuf_fields(value))
            weights[point.get(1, 0)] = point[2]
    table = np.array(vertex, np.float32).reshape(468, 5)
    return {
        "vertices": np.ascontiguousarray(table[:, :3]),
        "uv": np.ascontiguousarray(table[:, 3:]),
        "triangles": np.array(index, np.int32).reshape(-1, 3),
        "weights": weights,
    }


def identity_tensors(folder: Path) -> dict[str, np.ndarray]:
    """dlib's ResNet from face-api's uint8 shards, kept as uint8: kernels become (out, in, height, width).

    Beside each uint8 tensor ``name`` stands ``name:range``, float32 (step, lowest): value = step * stored
    + lowest.
    The last layer is not quantised: fp16.
    """
    manifest = json.loads((folder / "face_recognition_model-weights_manifest.json").read_text())
    data = (folder / "face_recognition_model.bin").read_bytes()
    tensors: dict[str, np.ndarray] = {}
    at = 0
    for row in manifest[0]["weights"]:
        quantization = row.get("quantization")
        kind = np.uint8 if quantization else np.float32
        stored = np.frombuffer(data, kind, int(np.prod(row["shape"])), at).reshape(row["shape"])
        at += stored.nbytes
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[stored.ndim]
        name = _identity_name(row["name"])
        tensors[name] = np.ascontiguousarray(stored.transpose(axes))
        if quantization:
            tensors[f"{name}:range"] = np.array([quantization["scale"], quantization["min"]], np.float32)
        else:
            tensors[name] = tensors[name].astype(np.float16)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes of face_recognition_model.bin are not described by its manifest")
    return tensors


def _identity_name(name: str) -> str:
    renamed = name.replace("/", ".").replace("conv.filters", "conv.weight")
    renamed = renamed.replace("scale.weights", "scale.weight").replace("scale.biases", "scale.bias")
    return renamed if "." in renamed else f"{renamed}.weight"


def twin_tensors(net: nn.Module, tflite_file: Path) -> dict[str, np.ndarray]:
    """State of ``net`` in fp16: its parameters stand in the order in which the file's operations use them."""
    weights, parameters = weights_in_order(tflite_file), dict(net.named_parameters())
    if len(weights) != len(parameters):
        raise ValueError(f"{tflite_file.name} has {len(weights)} constants, the net {len(parameters)} parameters")
    if isinstance(net, BlendshapeNet):  # its own parameter stands before those of its layers
        parameters = {name: parameters[name] for name in sorted(parameters, key=_blendshape_order)}
    return {
        name: value.reshape(parameter.shape).astype(np.float16)
        for value, (name, parameter) in zip(weights, parameters.items())
    }


def _blendshape_order(name: str) -> int:
    """Rank in the file of a BlendshapeNet parameter's part; parameters of one part keep their order."""
    return ["tokens", "channels", "class_token", "blocks", "head"].index(name.split(".")[0])


def main() -> None:
    """Write every file; print names and sizes."""
    source = Path(sys.argv[1])
    TARGET.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(source / "face_landmarker.task") as task:
        for member, name in TASK_MEMBERS.items():
            (TARGET / name).write_bytes(task.read(member))
        save_file(canonical_face(task.read(GEOMETRY)), TARGET / "canonical_face.safetensors")
    full_range = (source / "face_detection_full_range_sparse.tflite").read_bytes()
    (TARGET / "face_detector_full_range.tflite").write_bytes(full_range)
    for net, name in ((LandmarkNet(False), "landmark"), (BlendshapeNet(False), "blendshape")):
        origin = TARGET / f"face_{name}s.tflite"
        save_file(twin_tensors(net, origin), TARGET / f"{name}_net.safetensors")
    save_file(identity_tensors(source), TARGET / "identity_net.safetensors")
    for path in sorted(TARGET.iterdir()):
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
