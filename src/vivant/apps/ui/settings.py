"""Settings as a file: the words of a job without its inputs, so ``vivant animate --batch`` reads them, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.animate_tab import AnimateTab
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import told
from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.jobs import FIELDS, INPUTS, read_job

NAME = "vivant-settings.json"
MOST_BYTES = 1 << 20
LEFT_OUT = (*INPUTS, "text", "voice", "language", "output", "face", "driving_face", "device", "weights", "lora")
"""Words of a job that are no settings: what goes in and out, and places on the server's disk."""


def wire_settings(desk: Desk, animate: AnimateTab) -> None:
    """Let the buttons save what the page shows, and bring it back."""
    everything = {**animate.settings, "edits": animate.use_edits}

    def saved(*values: Any) -> dict[Any, Any]:
        shown = dict(zip(everything, values))
        shown.pop("edits")
        row = animate.words(shown, values[len(everything) :], True)
        path = desk.place(NAME)
        path.write_text(json.dumps(row, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return {animate.file: gr.update(value=str(path), visible=True)}

    def loaded(path: str) -> dict[Any, Any]:
        row = read_settings(Path(path))
        method = row.get("method", DEFAULT_METHOD)
        form = animate.forms[method]
        updates = {form.components[key]: value for key, value in form.filled(row).items()}
        usual = {"method": method, "preset": form.spec.default_preset, "fps": "", "quality": 18, "seed": 0}
        for name, component in animate.settings.items():
            updates[component] = gr.update(value=row.get(name, usual.get(name, False)))
        return updates | animate.chosen(method, row.get("preset") or form.spec.default_preset)

    outputs = [animate.message, *animate.settings.values(), animate.about, *animate.columns.values(),
               *animate.form_components]  # fmt: skip
    how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    inputs = [*everything.values(), *animate.form_components]
    animate.save.click(told(animate.message, saved), inputs, [animate.message, animate.file], **how)
    animate.load.upload(told(animate.message, loaded), [animate.load], outputs, **how)


def read_settings(path: Path) -> dict[str, Any]:
    """The words of a settings file; inputs and outputs in it are left out.

    Raises:
        ConfigError: it is no such file, or a value in it makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MOST_BYTES else ""
        row = json.loads(text)
    except (OSError, ValueError):
        row = None
    if not isinstance(row, dict):
        raise ConfigError(f"{path.name} holds no settings: choose a file that this page saved.")
    own = {name: value for name, value in row.items() if name not in LEFT_OUT}
    takes = get_method(str(own.get("method") or DEFAULT_METHOD)).capabilities
    role = "driving" if takes.driving or takes.pose else "audio"
    read_job({**own, "source": "picture", role: "driver", "output": "result.mp4"}, FIELDS)
    return own
