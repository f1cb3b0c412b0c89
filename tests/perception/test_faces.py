import cv2
import numpy as np
import pytest

from vivant.core.errors import MediaError
from vivant.perception import BLENDSHAPE_NAMES
from vivant.perception.landmarks import Square, cut_square
from vivant.perception.pose import head_pose


def eyes_nose_mouth_chin(landmarks):
    return landmarks[468], landmarks[473], landmarks[1], landmarks[13], landmarks[152]


@pytest.mark.parametrize("name", ["woman", "man"])
def test_finds_the_one_face_of_a_portrait(finder, name, request):
    image = request.getfixturevalue(name)
    (face,) = finder.find(image)
    assert face.score > 0.99
    assert 0.25 * len(image) < face.size < len(image)
    assert face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float32
    left, right, nose, mouth, chin = eyes_nose_mouth_chin(face.landmarks)
    assert left[0] < nose[0] < right[0]
    assert max(left[1], right[1]) < nose[1] < mouth[1] < chin[1]
    assert nose[2] < left[2] and nose[2] < right[2], "the nose is nearer than the eyes"
    assert (face.landmarks[:, :2] >= face.box[:2]).all() and (face.landmarks[:, :2] <= face.box[2:]).all()


def test_irises_lie_on_dark_pixels(finder, woman):
    (face,) = finder.find(woman)
    grey = cv2.cvtColor(woman, cv2.COLOR_RGB2GRAY)
    for centre, cheek in ((468, 50), (473, 280)):
        eye, skin = (face.landmarks[i, :2].round().astype(int) for i in (centre, cheek))
        assert grey[eye[1], eye[0]] < grey[skin[1], skin[0]]


def test_blendshapes_tell_an_open_mouth(finder, speaker):
    values = {}
    for image in speaker:
        (face,) = finder.find(image)
        assert face.blendshapes.shape == (len(BLENDSHAPE_NAMES),)
        assert face.blendshapes.min() >= 0 and face.blendshapes.max() <= 1
        values[face.landmarks[14, 1] - face.landmarks[13, 1]] = face.blendshapes[BLENDSHAPE_NAMES.index("jawOpen")]
    narrow, wide = min(values), max(values)
    assert values[narrow] < values[wide]


def test_nothing_in_noise_or_in_an_even_picture(finder):
    noise = np.random.default_rng(3).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    assert finder.find(noise) == []
    assert finder.find(np.full((64, 64, 3), 127, np.uint8)) == []


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (9, 9, 3), (8, 2000, 3)])
def test_tiny_and_narrow_pictures_hold_no_face(finder, shape):
    assert finder.find(np.zeros(shape, np.uint8)) == []


@pytest.mark.parametrize(
    "image", [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 4), np.uint8), np.zeros((50, 50, 3)), "a.png"]
)
def test_other_arrays_are_refused_in_one_sentence(finder, image):
    with pytest.raises(MediaError, match="convert it first"):
        finder.find(image)


def test_two_faces_side_by_side_largest_first(finder, woman, man):
    small = cv2.resize(man, (200, 200), interpolation=cv2.INTER_AREA)
    canvas = np.full((384, 600, 3), 100, np.uint8)
    canvas[100:300, :200] = small
    canvas[:, 210:594] = cv2.resize(woman, (384, 384))
    first, second = finder.find(canvas)
    assert first.size > second.size
    assert first.box[0] > 210 and second.box[2] < 210


def test_landmarks_of_a_huge_picture_match_those_of_the_small_one(finder, man):
    (small,) = finder.find(man)
    factor = 12
    big = cv2.resize(man, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    (found,) = finder.find(big)
    error = np.linalg.norm(found.landmarks[:, :2] / factor - small.landmarks[:, :2], axis=1)
    assert error.mean() < 0.02 * small.size


def test_small_face_in_a_wide_picture(finder, man):
    canvas = np.full((720, 1280, 3), 90, np.uint8)
    canvas[400:480, 900:980] = cv2.resize(man, (80, 80), interpolation=cv2.INTER_AREA)
    (face,) = finder.find(canvas)
    assert 900 < face.box[0] < face.box[2] < 980


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_pictures_give_the_same_points_turned(finder, woman, quarters):
    (upright,) = finder.find(woman)
    (turned,) = finder.find(np.ascontiguousarray(np.rot90(woman, quarters)))
    roll = float(head_pose(turned.landmarks).roll - head_pose(upright.landmarks).roll)
    assert abs((roll + 90 * quarters + 180) % 360 - 180) < 8
    assert abs(turned.size / upright.size - 1) < 0.1


def test_a_cut_square_shows_what_lies_under_it():
    image = np.zeros((1200, 1200, 3), np.uint8)
    image[500:700, 500:700] = 255
    view = cut_square(image, Square(np.array([600.0, 600.0]), 800, np.pi / 4), 64)
    assert view.shape == (64, 64, 3)
    assert view[32, 32, 0] == 255 and view[32, 2, 0] == 0
    assert abs(view[..., 0].mean() / 255 - (200 / 800) ** 2) < 0.01


def test_a_clock_is_no_face(finder):
    import skimage.data

    assert finder.find(np.repeat(skimage.data.clock()[..., None], 3, axis=2)) == []


def test_a_face_turned_at_any_angle_is_found_once(finder, man):
    size = len(man)
    for angle in (50, 90, 180, 300):
        turned = cv2.warpAffine(man, cv2.getRotationMatrix2D((size / 2, size / 2), angle, 1), (size, size))
        assert len(finder.find(turned)) == 1


def test_a_small_face_beside_a_large_one_is_found(finder, woman, man):
    wide = np.full((600, 1320, 3), 90, np.uint8)
    for image, side, left in ((woman, 600, 0), (man, 420, 600), (woman, 210, 1060)):
        wide[600 - side :, left : left + side] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    faces = finder.find(wide)
    assert len(faces) == 3
    assert [round(face.box[0]) // 100 for face in faces] == sorted(round(face.box[0]) // 100 for face in faces)
    assert faces[0].size == pytest.approx(finder.find(wide, thorough=False)[0].size), "tiles do not cut the large one"


def test_a_bowed_head_is_not_taken_upside_down(finder, bowed):
    """The net sees this one a little more clearly the wrong way round."""
    (face,) = finder.find(bowed)
    assert abs(float(head_pose(face.landmarks).roll)) < 30


def test_threads_may_share_a_finder(finder, woman, man):
    from concurrent.futures import ThreadPoolExecutor

    alone = [finder.find(picture, False)[0].landmarks for picture in (woman, man)]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda picture: finder.find(picture, False)[0].landmarks, [woman, man] * 6))
    for index, landmarks in enumerate(together):
        np.testing.assert_array_equal(landmarks, alone[index % 2])
