"""The record of a run: JSON lines, TensorBoard where installed, and a progress bar."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm


class RunLog:
    """Writes ``log.jsonl`` in ``folder``; silent when ``active`` is False (processes other than the
    first)."""

    def __init__(self, folder: Path, name: str, steps: int, start: int = 0, active: bool = True) -> None:
        self.active = active
        self._file = None
        self._board: Any = None
        self._bar: Any = None
        if not active:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "log.jsonl").open("a", encoding="utf-8")
        self._board = _tensorboard(folder)
        self._bar = tqdm(total=steps, initial=start, desc=name, mininterval=2.0, dynamic_ncols=True)

    def write(self, step: int, values: dict[str, Any], prefix: str = "train") -> None:
        """One line; numbers also go to TensorBoard under ``prefix``."""
        if self._file is None:
            return
        self._file.write(json.dumps({"step": step, "kind": prefix, **values}) + "\n")
        self._file.flush()
        if self._board is not None:
            for key, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{prefix}/{key}", value, step)

    def image(self, step: int, image: np.ndarray, name: str) -> None:
        """Show an image (H,W,3) uint8 in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, image, step, dataformats="HWC")

    def advance(self, step: int, shown: dict[str, float]) -> None:
        """Move the bar to ``step`` and show a few numbers beside it."""
        if self._bar is not None:
            self._bar.set_postfix({k: f"{v:.4g}" for k, v in shown.items()}, refresh=False)
            self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """Finish all outputs."""
        for part in (self._file, self._board, self._bar):
            if part is not None:
                part.close()
        self._file = self._board = self._bar = None


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"))
