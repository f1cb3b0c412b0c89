"""The shipped weights: the command of the README lets a person perform another's poses, offline."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.media.image import read_image, write_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

BODIES = Path(__file__).parents[1] / "data" / "bodies"


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """person.png, and two drivers: another person who walks to the right, and who stands."""
    folder = tmp_path_factory.mktemp("desk")
    write_image(folder / "person.png", read_image(BODIES / "signing_woman.jpg"))
    other = read_image(BODIES / "signing_man.jpg")
    for name, pace in (("walks", 8), ("stands", 0)):
        with VideoWriter(folder / f"{name}.mp4", Fraction(25)) as writer:
            for frame in range(6):
                writer.write(np.roll(other, pace * frame, axis=1))
    return folder


def film(desk, driver):
    """The frames that the command line makes, and their record."""
    out = desk / f"{driver}_out.mp4"
    argv = ["animate", "--method", "animate-anyone", "-s", str(desk / "person.png"), "-d", str(desk / f"{driver}.mp4")]
    assert main([*argv, "-o", str(out), "--steps", "2", "--guidance", "1", "--crop-only"]) == 0
    return np.stack(list(open_clip(out).frames)).astype(int), json.loads(out.with_suffix(".mp4.json").read_text())


def test_a_person_follows_the_driver(desk):
    walks, record = film(desk, "walks")
    stands, _ = film(desk, "stands")
    assert walks.shape == stands.shape == (6, 256, 256, 3) and record["preset"] == "lite"
    assert np.abs(walks[0] - stands[0]).mean() < 4, "both begin alike"
    gone, stayed = (np.abs(clip[-1] - clip[0]).mean() for clip in (walks, stands))
    assert gone > 2 * stayed and gone > 4, (gone, stayed)
