import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from vivant.core.errors import BodyError, ConfigError, MediaError
from vivant.core.skeleton import BODY, FACE, LEFT_HAND, MIRROR, RIGHT_HAND
from vivant.perception.body import BlazeBodyFinder, Body
from vivant.perception.body_tracking import BodyTracker, follow_body
from vivant.perception.mesh import IBUG_POINTS

PICTURES = Path(__file__).resolve().parents[1] / "data" / "bodies"
# what MediaPipe 0.10.21 finds in the same pictures, in pixels: the order is OpenPose's from nose to left hip
MEDIAPIPE = {
    "signing_man": [(324, 122), None, (243, 201), (196, 318), (264, 295), (402, 203), (459, 322), (396, 292),
                    (272, 391), None, None, (377, 388)],
    "signing_woman": [(304, 138), None, (242, 227), (223, 330), (276, 268), (371, 218), (394, 326), (317, 261),
                      (265, 419), None, None, (345, 417)],
}  # fmt: skip
# tips of thumb to little finger of the man's hands, from the same source
FINGERS = (
    (LEFT_HAND, [(392, 233), (379, 248), (371, 255), (364, 264), (356, 277)]),
    (RIGHT_HAND, [(309, 237), (333, 245), (337, 252), (335, 262), (326, 269)]),
)


def picture(name):
    return cv2.cvtColor(cv2.imread(str(PICTURES / f"{name}.jpg")), cv2.COLOR_BGR2RGB)


@pytest.fixture(scope="module")
def people():
    return BlazeBodyFinder(threads=1)


@pytest.fixture(scope="module")
def man(people):
    return people.find(picture("signing_man"))


def test_joints_lie_where_mediapipe_finds_them(people, man):
    for name, found in (("signing_man", man), ("signing_woman", people.find(picture("signing_woman")))):
        assert len(found) == 1
        for joint, place in enumerate(MEDIAPIPE[name]):
            if place is not None:
                assert np.linalg.norm(found[0].keypoints[joint, :2] - place) < 18  # pixels; the shoulders are 160 wide
        shoulders = found[0].keypoints[[2, 5]]
        assert np.allclose(found[0].keypoints[1, :2], shoulders[:, :2].mean(0), atol=0.01)


def test_both_hands_are_read_to_the_finger_tips(man):
    for part, tips in FINGERS:
        hand = man[0].keypoints[part]
        assert hand[:, 2].min() > 0.5
        assert np.linalg.norm(hand[4::4, :2] - tips, axis=1).max() < 12


def test_hands_that_hide_each_other_are_told_once(people):
    hands = people.find(picture("signing_woman"))[0].keypoints
    assert (hands[LEFT_HAND, 2].any(), hands[RIGHT_HAND, 2].any()).count(True) == 1


def test_the_face_lies_around_the_nose(man):
    face, nose = man[0].keypoints[FACE], man[0].keypoints[0]
    assert face[:, 2].min() > 0.5
    low, high = face[:, :2].min(0), face[:, :2].max(0)
    assert (low < nose[:2]).all() and (nose[:2] < high).all()
    assert np.linalg.norm(face[30, :2] - nose[:2]) < 12  # the tip of the nose
    assert face[36, 0] < face[39, 0] < face[42, 0] < face[45, 0]
    assert face[8, 1] == face[:, 1].max()
    assert len(set(IBUG_POINTS)) == 68


def test_what_is_outside_the_picture_is_not_told(man):
    assert (man[0].keypoints[[9, 10, 12, 13]] == 0).all()  # knees and ankles below the edge
    assert man[0].box[3] < 480 and man[0].keypoints[BODY, 2].max() <= 1


def test_a_mirrored_picture_gives_mirrored_points(people, man):
    flipped = people.find(np.ascontiguousarray(picture("signing_man")[:, ::-1]))[0].keypoints[list(MIRROR)]
    told = man[0].keypoints
    both = (flipped[BODY, 2] > 0.5) & (told[BODY, 2] > 0.5)
    assert both.sum() >= 12
    assert np.abs(639 - flipped[BODY][both, 0] - told[BODY][both, 0]).max() < 20


def test_reading_less_leaves_those_points_out():
    found = BlazeBodyFinder(hands=False, face=False, threads=1).find(picture("signing_man"))[0].keypoints
    assert (found[18:, 2] == 0).all() and (found[BODY, 2] > 0.5).sum() >= 12


def test_empty_and_odd_pictures(people):
    assert people.find(np.zeros((240, 320, 3), np.uint8)) == []
    assert people.find(np.zeros((1, 1, 3), np.uint8)) == []
    with pytest.raises(MediaError, match="uint8"):
        people.find(np.zeros((240, 320), np.uint8))


def two_people():
    """A picture twice as wide: the man, and the woman a little smaller beside him."""
    man, woman = picture("signing_man"), cv2.resize(picture("signing_woman"), (512, 384), interpolation=cv2.INTER_AREA)
    wide = np.zeros((480, 1152, 3), np.uint8)
    wide[:, :640], wide[96:, 640:] = man, woman
    return wide


def test_several_people_are_told_apart_and_keep_their_numbers():
    tracker = BodyTracker(BlazeBodyFinder(hands=False, face=False, threads=1))
    image = two_people()
    first = tracker.update(image)
    assert len(first) == 2
    moved = np.roll(image, 6, axis=1)
    second = tracker.update(moved)
    assert set(second) == set(first)
    for number, body in second.items():
        shift = body.keypoints[2, :2] - first[number].keypoints[2, :2]
        assert np.linalg.norm(shift - [6, 0]) < 8


def test_following_takes_the_largest_or_the_one_asked_for():
    finder = BlazeBodyFinder(hands=False, face=False, threads=1)
    image = two_people()
    largest = next(iter(follow_body([image], finder=finder)))
    second = next(iter(follow_body([image], 1, finder)))
    assert largest is not None and second is not None
    assert largest.keypoints[1, 0] < 640 < second.keypoints[1, 0]
    with pytest.raises(BodyError, match="Person number 5 was asked for, but the first frame with people shows 2"):
        next(iter(follow_body([image], 5, finder)))
    with pytest.raises(ConfigError, match="Which person"):
        follow_body([image], "nearest", finder)


def test_following_bridges_empty_frames_with_none():
    finder = BlazeBodyFinder(hands=False, face=False, threads=1)
    man, nothing = picture("signing_man"), np.full((480, 640, 3), 90, np.uint8)
    seen = [body is not None for body in follow_body([nothing, man, nothing, man], finder=finder)]
    assert seen == [False, True, False, True]


class CountingFinder:
    """A finder for the tracker alone: people who stand where it is told, and how often it was asked."""

    def __init__(self, places):
        self.places, self.searches = places, 0

    def find(self, image):
        self.searches += 1
        return [self.body(x) for x in self.places]

    def again(self, image, body):
        nearest = [x for x in self.places if abs(x - body.box[0]) < 30]
        return self.body(nearest[0]) if nearest else None

    @staticmethod
    def body(x):
        keypoints = np.zeros((128, 3), np.float32)
        keypoints[:18] = np.column_stack([x + np.arange(18) % 5 * 10, np.arange(18) * 10, np.ones(18)])
        return Body(keypoints, np.array([x, 0, x + 40, 170], np.float32), 1.0)


def test_the_tracker_searches_only_when_it_must_and_revives_numbers():
    finder = CountingFinder([100.0, 300.0])
    tracker = BodyTracker(finder, redetect_every=0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3)).astype(np.uint8)
    assert set(tracker.update(image)) == {0, 1}
    for _ in range(5):
        tracker.update(image)
    assert finder.searches == 1
    finder.places = [100.0]
    assert set(tracker.update(image)) == {0}
    finder.places = [100.0, 310.0]
    assert set(tracker.update(image)) == {0}  # nothing says that somebody came back
    finder.places = [312.0]
    assert set(tracker.update(image)) == {1}
    other_scene = 255 - image
    assert set(tracker.update(other_scene)) == {2} and tracker.cut


def test_a_limit_of_people_saves_searches():
    finder = CountingFinder([100.0, 300.0])
    tracker = BodyTracker(finder, max_people=1, redetect_every=1)
    image = np.zeros((64, 64, 3), np.uint8)
    assert [set(tracker.update(image)) for _ in itertools.repeat(None, 4)] == [{0}] * 4
    assert finder.searches == 1
