"""The tab Batch: many photos follow one driver; what fails is told and skipped."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.animate_tab import AnimateTab
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.telling import alert, followed, message, notes, problem
from vivant.apps.ui.work import Work
from vivant.core.errors import ConfigError
from vivant.pipelines.batch import read_list, read_state, run_batch
from vivant.pipelines.inputs import IMAGE_SUFFIXES

MOST_PHOTOS = 500
HEADERS = ("result", "frames", "seconds", "problem")


class BatchTab:
    """Components of the tab; method and settings are those of the tab Animate."""

    def __init__(self, desk: Desk, animate: AnimateTab) -> None:
        self.desk, self.animate = desk, animate
        gr.Markdown("Every photo follows the same driver, with the method and settings of the tab Animate.")
        with gr.Row():
            self.photos = gr.File(
                label="Photos", file_count="multiple", file_types=list(IMAGE_SUFFIXES), type="filepath",
                elem_id="batch-photos",
            )  # fmt: skip
            self.driver = gr.File(
                label="Driver: a video, or speech", file_types=["video", "audio"], type="filepath",
                elem_id="batch-driver",
            )  # fmt: skip
        with gr.Row():
            self.go = gr.Button("Animate all", variant="primary", elem_id="batch-go")
            self.cancel = gr.Button("Cancel", interactive=False, elem_id="batch-cancel")
        self.bar = gr.HTML("", elem_id="batch-progress")
        self.message = message("batch-message")
        self.table = gr.Dataframe(
            headers=list(HEADERS), interactive=False, wrap=True, visible=False, elem_id="batch-table", label="Results"
        )
        self.notes = gr.HTML("", elem_id="batch-notes")
        self.download = gr.DownloadButton("Download all", visible=False, elem_id="batch-download")

    def wire(self) -> None:
        """Connect the events."""
        how: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        shared = [self.animate.use_edits, *self.animate.settings.values(), *self.animate.form_components]
        self.go.click(
            self._run, [self.photos, self.driver, *shared],
            [self.message, self.bar, self.cancel, self.table, self.notes, self.download],
            concurrency_limit=1, concurrency_id="work", **how,
        )  # fmt: skip
        self.cancel.click(self._cancel, None, None, queue=False, **how)

    def _cancel(self, request: gr.Request) -> None:
        self.desk.cancel(str(request.session_hash))

    def _run(
        self, request: gr.Request, photos: list[str] | None, driver: str | None, edits: bool, *rest: Any
    ) -> Iterator[dict[Any, Any]]:
        count = len(self.animate.settings)
        try:
            if not photos or not driver:
                raise ConfigError("Photos or driver are missing: choose both.")
            if len(photos) > MOST_PHOTOS:
                raise ConfigError(f"{len(photos)} photos are too many for a page: use vivant animate --batch.")
            row = self.animate.words(dict(zip(self.animate.settings, rest[:count])), rest[count:], edits)
            out = self.desk.place("results")
            out.mkdir()
            listed = read_list(_write_list(out.parent, photos, driver, row, self.desk.device), out, {})
            work = self.desk.begin(str(request.session_hash), Work(lambda: run_batch(listed, out)))
        except Exception as error:
            yield {self.message: alert(problem(error))}
            return
        yield from followed(work, self.bar, self.cancel, self.message, lambda summary: self._made(summary, out))

    def _made(self, summary: Any, out: Path) -> dict[Any, Any]:
        table = [[row["output"], row["frames"], row["seconds"], row["problem"]] for row in read_state(out)]
        updates: dict[Any, Any] = {
            self.table: gr.update(value=table, visible=True),
            self.notes: notes([f"{summary.done} done, {summary.failed} failed."]),
            self.download: gr.update(visible=False),
        }
        if summary.done:
            updates[self.download] = gr.update(value=str(_packed(out)), visible=True)
        return updates


def _write_list(folder: Path, photos: list[str], driver: str, row: dict[str, Any], device: str) -> Path:
    """The jobs as a list; photos of one name get a number each."""
    from vivant.media.files import existing_file

    role = "driving" if _is_video(existing_file(driver)) else "audio"
    names: dict[str, int] = {}
    lines = []
    for photo in photos:
        stem = Path(photo).stem
        names[stem] = names.get(stem, 0) + 1
        name = stem if names[stem] == 1 else f"{stem}-{names[stem]}"
        lines.append(json.dumps({**row, "source": photo, role: driver, "output": f"{name}.mp4", "device": device}))
    path = folder / "jobs.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _is_video(path: Path) -> bool:
    """Whether there are pictures in a media file, not sound alone."""
    import av

    from vivant.core.errors import MediaError

    try:
        with av.open(str(path)) as container:
            return bool(container.streams.video)
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"The driver {path.name} cannot be read: choose a video or sound that plays.") from error


def _packed(out: Path) -> Path:
    """Results and their run records in one file; videos are small already, so they are only stored."""
    path = out.with_suffix(".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(out.iterdir()):
            packed.write(file, file.name)
    return path
