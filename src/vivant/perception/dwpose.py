"""133 whole-body points by DWPose or RTMW through the optional package rtmlib (Yang et al. 2023, arXiv 2307.15880).

More exact on hands and crowds than the bundled reader, and what Moore-AnimateAnyone was trained with; its files (about
400 MB) are not bundled: rtmlib fetches them, or they are given as ONNX files.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError
from vivant.core.skeleton import BODY, FACE, LEFT_HAND, POINTS, RIGHT_HAND
from vivant.perception.body import Body
from vivant.perception.faces import check_image

LEAST_SCORE = 0.3
MODES = ("performance", "balanced", "lightweight")
# COCO-wholebody point of each OpenPose point; the neck is made
_FROM_COCO = (0, 0, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_SHOULDERS = (5, 6)
_COCO_POINTS = 133


class DWPoseFinder:
    """Finds people as :class:`vivant.perception.body.BlazeBodyFinder` does, with larger nets."""

    def __init__(
        self,
        mode: str = "performance",
        files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None = None,
        device: str = "cpu",
    ) -> None:
        """``mode``: which of rtmlib's sets of nets. ``files``: ONNX files of a YOLOX person detector (640 px) and of a
        133-point pose net (288x384 px) instead, for example yolox_l.onnx and dw-ll_ucoco_384.onnx. ``device``: "cpu" or
        "cuda".

        Raises:
            ConfigError: an unknown mode. MissingExtraError: rtmlib is not installed. WeightsError: a file is missing,
            cannot be fetched or cannot be loaded.
        """
        if mode not in MODES:
            raise ConfigError(f"DWPose has the modes {', '.join(MODES)}, not '{mode}': choose one of them.")
        for path in files or ():
            if not os.path.isfile(path):
                raise WeightsError(f"There is no ONNX file '{path}' for DWPose: check the path.")
        self._detect, self._pose = _load(mode, files, device)

    def find(self, image: np.ndarray) -> list[Body]:
        """Everybody in ``image`` (H, W, 3) uint8 RGB, largest first.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        bgr = np.ascontiguousarray(image[..., ::-1])
        boxes = np.asarray(self._detect(bgr), np.float32).reshape(-1, 4)
        return sorted(self._read(image, bgr, boxes), key=lambda body: -body.size)

    def again(self, image: np.ndarray, body: Body) -> Body | None:
        """The person of the frame before, read in the box around their last points."""
        seen = body.keypoints[body.keypoints[:, 2] >= LEAST_SCORE, :2]
        low, high = seen.min(0), seen.max(0)
        margin = 0.1 * (high - low)
        box = np.concatenate([low - margin, high + margin]).astype(np.float32)
        found = self._read(image, np.ascontiguousarray(image[..., ::-1]), box[None])
        return found[0] if found else None

    def _read(self, image: np.ndarray, bgr: np.ndarray, boxes: np.ndarray) -> list[Body]:
        if not len(boxes):
            return []
        points, scores = self._pose(bgr, bboxes=boxes)
        bodies = [openpose_of_coco(p, s, image.shape[:2]) for p, s in zip(np.asarray(points), np.asarray(scores))]
        return [body for body in bodies if body is not None]


def openpose_of_coco(points: np.ndarray, scores: np.ndarray, size: tuple[int, int]) -> Body | None:
    """COCO-wholebody ``points`` (133, 2) in pixels of a picture of ``size`` (H, W) and their ``scores`` (133,) as a
    :class:`Body`; None when no body point is seen.

    Raises:
        WeightsError: another number of points: the net is not a whole-body one.
    """
    if points.shape != (_COCO_POINTS, 2):
        raise WeightsError(f"The pose net gives {points.shape} points, not (133, 2): use a COCO-wholebody net.")
    told = np.column_stack([points, np.clip(scores, 0, 1)]).astype(np.float32)
    keypoints = np.zeros((POINTS, 3), np.float32)
    keypoints[BODY] = told[list(_FROM_COCO)]
    shoulders = told[list(_SHOULDERS)]
    keypoints[1] = [*shoulders[:, :2].mean(0), shoulders[:, 2].min()]
    keypoints[FACE], keypoints[LEFT_HAND], keypoints[RIGHT_HAND] = told[23:91], told[91:112], told[112:133]
    inside = ((keypoints[:, :2] >= 0) & (keypoints[:, :2] < [size[1], size[0]])).all(1)
    keypoints[~inside | (keypoints[:, 2] < LEAST_SCORE)] = 0
    seen = keypoints[BODY][keypoints[BODY, 2] > 0]
    if not len(seen):
        return None
    box = np.concatenate([seen[:, :2].min(0), seen[:, :2].max(0)])
    return Body(keypoints, box, float(seen[:, 2].mean()))


def _load(
    mode: str, files: tuple[str | os.PathLike[str], str | os.PathLike[str]] | None, device: str
) -> tuple[Any, Any]:
    """rtmlib's person detector and pose net."""
    try:
        from rtmlib import Wholebody
    except ImportError as error:
        raise MissingExtraError("rtmlib", "dwpose", "Reading poses with DWPose") from error
    chosen: dict[str, Any] = {"mode": mode}
    if files is not None:
        chosen = {
            "det": str(files[0]), "det_input_size": (640, 640), "pose": str(files[1]), "pose_input_size": (288, 384),
        }  # fmt: skip
    try:
        whole = Wholebody(**chosen, to_openpose=False, backend="onnxruntime", device=device)
    except Exception as error:  # whatever downloading, unpacking and onnxruntime may raise
        what = f"'{files[0]}' and '{files[1]}'" if files else "from download.openmmlab.com"
        raise WeightsError(
            f"DWPose's files {what} cannot be loaded ({error}): go online once, or give ONNX files of a YOLOX detector "
            f"and a whole-body pose net."
        ) from error
    return whole.det_model, whole.pose_model
