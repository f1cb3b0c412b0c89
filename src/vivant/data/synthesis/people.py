"""Who can be animated: every still is looked at once; good ones are people, the others are rejected with a reason."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from vivant.core.errors import ARRAY_ERRORS, ConfigError, FaceError, MediaError, VivantError
from vivant.core.text import read_text
from vivant.data.manifest import SPLITS

if TYPE_CHECKING:
    from vivant.perception.faces import FaceFinder
    from vivant.perception.matte import MatteFinder
    from vivant.rig.build import PhotoRig
    from vivant.rig.check import CheckReport
    from vivant.rig.limits import Reach

INDEX = "index.jsonl"
FOLDER = "people"
AXES = ("yaw", "pitch", "roll")
LARGEST = 1024
"""Stills are made smaller until their longer side has this many pixels: a rig samples the still itself, and clips are
smaller."""


@dataclass(frozen=True)
class Still:
    """One file to look at. ``id``: unique name, also of the person. ``split``: where the index says it, else empty.
    ``bytes``: how many the file has."""

    id: str
    path: Path
    licence: str = ""
    credit: str = ""
    split: str = ""
    bytes: int = 0


@dataclass(frozen=True)
class Person:
    """One looked-at still. ``file``: its path below the stills' folder. ``reasons``: why it is not used, empty if it
    is. ``measures``: see ``vivant.rig.check.StillReport``, and how far the head can turn. ``poses``: re-detection by
    test pose, in cm. ``bytes``: of the file that was looked at, 0 if not known."""

    id: str
    file: str
    licence: str = ""
    credit: str = ""
    split: str = ""
    reasons: tuple[str, ...] = ()
    measures: Mapping[str, float] = field(default_factory=dict)
    poses: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bytes: int = 0

    @property
    def lips_shut(self) -> bool:
        """Whether the still's lips are shut (a gap of less than 0.12 cm)."""
        return self.measures.get("gap", 0.0) < 0.12

    @property
    def reach(self) -> Reach:
        """How far the head can turn."""
        from vivant.rig.limits import Reach

        low, high = ([self.measures.get(f"{axis}_{end}", far) for axis in AXES]
                     for end, far in (("lowest", -30.0), ("highest", 30.0)))  # fmt: skip
        return Reach(np.array(low), np.array(high))


def find_stills(folder: Path, licence: str = "", credit: str = "") -> list[Still]:
    """All pictures below ``folder``, in order of name; an ``index.jsonl`` there (``file``, ``licence``, ``credit`` or
    ``source``, ``split`` a line) says where they come from, what it leaves out is ``licence`` and ``credit``.

    Raises:
        MediaError: no folder, or no picture in it. ConfigError: a damaged index.
    """
    from vivant.media.image import IMAGE_SUFFIXES

    if not folder.is_dir():
        raise MediaError(f"'{folder}' is not a folder of stills: name one that holds pictures.")
    known = read_index(folder)
    stills = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and p.is_file()):
        name = path.relative_to(folder).as_posix()
        row = known.get(name, {})
        stills.append(
            Still(
                _id(name), path, str(row.get("licence") or licence),
                str(row.get("credit") or row.get("source") or credit), str(row.get("split") or ""),
                path.stat().st_size,
            )
        )  # fmt: skip
    if not stills:
        raise MediaError(f"'{folder}' holds no picture ({', '.join(IMAGE_SUFFIXES)}): name another folder.")
    _require_unique([still.id for still in stills], folder)
    return stills


def read_index(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of ``folder/index.jsonl`` by their ``file``; nothing where there is none.

    Raises:
        ConfigError: a damaged line, or a split that there is not.
    """
    path = folder / INDEX
    if not path.is_file():
        return {}
    lines = read_text(path, "The index").splitlines()
    rows: dict[str, dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = json.loads(line)
                rows[str(row["file"])] = row
            except (json.JSONDecodeError, KeyError, TypeError) as error:
                raise ConfigError(f"{path} line {number} is not an object with a 'file': mend or remove it.") from error
            if (row.get("split") or "train") not in SPLITS:
                raise ConfigError(
                    f"{path} line {number}: split '{row['split']}' is none of {', '.join(SPLITS)}: mend it."
                )
    return rows


def _id(name: str) -> str:
    """The name of a still's person: its path without the ending, and what no text can hold (bytes of a file name that
    are not UTF-8) as ``_``."""
    return re.sub("[/\ud800-\udfff]", "_", name.rpartition(".")[0])


def _require_unique(names: Sequence[str], folder: Path) -> None:
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(f"'{folder}' holds two stills of the name '{twice[0]}': rename one.")


class Survey:
    """Looks at stills. Keeps the nets that see; one for each process."""

    def __init__(self, out: Path, redetect: bool = True, device: str = "cpu") -> None:
        self.folder, self.redetect, self.device = out / FOLDER, redetect, device
        self._finders: tuple[FaceFinder, MatteFinder] | None = None

    def look(self, still: Still, root: Path) -> Person:
        """Fit the head to a still, keep what the nets saw of it in ``people/<id>.npz``, and say whether it is good.
        Whatever is wrong with the still becomes a reason; nothing but a full disk or the like raises."""
        person = Person(still.id, still.path.relative_to(root).as_posix(), still.licence, still.credit, still.split,
                        bytes=still.bytes)  # fmt: skip
        try:
            image = read_still(still.path)
            landmarks, matte = self._see(image)
            keep_seen(self.folder / f"{still.id}.npz", landmarks, matte)
            report, reach = self._check(image, landmarks, matte)
        except (VivantError, ArithmeticError, ValueError, IndexError, cv2.error, RuntimeError) as error:
            return Person(**{**vars(person), "reasons": (_sentence(error),)})
        measures = {k: round(float(v), 4) for k, v in vars(report.still).items() if k != "reasons"}
        for end, angles in (("lowest", reach.lowest), ("highest", reach.highest)):
            measures |= {f"{axis}_{end}": round(float(v), 2) for axis, v in zip(AXES, angles)}
        poses = {name: {k: round(float(v), 4) for k, v in asdict(p).items()} for name, p in report.poses.items()}
        return Person(**{**vars(person), "reasons": tuple(report.reasons), "measures": measures, "poses": poses})

    def _see(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from vivant.perception.faces import FaceFinder
        from vivant.perception.matte import MatteFinder

        if self._finders is None:
            self._finders = FaceFinder(threads=1), MatteFinder(threads=1)
        faces = self._finders[0].find(image)
        if not faces:
            raise FaceError("no face is found")
        if len(faces) > 1 and faces[1].size > 0.5 * faces[0].size:
            raise FaceError("more than one face is seen")
        return faces[0].landmarks, self._finders[1].find(image)

    def _check(self, image: np.ndarray, landmarks: np.ndarray, matte: np.ndarray) -> tuple[CheckReport, Reach]:
        from vivant.rig.build import PhotoRig
        from vivant.rig.check import CheckReport, check_rig, inspect_still
        from vivant.rig.limits import reach_of

        rig = PhotoRig.build(image, landmarks, matte)
        still, reach = inspect_still(rig), reach_of(rig)
        if not self.redetect or still.reasons:
            return CheckReport(still, reasons=still.reasons), reach
        return check_rig(rig, self._largest_face, device=self.device), reach

    def _largest_face(self, image: np.ndarray) -> np.ndarray | None:
        assert self._finders is not None
        faces = self._finders[0].find(image)
        return faces[0].landmarks if faces else None


def _sentence(error: BaseException) -> str:
    if isinstance(error, VivantError):
        return str(error).rstrip(".")
    return f"the rig cannot be built ({type(error).__name__}: {str(error)[:100]})"


def read_still(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, the longer side at most :data:`LARGEST`.

    Raises:
        MediaError: no picture.
    """
    from vivant.media.image import read_image

    image = read_image(path)
    scale = LARGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def keep_seen(path: Path, landmarks: np.ndarray, matte: np.ndarray) -> None:
    """Keep landmarks (478, 3) and matte (H, W) of a still, so that rendering needs no net."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    with part.open("wb") as stream:
        np.savez_compressed(
            stream, landmarks=landmarks.astype(np.float32), matte=np.round(matte * 255).astype(np.uint8)
        )
    os.replace(part, path)


def build_rig(out: Path, stills: Path, person: Person) -> PhotoRig:
    """The rig of a person that was looked at before.

    Raises:
        MediaError: the still or what was seen of it is gone. RigRejected: it cannot be fitted.
    """
    from vivant.rig.build import PhotoRig

    seen = out / FOLDER / f"{person.id}.npz"
    try:
        with np.load(seen, allow_pickle=False) as data:
            landmarks, matte = data["landmarks"], data["matte"]
    except ARRAY_ERRORS as error:
        raise MediaError(f"{seen} cannot be read ({error}): remove {out / 'people.jsonl'} and run again.") from error
    return PhotoRig.build(read_still(stills / person.file), landmarks, matte.astype(np.float32) / 255)


def split_of(person: Person, shares: Mapping[str, float], listed: Mapping[str, str]) -> str:
    """``train``, ``val`` or ``test``: as listed, as the stills' index says, or by a number made of the person's name,
    which never changes when people are added."""
    if person.id in listed:
        return listed[person.id]
    if person.split:
        return person.split
    place = int.from_bytes(hashlib.sha256(person.id.encode()).digest()[:8], "big") / 2**64
    for name in ("test", "val"):
        if place < shares.get(name, 0.0):
            return name
        place -= shares.get(name, 0.0)
    return "train"
