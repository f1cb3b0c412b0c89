"""Clips of speaking faces, as landmarks and sound: filmed ones, and takes that rigs of stills speak.

`tools/pack_speech_motion.py` makes and packs them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from prepare_lite_data import TEST_SPEAKERS, held_out

from vivant.core.clip import Audio
from vivant.core.errors import VivantError
from vivant.core.speech import SPEECH_RATE
from vivant.data.face_motions import MotionClip
from vivant.data.ingest import full_track
from vivant.data.synthesis.speech_motion import SpeechMotion
from vivant.media.audio import audio_blocks, mix_to_mono, stream_audio
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.perception.faces import FaceFinder
from vivant.perception.tracking import follow
from vivant.rig.build import PhotoRig
from vivant.rig.posing import Poser
from vivant.rig.visemes import resting_mouth

FRAMES = 75
SAMPLES = SPEECH_RATE // 25
_UNIT = 32  # steps of a pixel in which landmarks are kept


@dataclass
class Spoken:
    """One clip: landmarks (F, 478, 3), samples (F * 640,), and who it is."""

    clip: MotionClip
    landmarks: np.ndarray
    samples: np.ndarray


def track(path: Path, out: Path) -> str:
    """Keep the landmarks of a filmed clip; returns what is wrong with it, or nothing."""
    cv2.setNumThreads(1)
    target = out / "tracks" / f"{path.parent.name}_{path.stem}.npy"
    if target.exists():
        return ""
    try:
        found = full_track(follow(open_clip(path).frames))
    except VivantError as error:
        return f"{path.name}: {error}"
    _keep(target, np.round(found * _UNIT).astype(np.int16))
    return ""


def _keep(target: Path, values: np.ndarray) -> None:
    part = target.with_suffix(".part.npy")
    np.save(part, values)
    os.replace(part, target)


def speak(still: Path, numbers: list[int], out: Path) -> str:
    """Keep sound and landmarks of takes `numbers`, spoken by the rig of a still."""
    cv2.setNumThreads(1)
    if all((out / "takes" / f"{number:05d}.npz").exists() for number in numbers):
        return ""
    image = read_image(still)
    faces = FaceFinder(threads=1).find(image)
    try:
        if not faces:
            return f"{still.name}: no face"
        rig = PhotoRig.build(image, faces[0].landmarks)
        poser, source = _poser(rig), SpeechMotion(FRAMES)
        for number in numbers:
            take = source.take(number, 0)
            rest = resting_mouth(rig.fit.expression)
            motion = replace(take.motion, expression=take.motion.expression + rest.astype(np.float32))
            posed = poser.pose(motion, np.zeros((len(motion), 4), np.float32))
            assert take.audio is not None
            np.savez_compressed(
                out / "takes" / f"{number:05d}.npz",
                landmarks=np.round(posed.landmarks.numpy() * _UNIT).astype(np.int32),
                samples=np.round(_at_rate(take.audio) * 32767).astype(np.int16), still=still.stem,
                voice=take.notes["voice"], language=take.notes["language"],
            )  # fmt: skip
    except (VivantError, ValueError, IndexError) as error:
        return f"{still.name}: {error}"
    return ""


def _poser(rig: PhotoRig) -> Poser:
    torch.set_num_threads(1)
    return Poser(rig, torch.device("cpu"))


def _at_rate(audio: Audio) -> np.ndarray:
    return np.concatenate([mix_to_mono(block.T)[0] for block in audio_blocks(audio, SPEECH_RATE)])


def filmed(data: Path, out: Path) -> Iterator[Spoken]:
    """All tracked clips."""
    for folder in ("s1", "others"):
        for number, path in enumerate(sorted((data / "grid" / folder).glob("*.mp4"))):
            kept = out / "tracks" / f"{folder}_{path.stem}.npy"
            if not kept.exists():
                continue
            landmarks = np.load(kept).astype(np.float32) / _UNIT
            samples = np.concatenate([block[:, 0] for block in stream_audio(path, SPEECH_RATE, mono=True)])
            person = "s1" if folder == "s1" else path.stem
            test = number % 20 == 7 if folder == "s1" else path.stem in TEST_SPEAKERS
            clip = MotionClip(f"grid_{path.stem}", person, "grid" if folder == "s1" else "others",
                              "test" if test else "train", len(landmarks))  # fmt: skip
            yield Spoken(clip, landmarks, _fitted(samples, len(landmarks)))


def made(out: Path) -> Iterator[Spoken]:
    """All spoken takes."""
    for path in sorted((out / "takes").glob("*.npz")):
        with np.load(path) as file:
            landmarks = file["landmarks"].astype(np.float32) / _UNIT
            samples, still = file["samples"].astype(np.float32) / 32767, str(file["still"])
        split = "test" if held_out(still) else "train"
        clip = MotionClip(f"take_{path.stem}", still, "made", split, len(landmarks))
        yield Spoken(clip, landmarks, _fitted(samples, len(landmarks)))


def _fitted(samples: np.ndarray, frames: int) -> np.ndarray:
    wanted = frames * SAMPLES
    return np.pad(samples[:wanted], (0, max(0, wanted - len(samples)))).astype(np.float32)
