"""How the page speaks: what went wrong in one sentence, and how far work is."""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from vivant.apps.ui.work import Progress, Stopped, Work
from vivant.core.errors import VivantError

LOG = logging.getLogger("vivant.ui")


def problem(error: BaseException) -> str:
    """The sentence for a visitor. What nobody foresaw is logged with its traceback, and named here."""
    if isinstance(error, Stopped):
        return "Cancelled; unfinished output was removed."
    if isinstance(error, VivantError):
        return " ".join(str(error).split())
    LOG.error("unexpected error", exc_info=error)
    return f"Something unforeseen went wrong ({type(error).__name__}): the terminal of the server says more."


def alert(text: str) -> str:
    """A message that screen readers announce; ``text`` is shown as it is, never read as HTML."""
    return f'<p class="vivant-problem" role="alert">{html.escape(text)}</p>' if text else ""


def notes(texts: list[str] | tuple[str, ...]) -> str:
    """Warnings, one a line."""
    return "".join(f'<p class="vivant-note" role="status">{html.escape(text)}</p>' for text in texts)


def shown(progress: Progress) -> str:
    """A bar with words."""
    words = html.escape(progress.words())
    share = f' value="{progress.done}" max="{progress.total}"' if progress.total else ""
    return f'<div class="vivant-progress"><progress aria-label="{words}"{share}></progress><span>{words}</span></div>'


def message(elem_id: str) -> Any:
    """The place of a tab where it says what went wrong."""
    return gr.HTML("", elem_id=elem_id, elem_classes="vivant-message")


def told(place: Any, function: Callable[..., dict[Any, Any]]) -> Callable[..., dict[Any, Any]]:
    """``function``'s updates with ``place`` cleared, or what went wrong in ``place`` and nothing else changed."""

    @functools.wraps(function)
    def run(*args: Any) -> dict[Any, Any]:
        try:
            return {place: "", **function(*args)}
        except Exception as error:
            return {place: alert(problem(error))}

    return run


def followed(
    work: Work, bar: Any, cancel: Any, place: Any, finish: Callable[[Any], dict[Any, Any]]
) -> Iterator[dict[Any, Any]]:
    """Updates while ``work`` runs: the bar and the cancel button, at the end ``finish(result)`` or the problem."""
    try:
        for progress in work.updates():
            yield {bar: shown(progress), cancel: gr.update(interactive=True), place: ""}
        last = {place: "", **finish(work.result)}
    except (Exception, Stopped) as error:
        last = {place: alert(problem(error))}
    yield {bar: "", cancel: gr.update(interactive=False), **last}
