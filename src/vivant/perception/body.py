"""People with hands and faces: found in a picture, followed through a video, told in one layout of 128 points.

The layout is that of :mod:`vivant.core.skeleton`. The bundled reader joins four nets: a person detector, 33 body
points, 21 points of each hand, and the face mesh, of which 68 points are told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vivant.core.skeleton import BODY, FACE, LEFT_HAND, POINTS, RIGHT_HAND
from vivant.perception.body_points import BodyPoints, BodyPointsReader, square_of_person
from vivant.perception.detect import PersonDetector
from vivant.perception.faces import check_image
from vivant.perception.hands import Hand, HandReader, square_of_arm, square_of_hand
from vivant.perception.landmarks import LandmarkRunner, Square
from vivant.perception.mesh import IBUG_POINTS

LEAST_SCORE = 0.5
_DOUBTFUL = 0.25  # score from which candidates are looked at when nobody was found: the landmark net has the last word
_SEEN = 0.3  # confidence from which a point counts as seen
# BlazePose point of each OpenPose point but the neck
_FROM_BLAZE = (0, 0, 12, 14, 16, 11, 13, 15, 24, 26, 28, 23, 25, 27, 5, 2, 8, 7)
_SHOULDERS = (11, 12)
_WRISTS = ((LEFT_HAND, 15, 19, 17), (RIGHT_HAND, 16, 20, 18))  # wrist, index, little finger


@dataclass(frozen=True)
class Body:
    """One person in one picture.

    ``keypoints``: (128, 3) float32 in the layout of :mod:`vivant.core.skeleton`: x right and y down in pixels of the
    picture, confidence in 0..1, 0 for what is not seen or lies outside the picture. ``box``: (4,) float32 x0, y0, x1,
    y1 around the body points seen. ``score``: 0..1. ``points``: BlazePose's own 33, where it was the reader.
    """

    keypoints: np.ndarray
    box: np.ndarray
    score: float
    points: BodyPoints | None = None

    @property
    def size(self) -> float:
        """Longer side of the box in pixels."""
        return float(max(self.box[2] - self.box[0], self.box[3] - self.box[1]))


class BodyFinder(Protocol):
    """What the tracker asks of a reader of poses; both get (H, W, 3) uint8 RGB."""

    def find(self, image: np.ndarray) -> list[Body]:
        """Everybody in the picture, largest first."""

    def again(self, image: np.ndarray, body: Body) -> Body | None:
        """The person of the frame before, or None when they are lost."""


class BlazeBodyFinder:
    """The bundled reader. Not safe to call from two threads at once."""

    def __init__(self, hands: bool = True, face: bool = True, min_score: float = LEAST_SCORE, threads: int = 2) -> None:
        """``hands``, ``face``: read them, too; without, their points have confidence 0 and reading is faster.

        Raises:
            WeightsError: a bundled file is missing or damaged.
        """
        self.min_score = min_score
        self._people = PersonDetector(threads)
        self._body = BodyPointsReader(threads)
        self._hands = HandReader(threads) if hands else None
        self._face = LandmarkRunner(threads, blendshapes=False) if face else None

    def find(self, image: np.ndarray) -> list[Body]:
        """Everybody in ``image`` (H, W, 3) uint8 RGB, largest first.

        Raises:
            MediaError: ``image`` is not an (H, W, 3) uint8 array.
        """
        check_image(image)
        bodies: list[Body] = []
        found = self._people(image, _DOUBTFUL)
        if (found.scores >= self.min_score).any():
            found = found[found.scores >= self.min_score]
        for centre, top in found.keypoints[:, :2]:
            rough = self._body.in_square(image, square_of_person(centre, top))
            if rough.score < self.min_score:
                continue
            points = self._body(image, rough)
            body = self._whole(image, points, None) if points.score >= self.min_score else None
            if body is not None and not is_same(body, bodies):
                bodies.append(body)
        return sorted(bodies, key=lambda body: -body.size)

    def again(self, image: np.ndarray, body: Body) -> Body | None:
        """The person of the frame before, found by their last place."""
        assert body.points is not None
        points = self._body(image, body.points)
        return self._whole(image, points, body) if points.score >= self.min_score else None

    def _whole(self, image: np.ndarray, points: BodyPoints, before: Body | None) -> Body | None:
        keypoints = np.zeros((POINTS, 3), np.float32)
        keypoints[BODY] = openpose_body(points)
        _drop_outside(keypoints, image)
        if not (keypoints[BODY, 2] >= _SEEN).any():
            return None
        box = _box(keypoints)
        if self._hands is not None:
            self._read_hands(image, points, before, keypoints)
        if self._face is not None:
            self._read_face(image, points, keypoints)
        _drop_outside(keypoints, image)
        return Body(keypoints, box, points.score, points)

    def _read_hands(self, image: np.ndarray, points: BodyPoints, before: Body | None, keypoints: np.ndarray) -> None:
        found: list[tuple[slice, Hand, float]] = []
        for part, *joints in _WRISTS:
            wrist, index, little = points.points[joints, :2]
            if points.visibility[joints[0]] < _SEEN or not _inside(wrist, image):
                continue
            arm = square_of_arm(wrist, index, little)
            hand = self._hand(image, wrist, arm, before.keypoints[part] if before is not None else None)
            if hand is not None:
                found.append((part, hand, float(np.linalg.norm(hand.points[0] - wrist))))
        if len(found) == 2 and _one_hand(found[0][1], found[1][1]):  # folded hands: only one of them is in view
            found = [min(found, key=lambda each: each[2])]
        for part, hand, _ in found:
            keypoints[part] = np.column_stack([hand.points, np.full(21, hand.presence)])

    def _hand(self, image: np.ndarray, wrist: np.ndarray, arm: Square, before: np.ndarray | None) -> Hand | None:
        """The hand at ``wrist``: where it was in the frame before, else where the arm points, else by its palm."""
        assert self._hands is not None
        if before is not None and before[:, 2].any():
            hand = self._hands.in_square(image, square_of_hand(before[:, :2]))
            if hand.presence >= LEAST_SCORE and _belongs(hand.points, wrist, arm):
                return hand
        hand_near = self._hands.near(image, arm)
        if hand_near is None or not _belongs(hand_near.points, wrist, arm):
            hand_near = self._hands.search(image, arm.centre, 1.5 * arm.side)
        return hand_near if hand_near is not None and _belongs(hand_near.points, wrist, arm) else None

    def _read_face(self, image: np.ndarray, points: BodyPoints, keypoints: np.ndarray) -> None:
        assert self._face is not None
        square = square_of_head(points.points)
        if points.visibility[0] < _SEEN or square.side < 8:
            return
        face = self._face.in_square(image, square)
        if face.score >= LEAST_SCORE / 2:
            face = self._face(image, face.landmarks)
        if face.score >= LEAST_SCORE:
            keypoints[FACE] = np.column_stack([face.landmarks[list(IBUG_POINTS), :2], np.full(68, face.score)])


def openpose_body(points: BodyPoints) -> np.ndarray:
    """(18, 3) OpenPose body points; the neck is the middle of the shoulders, as sure as the less sure of them."""
    body = np.column_stack([points.points[:, :2], points.visibility])
    chosen = body[list(_FROM_BLAZE)]
    shoulders = body[list(_SHOULDERS)]
    chosen[1] = [*shoulders[:, :2].mean(0), shoulders[:, 2].min()]
    return chosen.astype(np.float32)


def square_of_head(points: np.ndarray) -> Square:
    """The square for the face net from BlazePose points (33, 2 or 3): upright with the eyes, 1.5 faces wide."""
    eyes, mouth = points[[2, 5], :2], points[[9, 10], :2].mean(0)  # the person's left eye and right eye
    middle = eyes.mean(0)
    across = eyes[0] - eyes[1]
    down = mouth - middle
    face = max(2.6 * float(np.linalg.norm(down)), 2.3 * float(np.linalg.norm(across)))
    return Square(middle + 0.35 * down, 1.5 * face, float(np.arctan2(across[1], across[0])))


def _belongs(hand: np.ndarray, wrist: np.ndarray, arm: Square) -> bool:
    """Whether a hand (21, 2) begins near the body's ``wrist``; else it is another one."""
    return float(np.linalg.norm(hand[0] - wrist)) < 0.3 * arm.side


def _one_hand(first: Hand, second: Hand) -> bool:
    """Whether two hands (21, 2) are the same one, seen twice."""
    extent = float(np.ptp(first.points, axis=0).max())
    return float(np.linalg.norm(first.points - second.points, axis=1).mean()) < 0.2 * extent


def _inside(point: np.ndarray, image: np.ndarray) -> bool:
    return bool(0 <= point[0] < image.shape[1] and 0 <= point[1] < image.shape[0])


def _drop_outside(keypoints: np.ndarray, image: np.ndarray) -> None:
    """Confidence 0 for points that are not in the picture, and for the coordinates' sake 0 there, too."""
    limit = np.array([image.shape[1], image.shape[0]])
    outside = ~((keypoints[:, :2] >= 0) & (keypoints[:, :2] < limit)).all(1)
    keypoints[outside | (keypoints[:, 2] <= 0)] = 0


def _box(keypoints: np.ndarray) -> np.ndarray:
    seen = keypoints[BODY][keypoints[BODY, 2] >= _SEEN]
    return np.concatenate([seen[:, :2].min(0), seen[:, :2].max(0)]).astype(np.float32)


def is_same(body: Body, bodies: list[Body]) -> bool:
    """Whether the joints of ``body`` lie on those of one of ``bodies``; boxes of two people may overlap, joints not."""
    for other in bodies:
        both = (body.keypoints[BODY, 2] >= _SEEN) & (other.keypoints[BODY, 2] >= _SEEN)
        if not both.any():
            continue
        apart = np.linalg.norm(body.keypoints[BODY][both, :2] - other.keypoints[BODY][both, :2], axis=1)
        if np.median(apart) < 0.1 * min(body.size, other.size):
            return True
    return False
