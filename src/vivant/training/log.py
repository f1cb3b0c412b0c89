"""The record of a run: JSON lines, a tracker, and a progress bar."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vivant.training.trackers import Tracker, make_tracker

FILE = "log.jsonl"


class RunLog:
    """Writes ``log.jsonl`` in ``folder``; silent when ``active`` is False (processes other than the first).

    ``start``: the step that a resumed run goes on from; lines of later steps, which a killed run left, are dropped,
    since these steps come again. ``tracker``: a name of :data:`vivant.training.trackers.TRACKERS`.
    """

    def __init__(
        self, folder: Path, name: str, steps: int, start: int = 0, active: bool = True, tracker: str = "tensorboard"
    ) -> None:
        self.active = active
        self._file = None
        self._tracker: Tracker | None = None
        self._bar: Any = None
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._tracker = make_tracker(tracker, folder, f"{folder.parent.name}/{name}", start)
        keep_until(folder / FILE, start)
        self._file = (folder / FILE).open("a", encoding="utf-8")
        self._bar = tqdm(total=steps, initial=start, desc=name, mininterval=2.0, dynamic_ncols=True)

    def write(self, step: int, values: dict[str, Any], prefix: str = "train") -> None:
        """One line; numbers also go to the tracker under ``prefix``."""
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, "kind": prefix, **values}) + "\n")
        self._file.flush()
        if self._tracker is not None:
            numbers = {f"{prefix}/{key}": value for key, value in values.items() if isinstance(value, int | float)}
            self._tracker.numbers(step, numbers)

    def image(self, step: int, image: np.ndarray, name: str) -> None:
        """Show an image (H,W,3) uint8 in the tracker."""
        if self._tracker is not None:
            self._tracker.image(step, name, image)

    def advance(self, step: int, shown: dict[str, float]) -> None:
        """Move the bar to ``step`` and show a few numbers beside it."""
        if self._bar is not None:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
            self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Finish all outputs."""
        for part in (self._file, self._tracker, self._bar):
            if part is not None:
                part.close()
        self._file = self._tracker = self._bar = None


def keep_until(file: Path, step: int) -> None:
    """Leave only the whole lines of steps up to ``step`` in a log."""
    if not file.is_file():
        return
    kept = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):  # a killed run's last line
            continue
    draft = file.with_name(f".{FILE}.part")
    draft.write_text("".join(kept), encoding="utf-8")
    os.replace(draft, file)
