"""The command ``vivant``: picks a sub-command, imports only that one, and turns errors into one sentence."""

from __future__ import annotations

import argparse
import difflib
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

from vivant.core.errors import ConfigError, VivantError

INTERRUPTED, TERMINATED = 130, 143
PACKAGE = Path(__file__).resolve().parent.parent


class Command(NamedTuple):
    """A sub-command: the module with ``add_arguments(parser)`` and ``run(args)``, and its line in the
    help."""

    module: str
    help: str


COMMANDS = {
    "animate": Command("vivant.apps.animate", "a portrait follows a driving video, picture or saved motion"),
    "edit": Command("vivant.apps.edit", "change a still by sliders"),
    "stream": Command("vivant.apps.stream", "animate live, frame by frame, from a camera or a file"),
    "serve": Command("vivant.apps.serve", "an HTTP service: upload, wait, download"),
    "demo": Command("vivant.apps.demo", "make a bundled portrait speak, offline"),
    "ui": Command("vivant.apps.ui", "a web page: animate, edit, live camera, batch, models, evaluate"),
    "methods": Command("vivant.apps.methods", "list the methods, what they take, and their weights' licences"),
    "doctor": Command("vivant.apps.doctor", "check this machine and this installation"),
    "download": Command("vivant.apps.download", "fetch published weights by name"),
    "convert": Command("vivant.apps.convert", "published weights become one safetensors file"),
    "export": Command("vivant.apps.export", "write a method's nets as ONNX files, checked"),
    "curate": Command("vivant.pipelines.curate", "turn raw videos into clips that are worth training on"),
    "train": Command("vivant.pipelines.train", "train a method"),
    "finetune": Command("vivant.pipelines.finetune", "a method learns one person from their own recording"),
    "synthesize": Command(
        "vivant.pipelines.synthesize", "stills of people become clips with exact motion, for training"
    ),
    "poses": Command("vivant.pipelines.poses", "the skeleton of a person in a video, kept or drawn"),
    "shards": Command("vivant.pipelines.shards", "a data set as a few tar files, and back"),
    "evaluate": Command("vivant.pipelines.evaluate", "measure results against recordings"),
    "benchmark": Command("vivant.pipelines.benchmark", "measure speed on this machine"),
}


class Parser(argparse.ArgumentParser):
    """An argument parser that raises one sentence instead of printing usage and leaving."""

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError; called by argparse for unknown or missing arguments."""
        hint = " (a name that begins with a dash is written ./-name)" if "expected one argument" in message else ""
        raise ConfigError(f"{message[:1].upper()}{message[1:]}{hint}: see {self.prog} --help.")


class Terminated(BaseException):
    """The system asks the process to end; raised so that unfinished output is removed, as on Ctrl-C."""


@contextmanager
def _terminable() -> Iterator[None]:
    """Inside, SIGTERM raises :class:`Terminated` (signals reach Python's main thread only)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    process = os.getpid()

    def leave(number: int, frame: object) -> None:
        if os.getpid() == process:
            raise Terminated
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked data worker leaves as usual
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Version(argparse.Action):
    """``--version``, which reads the installed version only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: object) -> None:
        """Print and leave."""
        import vivant

        print(f"vivant {vivant.__version__}")
        parser.exit()


def build_parser(argv: Sequence[str]) -> argparse.ArgumentParser:
    """The parser for ``argv``: every command by name, arguments only of the one that is asked for."""
    parser = Parser(
        prog="vivant", description="Bring one still image to life.", allow_abbrev=False,
        epilog="vivant COMMAND --help shows the options of a command.",
    )  # fmt: skip
    parser.add_argument("--version", action=Version, nargs=0, help="show the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    asked = next((word for word in argv if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(name, help=command.help, description=command.help, allow_abbrev=False)
        if name == asked:
            module = import_module(command.module)
            sub.set_defaults(argv=list(argv))
            add = getattr(module, "add_method_options", None)
            module.add_arguments(sub) if add is None else add(sub, argv)
            sub.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code (0 good, 1 a failed check, 2 bad input, 130
    interrupted)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with warnings.catch_warnings(), _terminable():
            warnings.showwarning = _show_warning
            return _run(words)
    except VivantError as error:
        _let_go(error)
        return _complain(str(error), error.exit_code)
    except Terminated as stop:
        _let_go(stop)
        return _complain("Stopped; unfinished output was removed.", TERMINATED)
    except KeyboardInterrupt as stop:
        _let_go(stop)
        return _complain("Stopped; unfinished output was removed.", INTERRUPTED)
    except BrokenPipeError:
        sys.stderr.close()  # the reader left (for example head); nothing more can be said
        return 0
    except OSError as error:
        place = f" {error.filename}" if error.filename else ""
        return _complain(f"The system refused{place}: {error.strerror or error}.", 2)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 0


def _run(words: list[str]) -> int:
    parser = build_parser(words)
    args, strange = parser.parse_known_args(words)
    if strange:
        raise _unknown_argument(parser, args.command, strange)
    if args.command is None:
        parser.print_help()
        return 0
    code = args.run(args)
    return code if isinstance(code, int) else 0


def _unknown_argument(parser: argparse.ArgumentParser, command: str | None, strange: Sequence[str]) -> ConfigError:
    """The error for words that no option takes; it names the nearest option of the command."""
    choices = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    shown = [flag for action in choices[command]._actions if action.help != argparse.SUPPRESS
             for flag in action.option_strings] if command else []  # fmt: skip
    near = difflib.get_close_matches(strange[0].partition("=")[0], shown, n=1)
    hint = f"did you mean {near[0]}?" if near else f"see {' '.join(filter(None, ['vivant', command]))} --help."
    return ConfigError(f"There is no argument '{strange[0]}': {hint}")


def _let_go(error: BaseException | None) -> None:
    """End what the frames of ``error`` still hold: a bar that is left half full would stand before the sentence on its
    line and be drawn again after it."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _complain(text: str, code: int) -> int:
    print(f"vivant: {' '.join(text.split())}", file=sys.stderr)
    return code


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int,
    file: TextIO | None = None, line: str | None = None,
) -> None:  # fmt: skip
    """Ours in one line; those of libraries say nothing a person can act on."""
    if issubclass(category, UserWarning) and PACKAGE in Path(filename).parents:
        print(f"vivant: warning: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
