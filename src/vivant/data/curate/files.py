"""Files of the work folder: written whole or not at all, read strictly."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vivant.core.errors import ARRAY_ERRORS, ConfigError
from vivant.data.curate.words import Clip, Faces, Source, Work

Item = TypeVar("Item", Source, Clip)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON file in one step, making its folder."""
    _write(path, json.dumps(value, ensure_ascii=False, indent=None) + "\n")


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON value a line, in one step."""
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


def read_json(path: Path) -> Any:
    """One JSON file, None if it is not there.

    Raises:
        ConfigError: it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: delete it, and call the step again.") from error


def read_lines(path: Path, missing: str) -> list[dict[str, Any]]:
    """All rows of a file of JSON lines.

    Raises:
        ConfigError: the file is missing (``missing`` says what to do) or damaged.
    """
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist: {missing}.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is damaged: delete it, and call the step again.") from error


def read_plan(work: Work) -> list[Source]:
    """The videos of a work folder.

    Raises:
        ConfigError: there is no plan.
    """
    return [_item(Source, row) for row in read_lines(work.plan, "call vivant curate plan first")]


def read_clips(work: Work, source: str) -> list[Clip] | None:
    """The clips of a video, None if it has not been looked at."""
    rows = read_json(work.clips(source))
    return None if rows is None else [_item(Clip, row) for row in rows]


def all_clips(work: Work) -> Iterator[tuple[Source, Clip]]:
    """Every clip of every video that has been looked at, in order of the plan."""
    for source in read_plan(work):
        for clip in read_clips(work, source.id) or []:
            yield source, clip


def _item(kind: type[Item], row: dict[str, Any]) -> Item:
    names = {item.name for item in fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in row.items() if key in names}
    found: Item = kind(**values)  # type: ignore[arg-type]
    return found


def write_clips(work: Work, source: str, clips: list[Clip]) -> None:
    """Note what a video falls into; the last thing that is written of it."""
    write_json(work.clips(source), [asdict(clip) for clip in clips])


def write_faces(work: Work, clip: Clip, faces: Faces) -> None:
    """Keep the faces of a clip, landmarks to a thirtieth of a pixel or better up to 1080p."""
    path = work.faces(clip.id)
    path.parent.mkdir(parents=True, exist_ok=True)
    unit = max(float(np.abs(faces.landmarks).max()) / 32767, 1e-6)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez_compressed(
            file, landmarks=np.round(faces.landmarks / unit).astype(np.int16), unit=np.float64(unit),
            seen=faces.seen, count=faces.count.astype(np.uint8), score=faces.score.astype(np.float16),
        )  # fmt: skip
    os.replace(part, path)


def read_faces(work: Work, clip: Clip) -> Faces:
    """The faces of a clip.

    Raises:
        ConfigError: the file is missing or damaged.
    """
    path = work.faces(clip.id)
    try:
        with np.load(path) as file:
            landmarks = file["landmarks"].astype(np.float32) * np.float32(file["unit"])
            return Faces(landmarks, file["seen"], file["count"].astype(int), file["score"].astype(np.float32))
    except ARRAY_ERRORS as error:
        again = f"delete {work.clips(clip.source)} and call the step again"
        raise ConfigError(f"{path} cannot be read ({error}): {again}.") from error
