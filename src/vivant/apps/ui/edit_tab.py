"""The tab Edit: sliders change the photo while they are moved; the edits hold for videos, too."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.animate_tab import AnimateTab
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.forms import SLIDER, MethodForm
from vivant.apps.ui.photo import Photo, PhotoPanel
from vivant.apps.ui.telling import message, notes, told
from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD
from vivant.pipelines.catalog import ready_methods
from vivant.pipelines.jobs import read_job


class EditTab:
    """Components of the tab; the forms are those of the tab Animate, which uses the sliders, too."""

    def __init__(self, desk: Desk, photo: Any, face: Any, animate: AnimateTab) -> None:
        self.desk, self.photo, self.face, self.animate = desk, photo, face, animate
        names = ready_methods("sliders")
        self.forms: dict[str, MethodForm] = {name: animate.forms[name] for name in names}
        with gr.Row(elem_id="edit-row"):
            with gr.Column(min_width=280):
                self.result = gr.Image(
                    label="Edited",
                    interactive=False,
                    format="jpeg",
                    visible=False,
                    buttons=[],
                    elem_id="edit-result",
                    alt_text="The edited photo",
                )
                self.panel = PhotoPanel("edit")
                self.message = message("edit-message")
                self.took = gr.HTML("", elem_id="edit-took")
                with gr.Row():
                    self.save = gr.Button("Make the picture in full size", variant="primary", elem_id="edit-save")
                    self.reset = gr.Button("All sliders back", elem_id="edit-reset")
                self.download = gr.DownloadButton("Download the picture", visible=False, elem_id="edit-download")
            with gr.Column(min_width=280):
                self.method = gr.Dropdown(
                    [(self.forms[name].spec.title, name) for name in names], value=DEFAULT_METHOD, label="Method",
                    elem_id="edit-method",
                )  # fmt: skip
                self.columns = {}
                for name, form in self.forms.items():
                    with gr.Column(visible=name == DEFAULT_METHOD) as self.columns[name]:
                        form.add_sliders()

    def sliders(self, name: str) -> list[Any]:
        """The sliders of a method."""
        return [part for (group, _), part in self.forms[name].components.items() if group == SLIDER]

    def wire(self) -> None:
        """Connect the events."""
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        everything = [part for name in self.forms for part in self.sliders(name)]
        inputs = [self.photo, self.face, self.method, self.animate.preset, *everything]
        shown = [self.message, self.result, self.took]
        triggers = [part.change for part in everything] + [self.photo.change, self.face.change, self.method.change]
        gr.on(
            triggers, told(self.message, self._preview), inputs, shown, trigger_mode="always_last",
            concurrency_limit=1, concurrency_id="preview", **private,
        )  # fmt: skip
        self.method.change(self._chosen, [self.method], list(self.columns.values()), **private)
        self.reset.click(self._usual, [self.method], everything, **private)
        self.save.click(
            told(self.message, self._save), inputs, [self.message, self.download, self.took],
            show_progress="minimal", api_visibility="private", concurrency_limit=1, concurrency_id="work",
        )  # fmt: skip

    def _chosen(self, method: str) -> dict[Any, Any]:
        return {column: gr.update(visible=name == method) for name, column in self.columns.items()}

    def _usual(self, method: str) -> dict[Any, Any]:
        form = self.forms[method]
        return {form.components[key]: form.usual[key] for key in form.components if key[0] == SLIDER}

    def _edits(self, method: str, values: tuple[Any, ...]) -> dict[str, Any]:
        """The sliders of ``method`` that differ from their usual values."""
        keys = [(name, key) for name, form in self.forms.items() for key in form.components if key[0] == SLIDER]
        mine = {key: value for (name, key), value in zip(keys, values) if name == method}
        form = self.forms[method]
        return form.changed({**form.usual, **mine}, SLIDER).get(SLIDER, {})

    def _preset(self, method: str, preset: str) -> str | None:
        return preset if preset in self.forms[method].spec.presets else None

    def _preview(self, photo: Photo | None, face: str, method: str, preset: str, *values: Any) -> dict[Any, Any]:
        if photo is None:
            return {self.result: gr.update(value=None, visible=False), self.took: ""}
        begin = time.perf_counter()
        preset_used = self._preset(method, preset)
        editor = self.desk.editor(method, preset_used, photo.path, face, photo.found)
        options = self.desk.pipe(method, preset_used).options(sliders=self._edits(method, values))
        import torch

        torch.set_num_threads(1)  # one picture gains little from more cores, and loses much on a busy machine
        picture = editor.picture(options)
        words = f"Preview in {1000 * (time.perf_counter() - begin):.0f} ms."
        return {self.result: gr.update(value=picture, visible=True), self.took: notes([words])}

    def _save(self, photo: Photo | None, face: str, method: str, preset: str, *values: Any) -> dict[Any, Any]:
        if photo is None:
            raise ConfigError("There is no photo: choose one above, or use the example.")
        edits = self._edits(method, values)
        if not edits:
            raise ConfigError("Nothing is changed: move a slider first.")
        output = self.desk.place(f"{Path(photo.path).stem}--edited.png")
        row = {"source": photo.path, "face": face, "output": str(output), "method": method, SLIDER: edits,
               "preset": self._preset(method, preset), "device": self.desk.device}  # fmt: skip
        made = self.desk.do(read_job(row))
        return {self.download: gr.update(value=str(output), visible=True), self.took: notes(made.warnings)}
