"""Each scorer sees the fault it is for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from vivant.data.curate.scorers.base import scorer
from vivant.data.curate.scorers.exposure import face_luma
from vivant.data.curate.scorers.pixels import face_cut
from vivant.data.curate.scorers.resolution import detail
from vivant.data.curate.scorers.sharpness import blockiness, blur
from vivant.data.curate.scorers.text import letters
from vivant.data.curate.words import Clip, Faces, Source, View
from vivant.perception.tracking import FaceTracker

SOURCE = Source("v", "v.mp4", 2.0, (288, 288), "25", True, 100_000)


@pytest.fixture(scope="module")
def face(speaker) -> tuple[np.ndarray, np.ndarray]:
    """A frame and the landmarks of its face."""
    frame = speaker[0][0]
    found = FaceTracker(max_faces=1).update(frame)
    return frame, next(iter(found.values())).landmarks


@pytest.fixture(scope="module")
def tracked(speaker) -> Faces:
    """The speaker's face in 30 frames."""
    frames, _ = speaker
    tracker = FaceTracker(max_faces=1)
    landmarks = np.stack([next(iter(tracker.update(frame).values())).landmarks for frame in frames])
    ones = np.ones(len(frames))
    return Faces(landmarks, ones > 0, ones.astype(int), ones.astype(np.float32))


def look(name: str, frames: list[np.ndarray], faces: Faces, sound: np.ndarray | None = None) -> dict:
    view = View(Clip("c", "v", 0, len(frames), 0), SOURCE, faces, lambda: sound)
    found = scorer(name)(view)
    for frame, landmarks, seen in zip(frames, faces.landmarks, faces.seen):
        found.see(frame, landmarks, bool(seen))
    return found.finish()


def test_blur_and_enlarging_are_seen(face) -> None:
    frame, landmarks = face
    soft = cv2.GaussianBlur(frame, (0, 0), 3)
    small = cv2.resize(frame, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    enlarged = cv2.resize(small, (288, 288), interpolation=cv2.INTER_CUBIC)
    sharp = face_cut(frame, landmarks)
    assert blur(sharp) < 0.5 < 0.65 < blur(face_cut(soft, landmarks))
    assert detail(sharp) > 0.75 > 0.55 > detail(face_cut(enlarged, landmarks)) > 0.3


def test_blocks_are_seen(face) -> None:
    frame, _ = face
    _, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, 5])
    assert blockiness(frame) < 1.2 < 1.4 < blockiness(cv2.imdecode(data, cv2.IMREAD_COLOR))


def test_letters_are_seen(face) -> None:
    frame, landmarks = face
    picture = Image.fromarray(frame)
    font = ImageFont.load_default(16)
    ImageDraw.Draw(picture).text((20, 262), "here is a caption", "white", font, stroke_width=1, stroke_fill="black")
    found = letters(np.array(picture), landmarks)
    assert letters(frame, landmarks).mean() < 0.002 < 0.008 < found.mean()
    assert found[:250].mean() == 0 and found[262:280, 30:150].mean() > 0.4


def test_light_is_measured_in_the_face(face) -> None:
    frame, landmarks = face
    assert 90 < face_luma(frame, landmarks).mean() < 200
    dark = look("exposure", [frame // 8] * 2, Faces(np.stack([landmarks] * 2), np.ones(2, bool), *[np.ones(2)] * 2))
    assert dark["mean"] < 30 and dark["dark"] > 0.2


def test_the_speaker_is_still_frontal_and_talks(speaker, tracked: Faces) -> None:
    frames, sound = speaker
    pose = look("pose", frames, tracked)
    assert pose["mean"] < 20 and pose["frontal"] == 1 and pose["most"] >= pose["mean"]
    motion = look("motion", frames, tracked)
    assert motion["travel"] < 0.1 and motion["lips"] > 0.02 and motion["still"] == 0
    assert look("motion", [frames[0]] * 30, tracked)["still"] == 1
    assert look("faces", frames, tracked)["seconds"] == pytest.approx(1.2)
    heard = look("sound", frames, tracked, sound)
    assert heard["present"] == 1 and heard["level"] > -40 and heard["clipped"] < 0.01
    assert look("speech", frames, tracked, sound)["share"] > 0.5
    quiet = np.zeros_like(sound)
    assert look("sound", frames, tracked, quiet)["present"] == 0
    assert look("speech", frames, tracked, quiet)["share"] == 0
    assert look("sound", frames, tracked)["present"] == 0 and look("sound", frames, tracked)["level"] is None


def test_identity_and_duplicates_keep_what_later_steps_read(speaker, tracked: Faces) -> None:
    frames, _ = speaker
    found = look("identity", frames, tracked)
    assert len(found["embedding"]) == 128 and found["spread"] < 0.3
    copies = look("duplicates", frames, tracked)
    assert len(copies["lips"]) == 30 and copies["loud"] == [] and len(copies["hashes"]) == 1
    assert len(bytes.fromhex(copies["hashes"][0])) == 8


def test_two_people_are_counted(tracked: Faces) -> None:
    both = Faces(tracked.landmarks, tracked.seen, np.array([2] * 20 + [1] * 10), tracked.score)
    found = look("faces", [], both)
    assert found["most"] == 2 and found["alone"] == pytest.approx(1 / 3, abs=1e-4)
