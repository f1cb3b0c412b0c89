"""The photo on the desk: its faces, which of them moves, the square that is cut and where it is put back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import told
from vivant.core.errors import ConfigError, FaceError
from vivant.core.registry import get_method
from vivant.pipelines.inputs import IMAGE_SUFFIXES
from vivant.pipelines.preview import Look, annotated, crop_and_mask
from vivant.weights.assets import asset

SIDE = 640


@dataclass(frozen=True, eq=False)  # compared by identity: arrays have no hash
class Photo:
    """What stays with a visitor's photo. ``scale``: pixels of the shown picture over the photo's."""

    path: str
    found: Look
    scale: float


class PhotoPanel:
    """Components for one photo; several panels can show the same."""

    def __init__(self, name: str) -> None:
        self.file = gr.File(
            label="Photo (one still picture)", file_types=list(IMAGE_SUFFIXES), type="filepath", height=110,
            elem_id=f"{name}-photo",
        )  # fmt: skip
        self.example = gr.Button("Use the example photo", size="sm", elem_id=f"{name}-example")
        self.picture = gr.Image(
            label="Faces found: click one to choose it", interactive=False, visible=False, format="jpeg",
            elem_id=f"{name}-faces", buttons=[], alt_text="The photo with its faces marked",
        )  # fmt: skip
        self.choice = gr.Radio(
            [], label="Which face moves", visible=False, elem_id=f"{name}-choice", info="or click it in the picture"
        )

    def parts(self) -> list[Any]:
        """All that shows the photo."""
        return [self.file, self.picture, self.choice]

    def showing(self, photo: Photo | None, picture: Any, face: str) -> dict[Any, Any]:
        """Updates that show ``photo``."""
        if photo is None:
            return {self.file: None, self.picture: gr.update(value=None, visible=False),
                    self.choice: gr.update(choices=[], value=None, visible=False)}  # fmt: skip
        return {
            self.file: photo.path,
            self.picture: gr.update(value=picture, visible=True),
            self.choice: gr.update(choices=photo.found.labels(), value=face, visible=True),
        }


def wire(desk: Desk, panels: list[PhotoPanel], places: list[Any], photo: Any, face: Any) -> None:
    """Let all panels show one photo. ``places``: each panel's message; ``photo``, ``face``: states."""

    def show(new: Photo | None, which: str) -> dict[Any, Any]:
        picture = None if new is None else annotated(new.found, which, SIDE)[0]
        updates = {photo: new, face: which}
        for panel in panels:
            updates |= panel.showing(new, picture, which)
        return updates

    def opened(path: str | None) -> dict[Any, Any]:
        if not path:
            return show(None, "0")
        found = desk.look(path)
        return show(Photo(path, found, min(1.0, SIDE / max(found.frame.shape[:2]))), _first_usable(found))

    def clicked(current: Photo | None, event: gr.SelectData) -> dict[Any, Any]:
        if current is None:
            return {}
        x, y = (value / current.scale for value in event.index)
        index = current.found.face_at(x, y)
        if index is None:
            raise ConfigError("There is no face at that place: click into one of the boxes.")
        return show(current, str(index))

    def chosen(current: Photo | None, which: str | None) -> dict[Any, Any]:
        return {} if current is None or which is None else show(current, which)

    parts = [part for panel in panels for part in panel.parts()]
    for panel, place in zip(panels, places):
        outputs = [place, photo, face, *parts]
        how: dict[str, Any] = {"outputs": outputs, "show_progress": "minimal", "api_visibility": "private"}
        panel.file.upload(told(place, opened), [panel.file], **how)
        panel.file.clear(told(place, lambda: show(None, "0")), None, **how)
        panel.example.click(told(place, lambda: opened(str(asset("demo/portrait.jpg")))), None, **how)
        panel.picture.select(told(place, clicked), [photo], **how)
        panel.choice.input(told(place, chosen), [photo, panel.choice], **how)


def _first_usable(found: Look) -> str:
    """The largest face that no check refuses, as a choice.

    Raises:
        FaceError: none can be used; said of the largest.
    """
    problems = []
    for index in range(len(found.faces)):
        try:
            found.chosen(index)
            return str(index)
        except FaceError as error:
            problems.append(error)
    raise problems[0]


def crop_panel(desk: Desk, photo: Any, face: Any, method: Any, place: Any) -> None:
    """The square that the method gets, and what of the picture will change."""
    with gr.Accordion("Crop and paste-back", open=False, elem_id="crop-panel") as panel, gr.Row():
        square = gr.Image(
            label="The method works on this square", interactive=False, buttons=[], elem_id="crop", alt_text="Crop"
        )
        mask = gr.Image(
            label="Only the bright part changes", interactive=False, buttons=[], elem_id="mask", alt_text="Mask"
        )

    def preview(current: Photo | None, which: str, name: str) -> dict[Any, Any]:
        if current is None:
            return {square: None, mask: None}
        spec = get_method(name)
        config = spec.part("config").PRESETS[spec.default_preset]
        cut, masked = crop_and_mask(config, current.found, which)
        return {square: cut, mask: masked}

    how: dict[str, Any] = {"outputs": [place, square, mask], "show_progress": "hidden", "api_visibility": "private"}
    for event in (panel.expand, photo.change, face.change):
        event(told(place, preview), [photo, face, method], **how)
