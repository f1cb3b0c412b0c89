import numpy as np
import pytest
import torch

from vivant.perception.identity import (
    ALIGN_POINTS,
    SAME_PERSON,
    IdentityNet,
    align_face,
    align_matrix,
    identity_distance,
)


@pytest.fixture(scope="module")
def net():
    return IdentityNet()


@pytest.fixture(scope="module")
def embeddings(net, finder, woman, man, speaker):
    return [net.embed(image, finder.find(image)[0].landmarks) for image in (woman, man, *speaker)]


def test_same_person_is_near_and_others_are_far(embeddings):
    woman, man, early, late = embeddings
    assert early.shape == (128,) and early.dtype == np.float32
    assert identity_distance(early, late) < SAME_PERSON
    for a, b in ((woman, man), (woman, early), (man, late)):
        assert identity_distance(a, b) > 0.5


def test_size_place_and_tilt_of_a_face_matter_little(net, finder, man, embeddings):
    import cv2

    matrix = cv2.getRotationMatrix2D((120, 120), 25, 1.6)
    moved = cv2.warpAffine(man, matrix, (520, 480))
    other = net.embed(moved, finder.find(moved)[0].landmarks)
    assert identity_distance(embeddings[1], other) < SAME_PERSON


def test_alignment_puts_the_eyes_level_and_in_place(finder, woman):
    (face,) = finder.find(woman)
    assert align_face(woman, face.landmarks).shape == (150, 150, 3)
    matrix = align_matrix(face.landmarks)
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))
    points = np.column_stack([face.landmarks[list(ALIGN_POINTS), :2], np.ones(5)]) @ back[:2].T
    left_outer, left_inner, right_outer, right_inner, nose = points
    assert abs(left_outer[1] - right_outer[1]) < 6
    assert right_outer[0] < right_inner[0] < 75 < left_inner[0] < left_outer[0]
    assert nose[1] > left_outer[1] + 20
    np.testing.assert_allclose(matrix[0, 0], matrix[1, 1])
    np.testing.assert_allclose(matrix[0, 1], -matrix[1, 0])


def test_distance_has_a_gradient_in_the_picture(net, finder, woman, embeddings):
    face = align_face(woman, finder.find(woman)[0].landmarks)
    image = (torch.from_numpy(face).permute(2, 0, 1)[None].float() / 255).requires_grad_()
    identity_distance(net(image), torch.from_numpy(embeddings[1])).sum().backward()
    assert torch.isfinite(image.grad).all() and image.grad.abs().sum() > 0
