"""The page: its tabs, what they share, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.animate_tab import AnimateTab
from vivant.apps.ui.batch_tab import BatchTab
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.edit_tab import EditTab
from vivant.apps.ui.evaluate_tab import EvaluateTab
from vivant.apps.ui.models_tab import ModelsTab
from vivant.apps.ui.photo import wire
from vivant.apps.ui.settings import wire_settings

STATIC = Path(__file__).parent / "static"
LIVE = '<iframe class="vivant-live" src="/live" title="Live portrait" allow="camera; microphone"></iframe>'


def build_page(desk: Desk) -> Any:
    """The whole page for ``desk``."""
    with gr.Blocks(title="Vivant", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        gr.Markdown("# Vivant\nBring one still picture to life.", elem_id="heading")
        photo, face = gr.State(None), gr.State("0")
        with gr.Tabs():
            with gr.Tab("Animate", id="animate"):
                animate = AnimateTab(desk, photo, face)
            with gr.Tab("Edit", id="edit"):
                edit = EditTab(desk, photo, face, animate)
            with gr.Tab("Live", id="live"):
                gr.HTML(LIVE, padding=False)
            with gr.Tab("Batch", id="batch"):
                batch = BatchTab(desk, animate)
            with gr.Tab("Models", id="models") as models_tab:
                models = ModelsTab(desk)
            with gr.Tab("Evaluate", id="evaluate"):
                evaluate = EvaluateTab(desk)
        for tab in (animate, edit, batch, evaluate):
            tab.wire()
        models.wire(models_tab)
        wire(desk, [animate.panel, edit.panel], [animate.message, edit.message], photo, face)
        wire_settings(desk, animate)
    return page
