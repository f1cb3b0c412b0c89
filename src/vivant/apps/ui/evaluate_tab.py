"""The tab Evaluate: how good a result is, by the metrics of ``vivant evaluate pairs``."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import alert, followed, message, problem
from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError


class EvaluateTab:
    """Components of the tab."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        gr.Markdown(
            "Measure a result against the true video, or alone. What each number means: `vivant evaluate metrics`."
        )
        with gr.Row():
            self.made = gr.File(label="Result to measure", file_types=["video"], type="filepath", elem_id="eval-made")
            self.true = gr.File(
                label="True video (optional)", file_types=["video"], type="filepath", elem_id="eval-true"
            )
        with gr.Row():
            self.names = gr.Dropdown(
                metric_choices(), value=[], multiselect=True, label="Metrics", elem_id="eval-metrics",
                info="empty: all that can be measured here",
            )  # fmt: skip
            self.frames = gr.Textbox(
                "", label="Most frames", info="a whole number", placeholder="all", elem_id="eval-frames"
            )
        with gr.Row():
            self.go = gr.Button("Measure", variant="primary", elem_id="eval-go")
            self.cancel = gr.Button("Cancel", interactive=False, visible=False)
        self.bar = gr.HTML("", elem_id="eval-progress")
        self.message = message("eval-message")
        self.report = gr.Markdown("", elem_id="eval-report")
        self.sheet = gr.Image(
            label="Contact sheet", interactive=False, visible=False, elem_id="eval-sheet", alt_text="Contact sheet"
        )
        self.files = gr.File(
            label="Report", visible=False, interactive=False, file_count="multiple", elem_id="eval-files"
        )

    def wire(self) -> None:
        """Connect the events."""
        self.go.click(
            self._run, [self.made, self.true, self.names, self.frames],
            [self.message, self.bar, self.cancel, self.report, self.sheet, self.files],
            show_progress="hidden", api_visibility="private", concurrency_limit=1, concurrency_id="work",
        )  # fmt: skip

    def _run(
        self, request: gr.Request, made: str | None, true: str | None, names: list[str], frames: str
    ) -> Iterator[dict[Any, Any]]:
        try:
            if not made:
                raise ConfigError("There is no result to measure: choose a video.")
            out = self.desk.place("evaluation")
            words = ["--generated", made, "--out", str(out)]
            words += ["--reference", true] if true else []
            words += ["--metrics", ",".join(names)] if names else []
            words += ["--frames", _whole(frames)] if frames.strip() else []
            work = self.desk.begin(str(request.session_hash), Work(lambda: measure(words)))
        except Exception as error:
            yield {self.message: alert(problem(error))}
            return
        yield from followed(work, self.bar, self.cancel, self.message, lambda _: self._measured(out))

    def _measured(self, out: Path) -> dict[Any, Any]:
        sheet = out / "contact_sheet.jpg"
        files = [str(out / name) for name in ("results.json", "results.md", "results.tex") if (out / name).is_file()]
        return {
            self.report: (out / "results.md").read_text(encoding="utf-8"),
            self.sheet: gr.update(value=str(sheet) if sheet.is_file() else None, visible=sheet.is_file()),
            self.files: gr.update(value=files, visible=True),
        }


def _whole(text: str) -> str:
    """A whole number from 1 on, as text.

    Raises:
        ConfigError: it is none.
    """
    if not text.strip().isdecimal() or int(text) < 1:
        raise ConfigError(f"The number of frames is '{text}': give a whole number from 1 on, or leave it empty.")
    return text.strip()


def metric_choices() -> list[str]:
    """Names of all metrics."""
    from vivant.metrics.metric import all_metrics

    return sorted(all_metrics())


def measure(words: list[str]) -> int:
    """``vivant evaluate pairs`` with these words; its table is in the files, not on the server's terminal."""
    from vivant.pipelines.evaluation.folders import add_pairs, run_pairs

    parser = argparse.ArgumentParser()
    add_pairs(parser)
    with contextlib.redirect_stdout(io.StringIO()):
        return run_pairs(parser.parse_args(words))
