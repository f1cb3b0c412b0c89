"""The shipped weights: the command of the README makes a portrait speak, offline, and both strengths act."""

import json
from fractions import Fraction

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.clip import Audio
from vivant.media.audio import read_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.methods.v_express.config import PRESETS
from vivant.perception.faces import FaceFinder
from vivant.pipelines.crops import crop_of
from vivant.weights.assets import asset


@pytest.fixture(scope="module")
def desk(tmp_path_factory, portrait_path, driver_frames):
    """face.jpg and half a second of speech."""
    folder = tmp_path_factory.mktemp("desk")
    (folder / "face.jpg").write_bytes(portrait_path.read_bytes())
    speech = Audio(read_audio(asset("demo/driver.mp4"), 16000, mono=True).samples[12800:20800], 16000)
    with VideoWriter(folder / "speech.mp4", Fraction(25), audio=speech) as writer:
        for frame in [driver_frames[0]] * 12:
            writer.write(frame)
    return folder


def film(desk, *words):
    """The frames that the command line makes, and their record."""
    out = desk / "out.mp4"
    argv = ["animate", "--method", "v-express", "-s", str(desk / "face.jpg"), "-a", str(desk / "speech.mp4")]
    assert main([*argv, "-o", str(out), "--steps", "2", "--guidance", "1", "--crop-only", *words]) == 0
    return np.stack(list(open_clip(out).frames)).astype(int), json.loads((desk / "out.mp4.json").read_text())


def test_a_portrait_speaks_and_both_strengths_act(desk):
    frames, record = film(desk)
    assert frames.shape[0] in (12, 13) and frames.shape[1:] == (256, 256, 3) and record["preset"] == "lite"
    picture = read_image(desk / "face.jpg")
    square = crop_of(picture, FaceFinder().find(picture)[0], PRESETS["lite"].source_crop, 256).image
    assert np.abs(frames - square).mean() < 12, "this is not the portrait"
    around = frames.std(0).mean(-1)
    assert around[150:230, 80:176].mean() > 2 * around[:60].mean(), "the mouth does not move more than the hair"
    for other in (["--strength.audio", "0"], ["--strength.reference", "0.5"]):
        assert np.abs(film(desk, *other)[0] - frames).mean() > 0.3, other
