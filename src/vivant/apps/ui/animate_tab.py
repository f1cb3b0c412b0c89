"""The tab Animate: a photo and what drives it become a video."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.forms import OPTION, SLIDER, STRENGTH, MethodForm
from vivant.apps.ui.photo import Photo, PhotoPanel, crop_panel
from vivant.apps.ui.say import voices
from vivant.apps.ui.telling import alert, followed, message, notes, problem
from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, all_methods, default_method, get_method
from vivant.pipelines.catalog import is_ready, offers, ready_methods
from vivant.pipelines.jobs import Job, read_job
from vivant.weights.assets import asset

VIDEO, SPEECH, TEXT = "Video", "Speech", "Text"


def methods_for(drive: str) -> list[str]:
    """Methods for what drives, the best choice first."""
    able = ready_methods("driving") + ready_methods("pose") if drive == VIDEO else ready_methods("audio")
    usual = default_method(drive != VIDEO)
    if usual in able and is_ready(get_method(usual)):
        able = [usual, *(name for name in able if name != usual)]
    return list(dict.fromkeys(able))


def preset_choices(method: str) -> list[tuple[str, str]]:
    """Presets of a method with where their weights are."""
    return [(f"{offer.preset} ({offer.place})", offer.preset) for offer in offers(get_method(method))]


class AnimateTab:
    """Components of the tab; :meth:`wire` makes them live once the whole page stands."""

    def __init__(self, desk: Desk, photo: Any, face: Any) -> None:
        self.desk, self.photo, self.face = desk, photo, face
        self.forms = {name: MethodForm(spec) for name, spec in all_methods().items()}
        with gr.Row():
            with gr.Column(min_width=280):
                self.panel = PhotoPanel("animate")
            with gr.Column(min_width=280):
                self._drivers()
        self.message = message("animate-message")
        self._settings()
        crop_panel(desk, photo, face, self.method, self.message)
        with gr.Row():
            self.go = gr.Button("Animate", variant="primary", elem_id="animate-go")
            self.cancel = gr.Button("Cancel", interactive=False, elem_id="animate-cancel")
        self.bar = gr.HTML("", elem_id="animate-progress")
        self.video = gr.Video(label="Result", interactive=False, visible=False, height=480, elem_id="animate-result")
        self.download = gr.DownloadButton("Download the video", visible=False, elem_id="animate-download")
        self.record = gr.File(label="Run record: how to make it again", visible=False, elem_id="animate-record")
        self.notes = gr.HTML("", elem_id="animate-notes")

    def _drivers(self) -> None:
        self.drive = gr.Radio([VIDEO, SPEECH, TEXT], value=VIDEO, label="What drives it", elem_id="drive")
        with gr.Column(elem_id="drive-video") as video:
            self.driving = gr.Video(
                label="Video of a face", sources=["upload", "webcam"], height=280, elem_id="driving-video"
            )
            self.driving_example = gr.Button("Use the example video", size="sm", elem_id="driving-example")
        with gr.Column(visible=False, elem_id="drive-speech") as speech:
            self.audio = gr.Audio(
                label="Speech", sources=["upload", "microphone"], type="filepath", elem_id="driving-audio"
            )
            self.audio_example = gr.Button("Use the example speech", size="sm", elem_id="speech-example")
        with gr.Column(visible=False, elem_id="drive-text") as text:
            self.text = gr.Textbox(label="Text to say", lines=3, max_length=5000, elem_id="driving-text")
            known = voices()
            self.voice = gr.Dropdown(
                known, value=known[0] if known else None, label="Voice", allow_custom_value=True,
                info="engine:voice; espeak also knows languages, such as espeak:de" if known
                else "no voice is installed: pip install 'vivant[tts]', or the programs flite or espeak-ng",
            )  # fmt: skip
        self._ways = {VIDEO: video, SPEECH: speech, TEXT: text}

    def _settings(self) -> None:
        with gr.Accordion("Method and settings", open=False, elem_id="settings-panel"):
            with gr.Row():
                names = [(spec.title, name) for name, spec in all_methods().items()]
                self.method = gr.Dropdown(names, value=DEFAULT_METHOD, label="Method", elem_id="method")
                self.preset = gr.Dropdown(
                    preset_choices(DEFAULT_METHOD), value=self.desk.preset, label="Preset", elem_id="preset"
                )
            self.about = gr.Markdown(get_method(DEFAULT_METHOD).summary)
            with gr.Row():
                self.use_edits = gr.Checkbox(True, label="Keep the edits", info="sliders of the tab Edit hold, too")
                self.crop_only = gr.Checkbox(False, label="Square only", info="do not paste into the photo")
                self.side_by_side = gr.Checkbox(
                    False, label="Side by side", info="photo, driver and result in a row", elem_id="side-by-side"
                )
                self.match_color = gr.Checkbox(False, label="Match colours", info="of the square and the photo")
            with gr.Row():
                self.fps = gr.Textbox(
                    "", label="Frames per second", info="25 or 30000/1001", placeholder="the driver's"
                )
                self.quality = gr.Slider(0, 51, 18, step=1, label="Quality", info="0 is best and largest")
                self.seed = gr.Number(0, label="Seed", precision=0)
            self.columns = {}
            for name, form in self.forms.items():
                with gr.Column(visible=name == DEFAULT_METHOD) as self.columns[name], gr.Row():
                    form.add_options()
            with gr.Row():
                self.save = gr.Button("Save the settings", size="sm", elem_id="settings-save")
                self.load = gr.UploadButton("Load settings", size="sm", file_types=[".json"], elem_id="settings-load")
            self.file = gr.File(label="Your settings", visible=False, interactive=False, elem_id="settings-file")

    @property
    def settings(self) -> dict[str, Any]:
        """Components whose values are the words of a job, by word."""
        return {
            "method": self.method, "preset": self.preset, "crop_only": self.crop_only,
            "side_by_side": self.side_by_side, "match_color": self.match_color, "fps": self.fps,
            "quality": self.quality, "seed": self.seed,
        }  # fmt: skip

    @property
    def form_keys(self) -> list[tuple[str, tuple[str, str]]]:
        """(method, (group, name)) of every component of every form, in the order of :attr:`form_components`."""
        return [(name, key) for name, form in self.forms.items() for key in form.components]

    @property
    def form_components(self) -> list[Any]:
        """Every component of every form."""
        return [self.forms[name].components[key] for name, key in self.form_keys]

    def words(self, settings: Mapping[str, Any], values: tuple[Any, ...], edits: bool) -> dict[str, Any]:
        """The words of a job for what the page shows, without inputs and output."""
        row = {name: value for name, value in settings.items() if value not in (None, False, "")}
        for name in ("quality", "seed"):
            row[name] = int(row.get(name, 0))
        form = self.forms[row["method"]]
        mine = {key: value for (name, key), value in zip(self.form_keys, values) if name == row["method"]}
        groups = (OPTION, STRENGTH, SLIDER) if edits else (OPTION, STRENGTH)
        return row | form.changed(mine, *groups)

    def wire(self) -> None:
        """Connect the events."""
        private: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        self.drive.change(self._driven_by, [self.drive, self.method], [*self._ways.values(), self.method], **private)
        self.method.change(
            self.chosen, [self.method, self.preset], [self.preset, self.about, *self.columns.values()], **private
        )
        self.driving_example.click(lambda: str(asset("demo/driver.mp4")), None, self.driving, **private)
        self.audio_example.click(self._example_speech, None, self.audio, **private)
        inputs = [self.photo, self.face, self.drive, self.driving, self.audio, self.text, self.voice, self.use_edits]
        self.go.click(
            self._animate, [*inputs, *self.settings.values(), *self.form_components],
            [self.message, self.bar, self.cancel, self.video, self.download, self.record, self.notes],
            concurrency_limit=1, concurrency_id="work", **private,
        )  # fmt: skip
        self.cancel.click(self._cancel, None, None, queue=False, **private)

    def _driven_by(self, drive: str, method: str) -> dict[Any, Any]:
        able = methods_for(drive)
        updates = {way: gr.update(visible=name == drive) for name, way in self._ways.items()}
        return updates if method in able else updates | {self.method: able[0]}

    def chosen(self, method: str, preset: str) -> dict[Any, Any]:
        """Updates that show the form of ``method``, with ``preset`` if it has that."""
        spec = get_method(method)
        usual = self.desk.preset if method == DEFAULT_METHOD else spec.default_preset
        value = preset if preset in spec.presets else usual
        updates = {column: gr.update(visible=name == method) for name, column in self.columns.items()}
        return {
            self.preset: gr.update(choices=preset_choices(method), value=value),
            self.about: spec.summary,
            **updates,
        }

    def _example_speech(self) -> str:
        """The sound of the bundled speaker, as a file that the page can play."""
        from vivant.apps.ui.say import sound_of

        return str(sound_of(asset("demo/driver.mp4"), self.desk.place("example.wav")))

    def _cancel(self, request: gr.Request) -> None:
        self.desk.cancel(str(request.session_hash))

    def _job(self, photo: Photo | None, face: str, drives: dict[str, Any], row: dict[str, Any]) -> Job:
        if photo is None:
            raise ConfigError("There is no photo: choose one above, or use the example.")
        kind = drives["kind"]
        role = {VIDEO: "driving", SPEECH: "audio", TEXT: "text"}[kind]
        what = drives[kind] or ""
        if not what.strip():
            hint = "write a sentence" if kind == TEXT else f"give a {kind.lower()} file, or use the example"
            raise ConfigError(f"Nothing drives the portrait: {hint}.")
        name = "text" if kind == TEXT else Path(what).stem
        output = self.desk.place(f"{Path(photo.path).stem}--{name}.mp4")
        row |= {"source": photo.path, role: what, "face": face, "output": str(output), "device": self.desk.device}
        if kind == TEXT and drives["voice"]:
            row["voice"] = drives["voice"]
        return read_job(row)

    def _animate(
        self, request: gr.Request, photo: Photo | None, face: str, kind: str, video: str | None, audio: str | None,
        text: str, voice: str | None, edits: bool, *rest: Any,
    ) -> Iterator[dict[Any, Any]]:  # fmt: skip
        count = len(self.settings)
        drives = {"kind": kind, VIDEO: video, SPEECH: audio, TEXT: text, "voice": voice}
        try:
            row = self.words(dict(zip(self.settings, rest[:count])), rest[count:], edits)
            job = self._job(photo, face, drives, row)
            work = self.desk.begin(str(request.session_hash), Work(lambda: self.desk.do(job)))
        except Exception as error:
            yield {self.message: alert(problem(error))}
            return
        yield from followed(work, self.bar, self.cancel, self.message, lambda made: self._made(job, made))

    def _made(self, job: Job, made: Any) -> dict[Any, Any]:
        said = [f"{made.frames} frames in {made.seconds:.1f} s.", *made.warnings]
        return {
            self.video: gr.update(value=job.output, visible=True),
            self.download: gr.update(value=job.output, visible=True),
            self.record: gr.update(value=f"{job.output}.json", visible=True),
            self.notes: notes(said),
        }
