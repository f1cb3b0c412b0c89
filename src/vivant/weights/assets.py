"""Files that ship with Vivant: small free weights and tables, with licence and SHA-256 in one manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vivant.core.errors import WeightsError

ROOT = Path(__file__).resolve().parent.parent / "assets"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class AssetInfo:
    """One row of the manifest: ``file`` relative to the assets folder, hash, licence, source, what it is."""

    file: str
    sha256: str
    licence: str
    source: str
    what: str


def assets_info(root: Path = ROOT) -> dict[str, AssetInfo]:
    """Every bundled file by name, as the manifest in ``root`` lists it.

    Raises:
        WeightsError: the manifest is missing or damaged.
    """
    path = root / MANIFEST
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {row["file"]: AssetInfo(**row) for row in rows}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"The list of bundled files {path} cannot be read ({error}): reinstall vivant.") from error


def asset(name: str) -> Path:
    """Path of the bundled file ``name`` (for example ``"perception/face_landmarks.tflite"``).

    Its SHA-256 is checked the first time in each process.

    Raises:
        WeightsError: not in the manifest, missing on disk, or its content differs from the manifest's hash.
    """
    return checked_asset(name, ROOT)


@cache
def checked_asset(name: str, root: Path) -> Path:
    """As :func:`asset`, for any folder ``root`` that holds a manifest; remembered for the process."""
    info = assets_info(root).get(name)
    if info is None:
        raise WeightsError(f"There is no bundled file '{name}' in {root / MANIFEST}: check the name.")
    path = root / name
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"The bundled file {path} cannot be read ({error}): reinstall vivant.") from error
    if found != info.sha256:
        hashes = f"SHA-256 {found[:12]}…, expected {info.sha256[:12]}…"
        raise WeightsError(f"The bundled file {path} is damaged ({hashes}): reinstall vivant.")
    return path
