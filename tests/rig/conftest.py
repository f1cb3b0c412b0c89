import pytest

from vivant.perception.faces import FaceFinder
from vivant.perception.matte import MatteFinder
from vivant.rig.build import PhotoRig


@pytest.fixture(scope="session")
def still(portrait):
    """Picture, landmarks and matte of the demo portrait."""
    return portrait, FaceFinder(threads=1).find(portrait)[0].landmarks, MatteFinder(threads=1).find(portrait)


@pytest.fixture(scope="session")
def rig(still):
    return PhotoRig.build(*still)
