"""A dancer's poses with the proportions of another person (Animate Anyone, arXiv 2311.17117, section 4.1).

The skeleton is a tree that begins at the neck. Every bone keeps its direction of the frame and gets a length of its
own: the driver's, times one constant factor of that bone over the whole clip. So foreshortening, and coming nearer to
the camera, stay as the driver has them, while arms, legs, shoulders and head get the reference's proportions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vivant.controls.openpose import PoseTrack
from vivant.core.errors import BodyError
from vivant.core.skeleton import BODY_LIMBS, FACE, HAND_BONES, LEFT_HAND, RIGHT_HAND
from vivant.nn.pose_drawing import LEAST_CONFIDENCE

NECK, NOSE = 1, 0
_PARENT = {end: start for start, end in BODY_LIMBS}
_ORDER = [end for _, end in BODY_LIMBS]  # parents come before children
_HEAD = (14, 15, 16, 17)
_TWIN = {2: 5, 3: 6, 4: 7, 8: 11, 9: 12, 10: 13, 5: 2, 6: 3, 7: 4, 11: 8, 12: 9, 13: 10, 14: 15, 15: 14, 16: 17, 17: 16}
_WRISTS = ((LEFT_HAND, 7), (RIGHT_HAND, 4))
_REACH = 90  # percentile of a bone's lengths over the clip that is taken as its length seen from the side


@dataclass(frozen=True)
class Proportions:
    """Factors from driver to reference.

    ``whole``: of the whole person. ``bones``: (18,) of the bone that ends in each body point. ``hands``: (2,) left and
    right. ``face``: of eyes, ears and face points. ``driver_root``, ``reference_root``: (2,) pixels, the necks that are
    laid on each other.
    """

    whole: float
    bones: np.ndarray
    hands: np.ndarray
    face: float
    driver_root: np.ndarray
    reference_root: np.ndarray


def rescale(
    track: PoseTrack, reference: np.ndarray, size: tuple[int, int], strength: float = 1.0, limit: float = 1.6
) -> PoseTrack:
    """The driver's ``track`` performed by the person of ``reference``, in pixels of the reference picture.

    Args:
        track: the driver's F poses.
        reference: (N, 3) pose of the person, pixels of their picture.
        size: (H, W) of that picture.
        strength: 1 gives every bone the reference's proportion, 0 only one common size and place.
        limit: how far the factor of a bone may lie from the common one; a reference arm that points at the camera
            looks short, and must not become short.

    Raises:
        BodyError: the reference or the driver shows no neck and shoulders, so that sizes cannot be compared.
    """
    factors = proportions(track.points, reference, strength, limit)
    frames = np.stack([apply(points, factors) for points in track.points]) if len(track) else track.points
    return replace(track, points=frames.astype(np.float32), size=size)


def proportions(points: np.ndarray, reference: np.ndarray, strength: float = 1.0, limit: float = 1.6) -> Proportions:
    """Factors between the driver's ``points`` (F, N, 3) and the ``reference`` (N, 3); see :func:`rescale`.

    Raises:
        BodyError: the reference or the driver shows no neck and shoulders.
    """
    seen = points[..., 2] >= LEAST_CONFIDENCE
    known = reference[:, 2] >= LEAST_CONFIDENCE
    starts = np.flatnonzero(seen[:, NECK]) if len(points) else np.zeros(0, int)
    if not known[NECK]:
        raise BodyError(
            "The reference picture shows no neck and shoulders: give a picture of the person, not a detail."
        )
    if not len(starts):
        raise BodyError("The driving video shows no neck and shoulders in any frame: give a video with a person.")
    driver = _lengths(points, seen)
    person = _lengths(reference[None], known[None])
    ratios = person / driver  # NaN where a bone is not seen on both sides
    whole = _common(ratios)
    bones = whole * _gentle(ratios / whole, strength, limit)
    own = np.isfinite(ratios)
    for end in _ORDER:  # a bone that cannot be compared: as its twin, else as the bone it hangs on
        if not own[end]:
            twin = _TWIN.get(end)
            parent = _PARENT[end]
            bones[end] = bones[twin] if twin and own[twin] else bones[parent] if parent != NECK else whole
    face = _head_factor(points, seen, reference, known, ratios) / whole
    face = whole * float(_gentle(np.array(face), strength, limit))
    hands = [_hand_factor(points, seen, reference, known, part) for part, _ in _WRISTS]
    hands = [bones[wrist] if not np.isfinite(hand) else hand for hand, (_, wrist) in zip(hands, _WRISTS)]
    hand = whole * _gentle(np.array(hands) / whole, strength, limit)
    return Proportions(whole, bones, hand, face, points[starts[0], NECK, :2].copy(), reference[NECK, :2].copy())


def apply(points: np.ndarray, factors: Proportions) -> np.ndarray:
    """One frame (N, 3) of the driver in the reference's proportions.

    A point whose parent is not seen hangs on the nearest ancestor that is; without any it moves as the whole person.
    """
    moved = np.array(points, np.float64)
    moved[:, :2] = factors.reference_root + factors.whole * (points[:, :2] - factors.driver_root)
    seen = points[:, 2] >= LEAST_CONFIDENCE
    for end in _ORDER:
        if not seen[end]:
            continue
        start = _ancestor(end, seen)
        if start is not None:
            factor = factors.face if end in _HEAD else factors.bones[end]
            moved[end, :2] = moved[start, :2] + factor * (points[end, :2] - points[start, :2])
    for (part, wrist), factor in zip(_WRISTS, factors.hands):
        if len(points) >= part.stop and seen[wrist]:
            moved[part, :2] = moved[wrist, :2] + factor * (points[part, :2] - points[wrist, :2])
    if len(points) >= FACE.stop and seen[NOSE]:
        moved[FACE, :2] = moved[NOSE, :2] + factors.face * (points[FACE, :2] - points[NOSE, :2])
    return moved


def _ancestor(joint: int, seen: np.ndarray) -> int | None:
    while joint in _PARENT:
        joint = _PARENT[joint]
        if seen[joint]:
            return joint
    return None


def _lengths(points: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(18,) length of the bone that ends in each body point: the longest it looks, of both sides; NaN where unseen.

    Left and right bones of a person are alike, and a projection only ever shortens: the longer one is nearer the truth.
    """
    lengths = np.full(18, np.nan)
    for start, end in BODY_LIMBS:
        both = seen[:, start] & seen[:, end]
        if both.any():
            across = np.linalg.norm(points[both, end, :2] - points[both, start, :2], axis=1)
            lengths[end] = max(np.percentile(across, _REACH), 1e-3)
    for end, twin in _TWIN.items():
        pair = lengths[[end, twin]]
        if np.isfinite(pair).any():
            lengths[end] = np.nanmax(pair)
    return lengths


def _common(ratios: np.ndarray) -> float:
    """One factor for the whole person: of the trunk if it is seen, else of the shoulders, else of anything."""
    for joints in ((8, 11), (2, 5), tuple(range(18))):
        found = ratios[list(joints)]
        if np.isfinite(found).any():
            return float(np.nanmedian(found))
    return 1.0


def _gentle(relative: np.ndarray, strength: float, limit: float) -> np.ndarray:
    """Relative factors kept within ``limit`` and, by ``strength``, nearer to 1."""
    return np.clip(relative, 1 / limit, limit) ** strength


def _head_factor(
    points: np.ndarray, seen: np.ndarray, reference: np.ndarray, known: np.ndarray, ratios: np.ndarray
) -> float:
    """How much larger the reference's head is: by the extent of the face points, else by eyes and ears, else NaN."""
    here, there = _spread(reference[None, FACE], known[None, FACE]), _spread(points[:, FACE], seen[:, FACE])
    if np.isfinite(here) and np.isfinite(there):
        return here / there
    found = ratios[list(_HEAD)]
    return float(np.nanmedian(found)) if np.isfinite(found).any() else _common(ratios)


def _hand_factor(points: np.ndarray, seen: np.ndarray, reference: np.ndarray, known: np.ndarray, part: slice) -> float:
    """How much larger the reference's hand is, by the sum of its bones (curled fingers keep it); NaN if unseen."""
    here, there = _bones(reference[None, part], known[None, part]), _bones(points[:, part], seen[:, part])
    return here / there


def _bones(hands: np.ndarray, seen: np.ndarray) -> float:
    """High percentile over the frames of the summed bone lengths of whole hands (F, 21, 3); NaN without any."""
    whole = seen.all(axis=1) if seen.shape[1] else np.zeros(len(seen), bool)
    if not whole.any():
        return float("nan")
    starts, ends = np.array(HAND_BONES).T
    across = hands[whole][:, ends, :2] - hands[whole][:, starts, :2]
    return float(max(np.percentile(np.linalg.norm(across, axis=-1).sum(1), _REACH), 1e-3))


def _spread(faces: np.ndarray, seen: np.ndarray) -> float:
    """High percentile over the frames of the height and width of whole faces (F, 68, 3) added; NaN without any."""
    whole = seen.all(axis=1) if seen.shape[1] else np.zeros(len(seen), bool)
    if not whole.any():
        return float("nan")
    return float(max(np.percentile(np.ptp(faces[whole][..., :2], axis=1).sum(1), _REACH), 1e-3))
