"""The server of the page: one process with the page, the live socket and the results."""

from __future__ import annotations

import errno
import os
import socket
import webbrowser
from collections.abc import Sequence
from typing import Any

from vivant.apps.access import warn_if_open
from vivant.apps.ui.desk import Desk
from vivant.core.errors import ConfigError

UPLOAD_LIMIT = "500mb"


def build(desk: Desk, tokens: Sequence[str] = ()) -> Any:
    """The web application (ASGI): the page at ``/``, the live page at ``/live``; with ``tokens`` for who has one."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    import gradio as gr
    from fastapi import FastAPI

    from vivant.apps.ui.gate import ASKED, Gate, password_check
    from vivant.apps.ui.live import add_live
    from vivant.apps.ui.page import STATIC, build_page
    from vivant.weights.assets import ROOT

    app = FastAPI(title="Vivant", docs_url=None, redoc_url=None, openapi_url=None)
    add_live(app, desk)
    page = build_page(desk)
    page.queue(default_concurrency_limit=4, max_size=64)
    gr.mount_gradio_app(
        app, page, path="/", allowed_paths=[str(ROOT / "demo"), str(desk.folder)], max_file_size=UPLOAD_LIMIT,
        ssr_mode=False, footer_links=[], css_paths=[STATIC / "page.css"], run_history=False, theme=_theme(gr),
        mcp_server=False, pwa=False, show_error=False,
        auth=password_check(tokens), auth_message=ASKED,
    )  # fmt: skip
    if tokens:
        app.add_middleware(Gate, page=app.routes[-1].app)  # type: ignore[attr-defined]
    return app


def _theme(gr: Any) -> Any:
    """A theme whose letters are already on the visitor's machine, so that nothing is fetched from elsewhere."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def listen(host: str, port: int) -> socket.socket:
    """A socket on which the page can be served.

    Raises:
        ConfigError: the port is in use, or this machine has no such address.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
    except OSError as error:
        server.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"The port {port} is in use: choose another with --port, 0 takes a free one.") from None
        raise ConfigError(f"The address {host} port {port} cannot be used ({error.strerror}): check --host.") from None
    return server


def serve(desk: Desk, host: str, port: int, show: bool = False, tokens: Sequence[str] = ()) -> None:
    """Serve the page until the process is interrupted; its address goes to stdout once it answers.

    Raises:
        ConfigError: the address cannot be used.
    """
    import uvicorn

    server = listen(host, port)
    name = f"[{host}]" if ":" in host else host
    address = f"http://{name}:{server.getsockname()[1]}/"

    class Announced(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            print(address, flush=True)
            warn_if_open(host, tokens)
            if show:
                webbrowser.open(address)

    config = uvicorn.Config(build(desk, tokens), log_level="warning", ws_max_size=1 << 20, timeout_graceful_shutdown=1)
    Announced(config).run([server])
