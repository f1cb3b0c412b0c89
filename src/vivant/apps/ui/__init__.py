"""``vivant ui``: the web page for people, on this machine or for those of a network."""

from __future__ import annotations

import argparse
from pathlib import Path

from vivant.apps.access import add_token_argument, read_tokens
from vivant.apps.arguments import number
from vivant.core.errors import ConfigError, MissingExtraError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the page is found, and what it begins with."""
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS", help="default 127.0.0.1: this machine only")
    parser.add_argument("--port", default=7860, type=number(int, "--port"), metavar="N", help="default 7860; 0 is free")
    parser.add_argument("--preset", metavar="NAME", help="preset of the default method that the page begins with")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, cuda:1, mps")
    add_token_argument(parser, "typed as the password")
    parser.add_argument("--open", action="store_true", help="show the page in the browser")
    parser.add_argument(
        "--virtual-camera", action="store_true", help="what is shown live appears as a camera of this machine, too"
    )


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C.

    Raises:
        MissingExtraError: the extra ``ui`` is not installed.
        ConfigError: the port is taken or out of range, no such preset or device, or no tokens in the file.
    """
    try:
        import gradio  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "gradio", "ui", "The web page") from None
    if not 0 <= args.port <= 65535:
        raise ConfigError(f"The port {args.port} does not exist: give 0 to 65535.")
    tokens = read_tokens(Path(args.tokens)) if args.tokens else ()
    from vivant.apps.ui.desk import Desk
    from vivant.apps.ui.server import serve

    with Desk(args.device, args.preset, args.virtual_camera) as desk:
        serve(desk, args.host, args.port, args.open, tokens)
    return 0
