import numpy as np
import pytest
import torch

from vivant.core.errors import WeightsError
from vivant.perception import twins
from vivant.perception.landmarks import cut_square, square_of_landmarks
from vivant.perception.twins import BlendshapeNet, LandmarkNet


@pytest.fixture(scope="module")
def crops(finder, woman, man):
    views = [cut_square(image, square_of_landmarks(finder.find(image)[0].landmarks)) for image in (woman, man)]
    return np.stack(views)


def as_batch(crops):
    return torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255


def test_landmarks_and_presence_equal_the_runtime(finder, crops):
    points, presence = LandmarkNet()(as_batch(crops))
    assert points.shape == (2, 478, 3) and presence.shape == (2,)
    for crop, ours, present in zip(crops, points, presence):
        theirs, logit = finder.runner._mesh(crop[None].astype(np.float32) / 255)[:2]
        np.testing.assert_allclose(ours, theirs.reshape(478, 3), atol=1e-3)
        assert abs(float(present) - 1 / (1 + np.exp(-logit.item()))) < 1e-3


def test_presence_of_noise_is_low():
    noise = torch.rand(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    assert float(LandmarkNet()(noise)[1]) < 0.1


def test_blendshapes_equal_the_runtime(finder, woman, man):
    net = BlendshapeNet()
    for image in (woman, man):
        (face,) = finder.find(image)
        ours = net(torch.from_numpy(face.landmarks)[None])[0]
        np.testing.assert_allclose(ours, face.blendshapes, atol=1e-3)


def test_gradients_flow_from_expression_to_pixels(crops):
    image = as_batch(crops).requires_grad_()
    BlendshapeNet()(LandmarkNet()(image)[0]).sum().backward()
    assert torch.isfinite(image.grad).all()
    assert (image.grad.abs().sum((1, 2, 3)) > 0).all()


def test_pretrained_weights_are_frozen():
    assert not any(parameter.requires_grad for parameter in LandmarkNet().parameters())


def test_weights_of_another_net_are_refused():
    with pytest.raises(WeightsError, match="does not fit BlendshapeNet"):
        twins._load(BlendshapeNet(pretrained=False), "perception/landmark_net.safetensors")
