"""What servants do: look at uploads, and make animations. Imported in their processes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vivant.apps.serving.servant import Handler, Tell
from vivant.apps.serving.settings import Settings
from vivant.core.errors import MediaError
from vivant.media.limits import MediaLimits, check_limits

NEWS_SECONDS = 0.1
"""Between two pieces of news of a job; each is also a chance to cancel it."""
ARRAYS = {"driving": ".safetensors", "keypoints": ".npy"}
"""Uploads that may be numbers instead of media -> the ending that tells so."""
_NEEDS = {"source": "pictures", "driving": "pictures", "audio": "sound", "keypoints": "pictures"}


def inspector(limits: MediaLimits) -> Handler:
    """Answers {role: path} with {role: ending that the file must get, mostly none}."""

    def handle(files: Mapping[str, str], tell: Tell) -> dict[str, str]:
        return {role: inspect(Path(path), role, limits) for role, path in files.items()}

    return handle


def inspect(path: Path, role: str, limits: MediaLimits) -> str:
    """Check one upload by its content; its name is not looked at. Returns the ending that pipelines know it by.

    Raises:
        LimitError: too large. MediaError: not what the role needs.
    """
    if _is_array(path, role):
        return ARRAYS[role]
    found = check_limits(path, limits, role)
    if _NEEDS[role] == "sound" and not found.has_sound:
        raise MediaError(f"The {role} has no sound: give speech as sound or as a video with sound.")
    if _NEEDS[role] == "pictures" and found.size is None:
        raise MediaError(f"The {role} holds no pictures: give a picture or a video.")
    return ""


def _is_array(path: Path, role: str) -> bool:
    """Whether it is saved motion (safetensors: eight bytes of length, then JSON) or keypoints (NumPy)."""
    with path.open("rb") as stream:
        head = stream.read(9)
    if role == "driving":
        return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size
    return role == "keypoints" and head.startswith(b"\x93NUMPY")


def animator(settings: Settings) -> Handler:
    """Keeps the served methods in memory and answers jobs, (folder, words), with what was made."""
    from vivant.pipelines.jobs import Models, read_job, run_job
    from vivant.pipelines.progress import listening

    models = Models(len(settings.served))
    for served in settings.served:
        assert models.get(**loading(settings, served.method, served.preset)).finder  # also loaded before the first job

    def handle(request: tuple[str, dict[str, Any]], tell: Tell) -> dict[str, Any]:
        folder, words = request
        job = read_job(placed(words, Path(folder)))
        with listening(_seldom(tell)):
            made = run_job(job, models)
        return {"frames": made.frames, "seconds": made.seconds, "warnings": made.warnings}

    return handle


def loading(settings: Settings, method: str, preset: str) -> dict[str, Any]:
    """Arguments of ``Models.get`` for a served method."""
    return {"method": method, "preset": preset, "device": settings.device, "dtype": settings.dtype}


def placed(words: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A stored job's words with its files in ``folder``."""
    files = ("source", "driving", "audio", "keypoints", "output")
    return {**words, **{name: str(folder / words[name]) for name in files if name in words}}


def _seldom(tell: Tell) -> Any:
    """A listener of progress that tells at most ten times a second, and always of a beginning and an end."""
    last = 0.0

    def listen(what: str, done: int, total: int | None) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= NEWS_SECONDS or done in (0, total):
            last = now
            tell((what, done, total))

    return listen
