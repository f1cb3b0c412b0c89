"""The page: its tabs, what they share, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from vivant.apps.ui.animate_tab import AnimateTab
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.photo import wire

STATIC = Path(__file__).parent / "static"


def build_page(desk: Desk) -> Any:
    """The whole page for ``desk``."""
    with gr.Blocks(title="Vivant", analytics_enabled=False, delete_cache=(3600, 24 * 3600)) as page:
        gr.Markdown("# Vivant\nBring one still picture to life.", elem_id="heading")
        photo, face = gr.State(None), gr.State("0")
        with gr.Tabs(), gr.Tab("Animate", id="animate"):
            animate = AnimateTab(desk, photo, face)
        animate.wire()
        wire(desk, [animate.panel], [animate.message], photo, face)
    return page
