"""Where the numbers of a run are shown: TensorBoard, trackio or Weights & Biases, imported only when chosen."""

from __future__ import annotations

import json
import uuid
import warnings
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vivant.core.errors import ConfigError, MissingExtraError

TRACKERS = ("tensorboard", "trackio", "wandb", "none")
PROJECT = "vivant"


class Tracker(Protocol):
    """What a run tells a tracker. ``name``: such as ``train/total``."""

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """Values by name at a step."""

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """A picture (H, W, 3) uint8 RGB."""

    def close(self) -> None:
        """Everything is sent or written."""


def make_tracker(name: str, folder: Path, run: str, start: int = 0) -> Tracker | None:
    """The tracker called ``name`` for a run called ``run`` that writes to ``folder``; None for "none".

    ``start``: the step that a resumed run goes on from. TensorBoard that is not installed is left out with a warning,
    since nobody asked for it by name.

    Raises:
        ConfigError: no such tracker. MissingExtraError: its package is not installed.
    """
    if name not in TRACKERS:
        raise ConfigError(f"There is no tracker '{name}': use one of {', '.join(TRACKERS)}.")
    if name == "none":
        return None
    if name == "tensorboard":
        try:
            return TensorBoard(folder, start)
        except ImportError:
            warnings.warn("TensorBoard is not installed (pip install 'vivant[train]'): the log is log.jsonl alone.",
                          stacklevel=2)  # fmt: skip
            return None
    return Service(name, folder, run)


class TensorBoard:
    """Event files in ``folder/tensorboard``; what a killed run wrote after its last checkpoint is hidden."""

    def __init__(self, folder: Path, start: int = 0) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1 if start else None)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """One curve a name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """Shown under ``name``."""
        self._writer.add_image(name, image, step, dataformats="HWC")

    def close(self) -> None:
        """Flush."""
        self._writer.close()


class Service:
    """trackio or wandb, which have one interface. The run's id is kept in ``folder``, so that a resumed run goes on in
    the same curves."""

    def __init__(self, package: str, folder: Path, run: str) -> None:
        try:
            self._api: Any = __import__(package)
        except ImportError:
            raise MissingExtraError(package, package, f"The tracker '{package}'") from None
        given: dict[str, Any] = {"project": PROJECT, "name": run, "resume": "allow"}
        if package == "wandb":
            given |= {"dir": str(folder), "id": _run_id(folder / "wandb_run.json")}
        self._api.init(**given)

    def numbers(self, step: int, values: dict[str, float]) -> None:
        """One call a step."""
        self._api.log(dict(values), step=step)

    def image(self, step: int, name: str, image: np.ndarray) -> None:
        """As the package's own kind of picture."""
        self._api.log({name: self._api.Image(image)}, step=step)

    def close(self) -> None:
        """Wait until all is sent."""
        self._api.finish()


def _run_id(file: Path) -> str:
    if file.is_file():
        return str(json.loads(file.read_text(encoding="utf-8"))["id"])
    name = uuid.uuid4().hex[:8]
    file.write_text(json.dumps({"id": name}), encoding="utf-8")
    return name
