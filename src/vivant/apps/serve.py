"""``vivant serve``: the HTTP service."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from vivant.apps.access import add_token_argument, read_tokens, warn_if_open
from vivant.apps.arguments import number, positive
from vivant.apps.download import add_gate_arguments, apply_gates
from vivant.core.errors import ConfigError, MediaError, MissingExtraError

if TYPE_CHECKING:
    from vivant.apps.serving.settings import Settings

NUMBERS: dict[str, tuple[float, str]] = {
    "workers": (1, "processes, each with its own models in memory"),
    "queue": (100, "jobs that may wait; more get 429"),
    "uploads": (64, "uploads at the same time; more get 429"),
    "max-mb": (200, "megabytes of one uploaded file"),
    "max-seconds": (120, "seconds of a driver or sound"),
    "max-megapixels": (16.8, "megapixels of a picture or frame"),
    "job-seconds": (900, "seconds that one job may take"),
    "idle-seconds": (30, "seconds that an upload may send nothing"),
    "storage-mb": (0, "megabytes of all jobs together, 0 is no limit"),
    "free-mb": (500, "megabytes kept free on the disk; beyond, 507"),
    "keep-days": (7, "days that finished jobs are kept, 0 for ever"),
    "worker-gb": (0, "gigabytes of memory of one worker, 0 is four fifths of the machine's"),
    "grace": (30, "seconds that running jobs get when the server stops"),
}
"""Options that are numbers -> default and help."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to listen, what is served, and the limits."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", default=8000, type=positive("--port"), metavar="N", help="port (default 8000)")
    parser.add_argument("--folder", default="vivant-jobs", metavar="PATH", help="jobs are kept here")
    parser.add_argument(
        "--serve", action="append", metavar="METHOD[:PRESET]", help="may be repeated; the first is the default"
    )
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, mps")
    parser.add_argument("--dtype", default="auto", metavar="NAME", help="auto, fp32, fp16, bf16")
    add_token_argument(parser, "each sees its own jobs")
    add_gate_arguments(parser)
    group = parser.add_argument_group("limits")
    for name, (default, text) in NUMBERS.items():
        kind = number(float, f"--{name}")
        group.add_argument(f"--{name}", default=default, type=kind, metavar="N", help=f"{text} (default {default:g})")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or Ctrl-C; running jobs then end, or wait for the next start."""
    apply_gates(args)
    if args.port > 65535:
        raise ConfigError(f"The port {args.port} does not exist: give 1 to 65535.")
    settings = settings_of(args)
    try:
        import uvicorn

        from vivant.apps.serving.service import build_app
    except ImportError as error:
        raise MissingExtraError(error.name or "fastapi", "serve", "vivant serve") from None
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // settings.workers)))
    app = build_app(settings)
    config = uvicorn.Config(
        app, args.host, args.port, log_level="warning", server_header=False, timeout_keep_alive=15,
        timeout_graceful_shutdown=5, limit_concurrency=1000, h11_max_incomplete_event_size=65536,
    )  # fmt: skip
    _check_free(args.host, args.port)
    lock = _locked(settings.folder)
    warn_if_open(args.host, settings.tokens)
    print(f"Vivant listens on http://{args.host}:{args.port} (API: /docs); jobs in {settings.folder}.", flush=True)
    with lock:
        _server(uvicorn, config, app).run()
    return 0


def settings_of(args: argparse.Namespace) -> Settings:
    """The server's settings from the command line.

    Raises:
        ConfigError: a number makes no sense, or an unknown method. MediaError: the folder cannot be written.
    """
    from vivant.apps.serving.settings import MB, Served, Settings
    from vivant.media.limits import MediaLimits

    given = {name: getattr(args, name.replace("-", "_")) for name in NUMBERS}
    for name, value in given.items():
        low = 1 if name in ("workers", "queue", "uploads") else 0
        if not low <= value < 1e9:
            raise ConfigError(f"The option --{name} is {value:g}: give a number from {low} on.")
    folder = Path(args.folder).resolve()
    _check_folder(folder)
    served = tuple(Served.parse(text) for text in args.serve or _usual())
    seconds = given["max-seconds"]
    return Settings(
        folder, served, args.device, args.dtype, int(given["workers"]), int(given["queue"]), int(given["uploads"]),
        int(given["max-mb"] * MB), MediaLimits(int(given["max-megapixels"] * 1e6), seconds, int(seconds * 60)),
        given["job-seconds"], given["idle-seconds"], max(900.0, 2 * given["idle-seconds"]),
        int(given["storage-mb"] * MB), int(given["free-mb"] * MB), given["keep-days"] * 86400,
        int(given["worker-gb"] * 1e9) or _most_memory(), given["grace"],
        read_tokens(Path(args.tokens)) if args.tokens else (),
    )  # fmt: skip


def _usual() -> list[str]:
    """The default method, and that for sound alone if it is another."""
    from vivant.core.registry import default_method

    return list(dict.fromkeys([default_method(), default_method(True)]))


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MediaError(f"Nothing can be written in {folder} ({error.strerror}): choose another --folder.") from error


def _locked(folder: Path) -> TextIO:
    """An open file that keeps a second server out of the folder; the system frees it however this one ends.

    Raises:
        ConfigError: another server works there.
    """
    file = (folder / ".lock").open("w", encoding="ascii")
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # a system without such locks
        pass
    except OSError:
        file.close()
        raise ConfigError(f"Another server works in {folder}: stop it, or choose another --folder.") from None
    return file


def _check_free(host: str, port: int) -> None:
    import socket

    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"Nothing can listen on {host}:{port} ({why}): choose another --host or --port.") from error


def _most_memory() -> int:
    """Four fifths of the machine's memory, 0 (no limit) where the system does not say."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.8)
    except (ValueError, OSError, AttributeError):
        return 0


def _server(uvicorn: Any, config: Any, app: Any) -> Any:
    """A uvicorn server that ends quietly on SIGTERM and SIGINT, and answers waiting clients at once then."""

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            def leave(number: int, frame: object) -> None:
                app.state.desk.closing = True
                self.should_exit = True

            before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
            try:
                yield
            finally:
                for number, handler in before.items():
                    signal.signal(number, handler)

    return Server(config)
