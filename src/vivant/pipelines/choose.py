"""Which faces of a picture are meant, and whether a method can work with them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vivant.core.errors import ConfigError, FaceError
from vivant.core.face import Face

SMALLEST_FACE = 32.0
LARGEST_YAW = 60.0
FaceChoice = str | int


def parse_choice(choice: FaceChoice) -> FaceChoice:
    """``"largest"``, ``"all"`` or an index into the faces, largest first, from 0.

    Raises:
        ConfigError: anything else.
    """
    if choice in ("largest", "all"):
        return choice
    try:
        index = int(choice)
    except (TypeError, ValueError):
        index = -1
    if index < 0:
        raise ConfigError(f"The face '{choice}' is unknown: give largest, all or an index from 0 (0 is the largest).")
    return index


def where(face: Face) -> str:
    """A face's place in words: ``"index at (x, y), n px"`` of its centre and longer side."""
    x, y = (face.box[:2] + face.box[2:]) / 2
    return f"at ({x:.0f}, {y:.0f}), {face.size:.0f} px"


def choose_faces(
    faces: Sequence[Face], choice: FaceChoice, name: str, size: tuple[int, int]
) -> tuple[list[Face], list[str]]:
    """The meant faces (at least one), and warnings that name those left out.

    ``faces``: largest first; ``size``: (height, width) of the picture, for the message.

    Raises:
        FaceError: there is no face, or none with that index.
    """
    choice = parse_choice(choice)
    if not faces:
        raise FaceError(
            f"No face was found in {name} ({size[1]}x{size[0]} px): "
            "use a picture with a visible, upright face that is no profile."
        )
    if choice == "all":
        return list(faces), []
    index = 0 if choice == "largest" else int(choice)
    if index >= len(faces):
        listed = "; ".join(f"{i} {where(face)}" for i, face in enumerate(faces))
        raise FaceError(f"There is no face {index} in {name}: choose one of {listed}.")
    others = [f"{i} {where(face)}" for i, face in enumerate(faces) if i != index]
    if choice == "largest" and others:
        listed = "; ".join(others)
        count = len(faces)
        note = f"{name} shows {count} faces, the largest ({where(faces[0])}) moves; others: {listed} (--face)."
        return [faces[0]], [note]
    return [faces[index]], []


def check_size(face: Face, name: str, size: tuple[int, int]) -> None:
    """Refuse faces with too few pixels.

    Raises:
        FaceError: smaller than 32 px.
    """
    if face.size < SMALLEST_FACE:
        raise FaceError(
            f"The face in {name} ({size[1]}x{size[0]} px) is {face.size:.0f} px large, "
            f"under {SMALLEST_FACE:.0f}: use a picture of higher resolution or cut closer to the face."
        )


def check_face(face: Face, name: str, size: tuple[int, int]) -> None:
    """Refuse faces that no method here can do well as a source.

    Raises:
        FaceError: smaller than 32 px, or turned by more than 60 degrees.
    """
    check_size(face, name, size)
    from vivant.perception.pose import head_pose

    yaw = float(np.asarray(head_pose(face.landmarks).yaw).reshape(-1)[0])
    if abs(yaw) > LARGEST_YAW:
        raise FaceError(
            f"The face in {name} ({size[1]}x{size[0]} px) is turned by {abs(yaw):.0f} degrees, a profile: "
            f"use a picture that looks within {LARGEST_YAW:.0f} degrees of the camera."
        )
