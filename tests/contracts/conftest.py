"""What the contracts of all methods share."""

import pytest

from vivant.perception.faces import FaceFinder


@pytest.fixture(scope="package")
def faces(portrait, driver_frames):
    """(picture, face) of the portrait, then of three frames of the speaker."""
    finder = FaceFinder()
    pictures = [portrait, *driver_frames[:3]]
    return [(picture, finder.find(picture)[0]) for picture in pictures]
