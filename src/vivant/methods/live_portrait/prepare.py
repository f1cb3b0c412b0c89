"""What goes in: face crops become tensors and motion, shared by inference and training.

The driver's square may follow the face, so the same head can have other numbers in every frame. The keypoints of all
frames are therefore carried into the square of the first one (:func:`to_reference`), where a moving square causes no
motion. Upstream needs one fixed square for the whole clip; a stream cannot know it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vivant.core.crops import jumped
from vivant.core.errors import FaceError
from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.algebra import decode_angles, rotation_matrix, shape_offsets, take_shape
from vivant.methods.live_portrait.config import SEEN_LANDMARKS, MotionSpace, Parts
from vivant.methods.live_portrait.motion import Motion

Features = Tensor | dict[str, Tensor]

# (upper lid, lower lid, corner, corner) of the eyes left and right in the picture, and the inner lips with the corners
_LEFT_EYE = (159, 145, 33, 133)
_RIGHT_EYE = (386, 374, 263, 362)
_LIPS = (13, 14, 61, 291)


def image_tensor(image: np.ndarray, size: int) -> Tensor:
    """(S, S, 3) uint8 RGB -> (3, size, size) float32 in 0..1; area interpolation when it gets smaller."""
    if image.shape[:2] != (size, size):
        import cv2

        smaller = image.shape[0] > size
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1).float() / 255


def image_batch(crops: Sequence[FaceCrop], size: int) -> Tensor:
    """B crops -> (B, 3, size, size) float32 RGB in 0..1."""
    return torch.stack([image_tensor(crop.image, size) for crop in crops])


def expand_features(features: Features, count: int) -> Features:
    """Appearance features of one source (leading 1), seen ``count`` times without a copy (B = count stays)."""
    if isinstance(features, Tensor):
        return features.expand(count, *features.shape[1:])
    return {name: value.expand(count, *value.shape[1:]) for name, value in features.items()}


def take_rows(features: Features, rows: slice) -> Features:
    """The appearance features of some of B sources."""
    return features[rows] if isinstance(features, Tensor) else {name: value[rows] for name, value in features.items()}


def motion_of(outputs: Mapping[str, Tensor], eyes: Tensor, lip: Tensor) -> Motion:
    """The motion extractor's outputs (B rows) and the ratios of the same faces -> :class:`Motion` in float32."""
    angles = (decode_angles(outputs[name].float()) for name in ("pitch", "yaw", "roll"))
    count = len(outputs["exp"])
    in_plane = outputs["t"].float() * outputs["t"].new_tensor([1.0, 1.0, 0.0])
    return Motion(
        exp=outputs["exp"].float().reshape(count, -1, 3),
        rotation=rotation_matrix(*angles),
        scale=outputs["scale"].float().reshape(count, 1),
        translation=in_plane.float(),
        canonical=outputs["kp"].float().reshape(count, -1, 3),
        eyes=eyes,
        lip=lip,
    )


def with_seen_shape(motion: Motion, crops: Sequence[FaceCrop], space: MotionSpace) -> Motion:
    """Lids, irises, brows and lips from the tracker where the space names them (:func:`algebra.take_shape`), else
    unchanged."""
    if not space.seen_rows:
        return motion
    device = motion.exp.device
    groups = row_tensors(space.seen_rows, device)
    landmarks = torch.tensor(np.stack([_in_crop_units(crop) for crop in crops]), dtype=torch.float32, device=device)
    seen = shape_offsets(landmarks, row_tensors(SEEN_LANDMARKS, device))
    return replace(motion, exp=take_shape(motion.exp, motion.keypoints(), motion.scale, groups, seen))


def row_tensors(groups: Parts, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Groups of rows as index tensors on ``device``."""
    return [(torch.tensor(moved, device=device), torch.tensor(anchors, device=device)) for moved, anchors in groups]


def _in_crop_units(crop: FaceCrop) -> np.ndarray:
    """(478, 2) landmarks in half sides of the crop; only differences are used, so the origin does not matter."""
    return crop.landmarks[:, :2].astype(np.float64) * (2 / crop.image.shape[0])


def crop_ratios(crops: Sequence[FaceCrop]) -> tuple[Tensor, Tensor]:
    """Opening ratios of B crops: eyes (B, 2) left and right of the picture, lips (B, 1); height over width, >= 0."""
    rows = [[_ratio(c.landmarks, part) for part in (_LEFT_EYE, _RIGHT_EYE, _LIPS)] for c in crops]
    values = torch.tensor(rows, dtype=torch.float32)
    return values[:, :2], values[:, 2:]


def _ratio(landmarks: np.ndarray, part: tuple[int, int, int, int]) -> float:
    """|a - b| / |c - d| in the picture plane, for part = (a, b, c, d)."""
    a, b, c, d = np.asarray(landmarks, np.float64)[list(part), :2]
    return float(np.linalg.norm(a - b) / (np.linalg.norm(c - d) + 1e-6))


def held(crops: Iterable[FaceCrop | None]) -> Iterator[FaceCrop]:
    """The crops with gaps filled: by the one before, at the beginning by the first that comes."""
    last: FaceCrop | None = None
    leading = 0
    for crop in crops:
        if crop is None and last is None:
            leading += 1
            continue
        if last is None and crop is not None:
            yield from [crop] * leading
        last = crop if crop is not None else last
        if last is not None:
            yield last
    if last is None:
        raise FaceError("The source video shows no face in any frame: choose another source or a lower threshold.")


@dataclass(frozen=True)
class Square:
    """Where a crop lies in its picture: ``centre`` (2,) and ``half`` side in pixels, ``turn`` (2, 2) rotation."""

    centre: np.ndarray
    half: float
    turn: np.ndarray

    @classmethod
    def of(cls, crop: FaceCrop) -> Square:
        """The square of ``crop``.

        Raises:
            FaceError: ``to_frame`` is no similarity (mirrored, sheared or of no size).
        """
        linear, shift = crop.to_frame[:, :2].astype(np.float64), crop.to_frame[:, 2].astype(np.float64)
        area = float(np.linalg.det(linear))
        middle = crop.image.shape[0] / 2
        if not area > 0 or not np.allclose(linear @ linear.T, area * np.eye(2), atol=1e-3 * area):
            raise FaceError("A face crop must lie in its picture by a rotation and a scale: crop it again.")
        return cls(linear @ np.full(2, middle) + shift, middle * area**0.5, linear / area**0.5)


class Trail:
    """Where the crops of a driver lie, frame after frame, told without jumps.

    No head moves by half its size or grows by a third from one frame to the next: then another shot or another person
    has come, or the face was away for a while. What follows is told as if it went on from where the last face was.
    """

    def __init__(self) -> None:
        self._last: tuple[Square, Square] | None = None  # as it lies, as it is told
        self._laid: tuple[Square, Square] | None = None  # the first square after a jump, and the one it is told as

    def __call__(self, crop: FaceCrop) -> Square:
        """The square of the next crop.

        Raises:
            FaceError: as :meth:`Square.of`.
        """
        now = Square.of(crop)
        if self._last is not None:
            before, last_told = self._last
            if jumped((before.centre, 2 * before.half), (now.centre, 2 * now.half)):
                self._laid = now, last_told
        told = now if self._laid is None else _carried(now, *self._laid)
        self._last = now, told
        return told


def _carried(square: Square, anchor: Square, base: Square) -> Square:
    """``square`` under the similarity that lays ``anchor`` onto ``base``."""
    ratio, turn = base.half / anchor.half, base.turn @ anchor.turn.T
    return Square(base.centre + ratio * turn @ (square.centre - anchor.centre), ratio * square.half, turn @ square.turn)


def to_reference(motion: Motion, squares: Sequence[Square], reference: Square) -> Motion:
    """Motion measured in B squares, told in the coordinates of ``reference``.

    With q the picture pixel of x, q = c + h Q x (column vectors; c centre, h half side, Q turn), the same pixel has the
    coordinate x' = r P x + d in the reference, where r = h / h0, P = Q0' Q and d = Q0' (c - c0) / h0. Put into
    x = s (x_c R + exp) + t, with row vectors: s' = r s, R' = R P', exp' = exp P', t' = r t P' + d; depth only scales.
    """
    ratio = torch.tensor([[s.half / reference.half] for s in squares], dtype=torch.float32)
    turn = torch.eye(3).repeat(len(squares), 1, 1)
    turn[:, :2, :2] = torch.tensor(np.stack([(reference.turn.T @ s.turn).T for s in squares]), dtype=torch.float32)
    shift = torch.zeros(len(squares), 3)
    moved = [reference.turn.T @ (s.centre - reference.centre) / reference.half for s in squares]
    shift[:, :2] = torch.tensor(np.stack(moved), dtype=torch.float32)
    ratio, turn, shift = (value.to(motion.exp.device) for value in (ratio, turn, shift))
    return replace(
        motion,
        exp=motion.exp @ turn,
        rotation=motion.rotation @ turn,
        scale=ratio * motion.scale,
        translation=ratio * (motion.translation[:, None] @ turn)[:, 0] + shift,
    )
