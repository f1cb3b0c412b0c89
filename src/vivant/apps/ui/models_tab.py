"""The tab Models: what there is, under which licence, how large, and what is here; published weights are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import alert, followed, message, notes, problem
from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError
from vivant.core.registry import all_methods
from vivant.pipelines.catalog import fetch, offers, size_bytes

HEADERS = ("method", "preset", "weights", "licence", "size")


def size_words(size: int, exact: bool) -> str:
    """``"18.2 MB"``, or ``"about 520 MB"`` where it is computed from the parameters."""
    return f"{'' if exact else 'about '}{size / 1e6:.{1 if size < 1e8 else 0}f} MB"


def rows() -> list[list[str]]:
    """One row a preset with real weights; random ones need no file."""
    found = []
    for spec in all_methods().values():
        for offer in offers(spec):
            if offer.place != "random":
                size = size_words(*size_bytes(offer.method, offer.preset))
                found.append([offer.method, offer.preset, offer.place, offer.licence or "–", size])
    return found


def published() -> list[tuple[str, str]]:
    """Choices of what can be fetched: (words, "method preset")."""
    found = []
    for spec in all_methods().values():
        for offer in offers(spec):
            if offer.published:
                size = size_words(*size_bytes(offer.method, offer.preset))
                words = f"{offer.method}, {offer.preset}: {size}, {offer.licence}"
                found.append((words, f"{offer.method} {offer.preset}"))
    return found


class ModelsTab:
    """Components of the tab."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        gr.Markdown(
            "Bundled weights are here already. Published weights come from where their authors put them, under their "
            "licence, and stay in this machine's cache; sizes marked *about* are computed from the parameters."
        )
        self.table = gr.Dataframe(
            rows(), headers=list(HEADERS), interactive=False, wrap=True, elem_id="models-table", label="Weights"
        )
        choices = published()
        self.choice = gr.Dropdown(choices, value=None, label="Published weights to download", elem_id="models-choice")
        self.agree = gr.Checkbox(False, label="I read and accept their licence", elem_id="models-agree")
        with gr.Row():
            self.go = gr.Button("Download", variant="primary", elem_id="models-go")
            self.cancel = gr.Button("Cancel", interactive=False, visible=False)
        self.bar = gr.HTML("", elem_id="models-progress")
        self.message = message("models-message")
        self.notes = gr.HTML("", elem_id="models-notes")

    def wire(self) -> None:
        """Connect the events."""
        self.go.click(
            self._fetch, [self.choice, self.agree], [self.message, self.bar, self.cancel, self.notes],
            show_progress="hidden", api_visibility="private", concurrency_limit=1, concurrency_id="download",
        )  # fmt: skip

    def _fetch(self, choice: str | None, agree: bool) -> Iterator[dict[Any, Any]]:
        try:
            if not choice:
                raise ConfigError("Nothing is chosen: choose the weights to download.")
            if not agree:
                raise ConfigError("Read the licence in the table, and accept it before the download.")
            method, preset = choice.split(" ", 1)
        except ConfigError as error:
            yield {self.message: alert(problem(error))}
            return
        work = Work(lambda: fetch(method, preset))
        yield from followed(work, self.bar, self.cancel, self.message, lambda info: {self.notes: notes(_words(info))})


def _words(info: Any) -> list[str]:
    files = [f"{digest[:12]}… {file}" for file, digest in info.files.items()]
    return [f"Here now. Licence: {info.licence}; source: {info.source}.", *files]
