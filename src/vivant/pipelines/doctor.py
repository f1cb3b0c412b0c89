"""The doctor: what this machine and this installation can do, line by line, and whether that is enough."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vivant.core.errors import VivantError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.provenance.record import versions

LEAST_DISK = 1 << 30
ENCODERS = ("libx264", "aac")
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mjpeg", "aac", "mp3", "opus")
NEEDED = ("libx264", "aac", "h264")


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``good``: False makes the whole report fail; ``detail``: what was found or is
    to do."""

    what: str
    good: bool
    detail: str


def examine(folder: Path = Path()) -> Iterator[Finding]:
    """All findings; ``folder``: where results would be written."""
    yield from _packages()
    yield _cpu()
    yield from _safely("gpu", _gpu)
    yield from _safely("codecs", _codecs)
    yield from _safely("bundled files", _assets)
    yield from _safely("default weights", _default_weights)
    yield _disk(folder)


def _safely(what: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """The check's findings; an import that fails or an error of ours becomes a failed finding."""
    try:
        yield from check()
    except (ImportError, OSError, VivantError) as error:
        yield Finding(what, False, str(error))


def _packages() -> Iterator[Finding]:
    for name, version in versions().items():
        missing = version == "not installed"
        yield Finding(name, not missing, "not installed: pip install vivant" if missing else version)


def _cpu() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Finding("cpu", True, f"{platform.machine()} {platform.system()}, {cores} cores")


def _gpu() -> Iterator[Finding]:
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("Apple GPU (mps)")
    yield Finding("gpu", True, ", ".join(names) or "none, the CPU is used")


def _codecs() -> Iterator[Finding]:
    from av.codec import Codec, codecs_available

    for mode, names in (("w", ENCODERS), ("r", DECODERS)):
        found = [name for name in names if name in codecs_available and _opens(Codec, name, mode)]
        lost = [name for name in names if name not in found]
        good = not any(name in NEEDED for name in lost)
        what = "encoders" if mode == "w" else "decoders"
        yield Finding(what, good, ", ".join(found) + (f"; missing: {', '.join(lost)}" if lost else ""))


def _opens(codec: type, name: str, mode: str) -> bool:
    try:
        codec(name, mode)
    except ValueError:
        return False
    return True


def _assets() -> Iterator[Finding]:
    from vivant.weights.assets import asset, assets_info

    for name, info in assets_info().items():
        try:
            asset(name)
            yield Finding(name, True, f"{info.sha256[:12]} {info.licence}")
        except VivantError as error:
            yield Finding(name, False, str(error))


def _default_weights() -> Iterator[Finding]:
    spec = get_method(DEFAULT_METHOD)
    _, _, info = spec.part("weights").load_modules(spec.default_preset)
    yield Finding("default weights", True, f"{spec.name} {spec.default_preset}, {info.licence}")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    detail = f"{free / (1 << 30):.1f} GiB free in {folder.resolve()}"
    return Finding("disk", free >= LEAST_DISK, detail + ("" if free >= LEAST_DISK else ": free at least 1 GiB"))
