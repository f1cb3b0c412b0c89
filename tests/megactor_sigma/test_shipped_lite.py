"""The shipped weights: the command of the README makes a clip of the portrait, offline, and both amplitudes act."""

import json
from fractions import Fraction

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.clip import Audio
from vivant.core.facemesh import FACE_POINTS
from vivant.core.registry import get_method
from vivant.media.audio import read_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.methods.megactor_sigma.config import PRESETS
from vivant.perception.faces import FaceFinder
from vivant.pipelines.crops import crop_of
from vivant.weights.assets import asset

FEW = ["--steps", "2", "--guidance", "1", "--crop-only"]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, portrait_path, driver_frames):
    """face.jpg, three frames that drive, and as much speech."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "face.jpg").write_bytes(portrait_path.read_bytes())
    speech = Audio(read_audio(asset("demo/driver.mp4"), 16000, mono=True).samples[8000:9920], 16000)
    for name in ("driver.mp4", "speech.mp4"):
        with VideoWriter(folder / name, Fraction(25), audio=speech) as writer:
            for frame in driver_frames[:3]:
                writer.write(frame)
    return folder


def film(desk, *words):
    """The frames that the command line makes, and their record."""
    out = desk / "out.mp4"
    argv = ["animate", "--method", "megactor-sigma", "-s", str(desk / "face.jpg"), "-o", str(out), *FEW, *words]
    assert main(argv) == 0
    return np.stack(list(open_clip(out).frames)).astype(int), json.loads((desk / "out.mp4.json").read_text())


def test_driver_and_speech_with_their_strengths(desk):
    given = ["-d", str(desk / "driver.mp4"), "-a", str(desk / "speech.mp4")]
    frames, record = film(desk, *given, "--strength.visual", "1.2", "--strength.audio", "1.5")
    assert frames.shape == (3, 256, 256, 3) and record["preset"] == "lite"
    picture = read_image(desk / "face.jpg")
    square = crop_of(picture, FaceFinder().find(picture)[0], PRESETS["lite"].source_crop, 256).image
    assert np.abs(frames - square).mean() < 20, "this is not the portrait"
    for other in (["--strength.visual", "0"], ["--strength.audio", "0"]):
        assert np.abs(film(desk, *given, *other)[0] - frames).mean() > 0.3, other


def eyes_and_lips(landmarks: np.ndarray, size: int) -> np.ndarray:
    """Distance of the eyes, height of their middle and of the lips, in half sides from the middle of a square."""
    points = (landmarks[list(FACE_POINTS), :2] + 0.5) * (2 / size) - 1
    left, right = points[0:2].mean(0), points[2:4].mean(0)
    return np.array([np.linalg.norm(right - left), (left + right)[1] / 2, points[5:].mean(0)[1]])


@pytest.mark.parametrize("method", ["megactor-sigma", "v-express"])  # both learn from the same clips
def test_portraits_are_framed_as_the_rendered_clips_it_learned_from(portrait, method):
    face = FaceFinder(threads=1).find(portrait)[0]
    view = get_method(method).part("config").PRESETS["lite"].source_crop
    found = eyes_and_lips(crop_of(portrait, face, view, 256).landmarks, 256)
    low, high = (0.44, -0.275, 0.25), (0.575, -0.178, 0.446)  # 10 and 90 % of the first frames of rig/random
    assert np.all((low < found) & (found < high)), found
