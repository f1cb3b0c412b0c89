"""Is it the same person: dlib's embedding (bundled), ArcFace when its file is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from vivant.core.errors import WeightsError
from vivant.core.face import Face
from vivant.metrics.identity import embeddings
from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab, slope
from vivant.metrics.view import Block

_DLIB = "128 numbers of dlib's face recognition net on faces aligned by their landmarks"
_ARC = "512 numbers of an ArcFace net on faces aligned by five points"
_DFACE = (
    "cosine of source and generated face minus cosine of source and true face, per frame: 0 means that identity is "
    "kept as well as reality keeps it; {}"
)
_NEEDS = ("source", "face")
METRICS = (
    Metric("identity-distance-dlib", "dlib identity distance to the source", "", (0, INFINITE), "lower",
           f"Euclidean distance of {_DLIB}; one person mostly lies below 0.4", "King 2017, dlib", _NEEDS),
    Metric("csim-dlib", "CSIM (dlib)", "", (-1, 1), "higher", f"cosine of {_DLIB}; its spread is small, see the "
           "distance", "CSIM with dlib's net", _NEEDS),
    Metric("dfacesim-dlib", "dFaceSim (dlib)", "", (-2, 2), "near 0", _DFACE.format("dlib's net"),
           "V-Express, experiments", ("true", "source", "face")),
    Metric("identity-drift-dlib", "drift of identity", "1/s", (-INFINITE, INFINITE), "near 0",
           "least-squares slope in time of the dlib identity distance; frame 0, which may be the source itself, is "
           "left out", "own", _NEEDS, "clip", version=2, digits=5),
    Metric("csim-arcface", "CSIM (ArcFace)", "", (-1, 1), "higher", f"cosine of {_ARC}",
           "Deng et al. 2019; CSIM of LivePortrait's table", _NEEDS, weights=("arcface",)),
    Metric("dfacesim-arcface", "dFaceSim (ArcFace)", "", (-2, 2), "near 0", _DFACE.format("an ArcFace net"),
           "V-Express, experiments", ("true", "source", "face"), weights=("arcface",)),
)  # fmt: skip
_KINDS = {"dlib": ("identity-distance-dlib", "csim-dlib", "dfacesim-dlib", "identity-drift-dlib"),
          "arcface": ("csim-arcface", "dfacesim-arcface")}  # fmt: skip
ARC_SIZE = 112
_ARC_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)  # ArcFace's five points in 112 px: eye centres, nose tip, mouth corners
Embed = Callable[[list[np.ndarray], list[np.ndarray | None]], np.ndarray]


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """ArcFace's metrics without its file or without onnxruntime."""
    found: dict[str, str] = {}
    for name, metric in names.items():
        if metric.weights:
            reason = lab.store.lacks(*metric.weights)
            if reason is None and find_spec("onnxruntime") is None:
                reason = "needs the package 'onnxruntime': install it with pip install 'vivant[onnx]'"
            if reason:
                found[name] = reason
    return found


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Identity(lab, names, case)


class ArcFace:
    """An ArcFace net in ONNX: (B, 3, 112, 112) RGB in -1..1 -> (B, D).

    Raises:
        WeightsError: the file is damaged or no ONNX file.
    """

    def __init__(self, path: str, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            self._net = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has kinds of its own
            raise WeightsError(f"The ArcFace file {path} cannot be loaded: download it again.") from error
        self._input = self._net.get_inputs()[0].name

    def __call__(self, pictures: list[np.ndarray], points: list[np.ndarray | None]) -> np.ndarray:
        """(F, D) embeddings of the faces with these landmarks, NaN where they are None."""
        faces = [arc_align(picture, marks) for picture, marks in zip(pictures, points) if marks is not None]
        if not faces:
            return np.full((len(pictures), 1), np.nan)
        batch = np.stack(faces).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1
        known = np.concatenate([self._net.run(None, {self._input: one[None]})[0] for one in batch])
        found = np.full((len(pictures), known.shape[1]), np.nan)
        found[[marks is not None for marks in points]] = known
        return found


def arc_align(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """(112, 112, 3) uint8: the face where ArcFace expects it, by a least-squares similarity of five points."""
    import cv2

    from vivant.metrics.motion import v_kps
    from vivant.metrics.warp import similarity

    points = np.concatenate([v_kps(landmarks), landmarks[[61, 291], :2]]).astype(np.float64)
    scale, rotation, shift = similarity(points, _ARC_TEMPLATE)
    matrix = np.column_stack([scale * rotation, shift])
    return cv2.warpAffine(picture, matrix, (ARC_SIZE, ARC_SIZE), flags=cv2.INTER_LINEAR)


def _embedder(lab: Lab, kind: str) -> Embed:
    if kind == "dlib":
        return embeddings
    build: Any = partial(ArcFace, str(lab.store.find("arcface")), lab.threads)
    net: Embed = lab.net("arcface", build)
    return net


def _cosine(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(one)
    return np.sum(rows * one, axis=1) / np.maximum(lengths, 1e-12)


def _points(faces: list[Face | None]) -> list[np.ndarray | None]:
    return [None if face is None else face.landmarks for face in faces]


class _Identity:
    def __init__(self, lab: Lab, names: Mapping[str, Metric], case: Case) -> None:
        self._names, self._case, self._lab = names, case, lab
        self._kinds = [kind for kind, group in _KINDS.items() if any(name in names for name in group)]
        self._source: dict[str, np.ndarray] = {}
        self._rows: dict[tuple[str, str], list[np.ndarray]] = {}
        if case.subject.source is not None:
            self._read_source()

    def _read_source(self) -> None:
        from vivant.media.video import open_clip
        from vivant.perception.faces import FaceFinder

        clip = open_clip(self._case.subject.source or "")
        picture = next(iter(clip.frames))
        faces = self._lab.net("finder", partial(FaceFinder, threads=self._lab.threads)).find(picture)
        if faces:
            self._take_source(picture, faces[0].landmarks)

    def _take_source(self, picture: np.ndarray, landmarks: np.ndarray) -> None:
        for kind in self._kinds:
            self._source[kind] = _embedder(self._lab, kind)([picture], [landmarks])[0]

    def see(self, block: Block) -> None:
        for role in ("made", "true"):
            pictures = block.of(role)
            if pictures is None:
                continue
            points = _points(block.faces(role))
            for kind in self._kinds:
                if role == "made" or f"dfacesim-{kind}" in self._names or not self._source:
                    rows = _embedder(self._lab, kind)(pictures, points)
                    self._rows.setdefault((kind, role), []).extend(rows)

    def finish(self) -> Findings:
        found = Findings()
        for kind in self._kinds:
            made = self._rows.get((kind, "made"))
            given = self._case.subject.source is not None  # then no other face stands for it
            source = self._source.get(kind) if given else self._first_true(kind)
            if made is None or source is None:
                reason = "there is no face in the source, or no source and no true clip"
                found.missing |= dict.fromkeys(_KINDS[kind], reason)
                continue
            rows = _even(made, len(source))
            found.put("made", f"csim-{kind}", _cosine(rows, source))
            if kind == "dlib":
                apart = np.linalg.norm(rows - source, axis=1)
                found.put("made", "identity-distance-dlib", apart)
                later = apart[1:] if self._case.view.first == 0 else apart  # a step from 0 up would be taken for drift
                found.set("made", "identity-drift-dlib", slope(later, self._case.fps))
            true = self._rows.get((kind, "true"))
            if true is not None:
                found.put("made", f"dfacesim-{kind}", _cosine(rows, source) - _cosine(_even(true, len(source)), source))
        return found

    def _first_true(self, kind: str) -> np.ndarray | None:
        """Without a source, the first face of the true clip is the person."""
        rows = self._rows.get((kind, "true"), [])
        return next((row for row in rows if np.isfinite(row).all()), None)


def _even(rows: list[np.ndarray], width: int) -> np.ndarray:
    """(F, D) float64; frames without a face (NaN, maybe of another width) as NaN."""
    filled = [row if len(row) == width else np.full(width, np.nan) for row in rows]
    return np.asarray(filled, np.float64)
