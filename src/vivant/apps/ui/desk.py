"""What all visitors of the page share: methods in memory, the face finder, a folder for results, work in progress."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError
from vivant.core.face import Face
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.devices import pick_device
from vivant.pipelines.edit import Editor
from vivant.pipelines.jobs import Job, Models, run_job
from vivant.pipelines.load import Pipeline
from vivant.pipelines.options import unknown
from vivant.pipelines.preview import Look, look
from vivant.pipelines.virtual_camera import VirtualCamera

METHODS_KEPT = 2
EDITORS_KEPT = 4
RESULTS_KEPT = 24 * 3600.0
"""Seconds after which a result is removed from the server's folder."""
EDIT_SIDE = 1024
"""Longest side of the picture that is edited live; what is downloaded has all pixels."""


class _Guarded(Models):
    """Methods in memory, asked for by several threads."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._lock = threading.Lock()
        self._threads = 0

    def get(self, method: str, seed: int = 0, **loading: Any) -> Pipeline:
        """As :meth:`Models.get`, one at a time."""
        import torch

        with self._lock:
            # a method computes as many frames at once as this thread has cores, and torch gives a new thread what some
            # other thread asked for last
            self._threads = self._threads or torch.get_num_threads()
            torch.set_num_threads(self._threads)
            return super().get(method, seed, **loading)


class _Finder:
    """A face finder that several threads may ask; made on first use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._finder: Any = None

    def find(self, image: np.ndarray) -> list[Face]:
        """As :meth:`vivant.perception.faces.FaceFinder.find`."""
        with self._lock:
            if self._finder is None:
                from vivant.perception.faces import FaceFinder

                self._finder = FaceFinder()
            found: list[Face] = self._finder.find(image)
            return found


class Desk:
    """One for each server; its folder vanishes with it."""

    def __init__(self, device: str = "auto", preset: str | None = None, virtual_camera: bool = False) -> None:
        """Raises ConfigError for an unknown device or a preset that the default method lacks."""
        self.device = pick_device(device)
        spec = get_method(DEFAULT_METHOD)
        if preset is not None and preset not in spec.presets:
            raise unknown(f"preset of {spec.name}", preset, spec.presets)
        self.preset = preset or spec.default_preset
        self.camera = VirtualCamera() if virtual_camera else None
        self.models = _Guarded(METHODS_KEPT)
        self.finder = _Finder()
        self.works: dict[str, Work] = {}
        self._editors: OrderedDict[tuple[str, ...], Editor] = OrderedDict()
        self._editing = threading.Lock()
        self.folder = Path(tempfile.mkdtemp(prefix="vivant-ui-"))
        os.environ["GRADIO_TEMP_DIR"] = str(self.folder / "uploads")

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, *_: object) -> None:
        for work in list(self.works.values()):
            work.cancel()
        if self.camera is not None:
            self.camera.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def pipe(self, method: str, preset: str | None = None) -> Pipeline:
        """A loaded method."""
        return self.models.get(method, preset=preset, device=self.device)

    def look(self, path: str) -> Look:
        """The faces of a picture."""
        return look(self.finder, path)

    def place(self, name: str) -> Path:
        """Where a result of that file name goes: a folder of its own, so that names never meet."""
        results = self.folder / "results"
        for old in results.glob("*"):
            if time.time() - old.stat().st_mtime > RESULTS_KEPT:
                shutil.rmtree(old, ignore_errors=True)
        folder = results / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder / name

    def do(self, job: Job) -> Any:
        """Do a job with the methods in memory."""
        return run_job(job, self.models)

    def editor(self, method: str, preset: str | None, path: str, face: str, found: Look) -> Editor:
        """The picture on the desk, reduced to :data:`EDIT_SIDE`, ready for sliders; the last few are kept."""
        from vivant.pipelines.preview import shrink

        key = (method, preset or "", path, face)
        with self._editing:
            editor = self._editors.pop(key, None)
            if editor is None:
                found.chosen(face)
                picture, _ = shrink(found.frame, EDIT_SIDE)
                editor = Editor(self.pipe(method, preset), picture, face, finder=self.finder)
            self._editors[key] = editor
            while len(self._editors) > EDITORS_KEPT:
                self._editors.popitem(last=False)
            return editor

    def begin(self, session: str, work: Work) -> Work:
        """Remember a visitor's work, so that it can be cancelled.

        Raises:
            ConfigError: the visitor has some in progress.
        """
        before = self.works.get(session)
        if before is not None and before.running:
            raise ConfigError("Something of yours is still being made: wait for it or cancel it.")
        self.works = {key: other for key, other in self.works.items() if other.running}
        self.works[session] = work
        return work

    def cancel(self, session: str) -> None:
        """Stop a visitor's work, if there is any."""
        work = self.works.get(session)
        if work is not None:
            work.cancel()
