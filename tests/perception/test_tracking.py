import numpy as np
import pytest

from vivant.core.errors import ConfigError, FaceError
from vivant.perception.tracking import FaceTracker, SceneCuts, follow


def scene(*placed: tuple[np.ndarray, int, int], size=(300, 640)) -> np.ndarray:
    """A patterned canvas with pictures (array, left, top) on it."""
    across = np.linspace(0, 255, size[1]).astype(np.uint8)
    canvas = np.repeat(np.tile(across, (size[0], 1))[..., None], 3, axis=2)
    for image, left, top in placed:
        canvas[top : top + len(image), left : left + image.shape[1]] = image
    return np.ascontiguousarray(canvas)


@pytest.fixture(scope="module")
def pair(speaker, woman):
    import cv2

    return speaker[0][20:260, 30:260], cv2.resize(woman, (200, 200), interpolation=cv2.INTER_AREA)


def test_numbers_stay_while_two_faces_move(pair):
    tracker = FaceTracker(threads=1, redetect_every=4)
    for step in range(10):
        faces = tracker.update(scene((pair[0], 10 + 4 * step, 10 + step), (pair[1], 400 - 3 * step, 60)))
        assert not tracker.cut
        assert sorted(faces) == [0, 1]
        assert faces[0].box[2] < faces[1].box[0], "face 0, the larger one, stays the left one"
        assert faces[0].score > 0.9 and faces[1].score > 0.9


def test_a_face_that_comes_back_gets_its_number_back_and_a_new_one_a_new_number(pair):
    tracker = FaceTracker(threads=1, redetect_every=2)
    assert list(tracker.update(scene((pair[1], 300, 60)))) == [0]
    assert list(tracker.update(scene())) == []
    assert list(tracker.update(scene((pair[1], 310, 60)))) == [0]
    tracker.update(scene((pair[1], 310, 60), (pair[0], 10, 20)))
    assert sorted(tracker.update(scene((pair[1], 310, 60), (pair[0], 10, 20)))) == [0, 1]


def test_a_scene_cut_gives_new_numbers_and_a_flash_does_not(woman, speaker):
    tracker = FaceTracker(threads=1)
    frame = speaker[0]
    assert list(tracker.update(frame)) == [0]
    brighter = np.clip(frame.astype(int) + 60, 0, 255).astype(np.uint8)
    assert list(tracker.update(brighter)) == [0] and not tracker.cut
    other = woman[: len(frame), : frame.shape[1]]
    faces = tracker.update(np.ascontiguousarray(np.pad(other, ((0, 0), (60, 0), (0, 0)))))
    assert tracker.cut and 0 not in faces


def test_at_most_max_faces(pair):
    tracker = FaceTracker(threads=1, max_faces=1)
    assert len(tracker.update(scene((pair[0], 10, 10), (pair[1], 400, 60)))) == 1


def test_follow_keeps_to_the_chosen_face(pair):
    frames = [scene((pair[0], 10 + 5 * step, 10), (pair[1], 400, 60)) for step in range(3)]
    large, small = list(follow(frames)), list(follow(frames, 1))
    assert all(face.box[2] < 320 for face in large)
    assert all(face.box[0] > 320 for face in small)
    assert large[2].box[0] - large[0].box[0] == pytest.approx(10, abs=3)


def test_who_comes_near_the_camera_does_not_take_over(pair, woman):
    import cv2

    near = cv2.resize(woman, (300, 300), interpolation=cv2.INTER_AREA)
    frames = [scene((pair[1], 10, 40)), scene((pair[1], 12, 40)), scene((pair[1], 14, 40), (255 - near // 4, 340, 0))]
    frames.append(scene((pair[1], 16, 40), (near, 340, 0)))
    cuts = SceneCuts()
    assert any(list(map(cuts, frames))), "or the test shows nothing"
    faces = list(follow(frames))
    assert [face is not None and face.box[2] < 220 for face in faces] == [True] * 4
    other = 255 - scene((255 - pair[0], 400, 20))
    assert [cuts(frame) for frame in (frames[0], other)][1]
    assert list(follow([frames[0], other]))[1].box[0] > 390, "after a cut whoever is there"


def test_follow_yields_none_where_nobody_is_seen(pair):
    frames = [scene(), scene((pair[0], 10, 10)), scene(), scene((pair[0], 12, 10))]
    assert [face is not None for face in follow(iter(frames))] == [False, True, False, True]


def test_follow_refuses_what_it_cannot_do(pair):
    with pytest.raises(FaceError, match="shows 1"):
        list(follow([scene((pair[0], 10, 10))], 3))
    for choice in ("biggest", -1, True):
        with pytest.raises(ConfigError, match="largest"):
            follow([], choice)
