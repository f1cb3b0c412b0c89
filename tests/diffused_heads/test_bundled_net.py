"""The bundled net: offline from the command line, and a face that stays a face."""

import wave

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.core.clip import Audio
from vivant.media.audio import read_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.weights.assets import asset

RATE = 16000


@pytest.fixture(scope="module")
def portrait():
    return str(asset("demo/portrait.jpg"))


@pytest.fixture(scope="module")
def sound():
    return read_audio(asset("demo/driver.mp4"), RATE, mono=True).samples[:, :1]


def spoken(path, samples, rate=RATE):
    """A wave file of samples (N, channels)."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1]), file.setsampwidth(2), file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def test_a_portrait_speaks_from_the_command_line_without_a_network(tmp_path, portrait, sound, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("nothing is to be fetched")

    monkeypatch.setattr("socket.socket.connect", refuse)
    spoken(tmp_path / "speech.wav", sound[: 6 * RATE // 25])
    out = tmp_path / "talk.mp4"
    words = [
        "animate",
        "--method",
        "diffused-heads",
        "-s",
        portrait,
        "-a",
        str(tmp_path / "speech.wav"),
        "-o",
        str(out),
    ]
    assert main(words) == 0
    clip = open_clip(out)
    assert len(list(clip.frames)) == 6 and clip.audio is not None and clip.size == read_image(portrait).shape[1::-1]


def test_ten_milliseconds_of_stereo_are_one_frame_with_its_sound(tmp_path, portrait, sound):
    spoken(tmp_path / "short.wav", np.repeat(sound[:480], 2, 1), 48000)
    out = tmp_path / "short.mp4"
    words = ["animate", "--method", "diffused-heads", "--steps", "1", "-s", portrait, "-a", str(tmp_path / "short.wav")]
    assert main([*words, "-o", str(out)]) == 0
    clip = open_clip(out)
    assert len(list(clip.frames)) == 1 and clip.audio is not None and clip.audio.rate == 48000


def test_the_face_stays_the_same_person_and_its_mouth_moves(portrait, sound):
    from vivant.controls.ratios import lip_ratio
    from vivant.perception.faces import FaceFinder
    from vivant.perception.identity import IdentityNet, identity_distance
    from vivant.pipelines.load import load

    pipe = load("diffused-heads", device="cpu")
    result = pipe.animate(portrait, audio=Audio(sound[: 28 * RATE // 25], RATE), crop_only=True, steps=4)
    frames = list(result.frames)
    finder = FaceFinder(threads=1)
    faces = [finder.find(frame)[0] for frame in frames[::3]]
    assert np.ptp([lip_ratio(face.landmarks) for face in faces]) > 0.02
    net = IdentityNet()
    known, last = (
        net.embed(picture, finder.find(picture)[0].landmarks) for picture in (read_image(portrait), frames[-1])
    )
    assert identity_distance(known, last) < 0.5  # the net's authors call two pictures under 0.6 one person
