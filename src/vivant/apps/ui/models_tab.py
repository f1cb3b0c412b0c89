"""The tab Models: what there is, under which licence, how large, and what is here; published weights are fetched."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gradio as gr

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import alert, followed, message, notes, problem, told
from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError
from vivant.core.registry import all_methods
from vivant.pipelines.catalog import offers, size_bytes
from vivant.pipelines.progress import bar
from vivant.pipelines.published import Order, catalogue, check_room, orders, size_text
from vivant.weights.assets import assets_info
from vivant.weights.catalogue import allows_commerce

HEADERS = ("weights", "where", "licence", "commercial use", "size")
COMMERCE = {True: "allowed", False: "forbidden", None: "not told"}


def bundled_rows() -> list[list[str]]:
    """One row for each weights file in the installation that presets load."""
    found: dict[tuple[str, str], list[str]] = {}
    for spec in all_methods().values():
        for offer in offers(spec):
            if offer.ready:
                found.setdefault((spec.name, spec.part("weights").BUNDLED[offer.preset]), []).append(offer.preset)
    rows = []
    for (method, file), presets in found.items():
        licence = assets_info()[file].licence
        size = size_text(size_bytes(method, presets[0])[0])
        rows.append([f"{method}: {', '.join(presets)}", "bundled", licence, COMMERCE[allows_commerce(licence)], size])
    return rows


def published_rows() -> list[list[str]]:
    """One row for each that can be fetched; sizes are computed from the parameters, where a method of ours has them."""
    found = []
    for name, entry in catalogue().items():
        method, _, preset = name.partition(":")
        size = "shown before the download"
        if method in all_methods():
            size = f"about {size_text(size_bytes(method, preset or 'released')[0])}"
        row = [name, entry.repo or "not on the hub", entry.licence, COMMERCE[allows_commerce(entry.licence)], size]
        found.append(row)
    return found


def all_rows() -> Iterator[list[list[str]]]:
    """What the table shows, first what is here: other sizes take seconds the first time, so only who looks asks."""
    here = bundled_rows()
    yield here
    yield [*here, *published_rows()]


class ModelsTab:
    """Components of the tab."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        gr.Markdown(
            "Bundled weights are here already. Published weights come from where their authors put them, under their "
            "licence, and stay in this machine's cache."
        )
        self.table = gr.Dataframe(
            None, headers=list(HEADERS), interactive=False, wrap=True, max_height=420,
            elem_id="models-table", label="Weights", column_widths=["180px", "180px", "260px", "130px", "140px"],
        )  # fmt: skip
        names = [name for name, entry in catalogue().items() if entry.repo]
        self.choice = gr.Dropdown(names, value=None, label="Published weights to download", elem_id="models-choice")
        self.ask = gr.Button("Show files, sizes and licence", elem_id="models-ask")
        self.facts = gr.Code("", language=None, label="What would be fetched", visible=False, elem_id="models-facts")
        self.agree = gr.Checkbox(False, label="I accept this licence", visible=False, elem_id="models-agree")
        with gr.Row():
            self.go = gr.Button("Download", variant="primary", visible=False, elem_id="models-go")
            self.cancel = gr.Button("Cancel", interactive=False, visible=False, elem_id="models-cancel")
        self.bar = gr.HTML("", elem_id="models-progress")
        self.message = message("models-message")
        self.notes = gr.HTML("", elem_id="models-notes")

    def wire(self, tab: Any) -> None:
        """Connect the events; ``tab``: which shows this one."""
        how: dict[str, Any] = {"api_visibility": "private"}
        tab.select(all_rows, None, self.table, show_progress="hidden", **how)
        found = [self.message, self.facts, self.agree, self.go, self.cancel]
        self.choice.change(self._forget, None, found, show_progress="hidden", **how)
        self.ask.click(told(self.message, self._ask), [self.choice], found, show_progress="minimal", **how)
        self.go.click(
            self._fetch, [self.choice, self.agree], [self.message, self.bar, self.cancel, self.notes],
            show_progress="hidden", concurrency_limit=1, concurrency_id="download", **how,
        )  # fmt: skip
        self.cancel.click(self._cancel, None, None, queue=False, **how)

    def _cancel(self, request: gr.Request) -> None:
        self.desk.cancel(str(request.session_hash))

    def _forget(self) -> dict[Any, Any]:
        gone = gr.update(visible=False)
        return {self.facts: gone, self.agree: gr.update(value=False, visible=False), self.go: gone, self.cancel: gone}

    def _ask(self, choice: str | None) -> dict[Any, Any]:
        if not choice:
            raise ConfigError("Nothing is chosen: choose the weights to download.")
        wanted = orders([choice], False)
        missing = [file for order in wanted for file in order.missing]
        total = size_text(sum(file.size or 0 for file in missing))
        lines = [*(line for order in wanted for line in order.lines), f"{len(missing)} files to download, {total}."]
        shown = gr.update(visible=True)
        facts = gr.update(value="\n".join(lines), visible=True)
        return {self.facts: facts, self.agree: shown, self.go: shown, self.cancel: shown}

    def _fetch(self, request: gr.Request, choice: str | None, agree: bool) -> Iterator[dict[Any, Any]]:
        try:
            if not choice or not agree:
                raise ConfigError("Read the licence above and accept it before the download.")
            work = self.desk.begin(str(request.session_hash), Work(lambda: fetch_all(orders([choice], False))))
        except Exception as error:
            yield {self.message: alert(problem(error))}
            return
        yield from followed(work, self.bar, self.cancel, self.message, lambda made: {self.notes: notes(made)})


def fetch_all(wanted: list[Order]) -> list[str]:
    """Fetch and check every file; one line for each, with its SHA-256.

    Raises:
        WeightsError: no room, not reachable, or damaged.
    """
    from vivant.weights.hub import cache_folder, fetch

    check_room([file for order in wanted for file in order.missing], cache_folder())
    files = [(order, file) for order in wanted for file in order.facts.files]
    done = []
    for order, file in bar(files, len(files), "download", False, "file"):
        path = fetch(order.facts, file)
        done.append(f"Here now: {order.name}, {path.name}, SHA-256 {(file.sha256 or 'not told')[:16]}.")
    return done
