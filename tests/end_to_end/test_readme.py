"""What the README says runs, and its table is the registry's."""

import re
import shlex
from pathlib import Path

import pytest

from vivant.apps.cli import main
from vivant.apps.methods import markdown_table

README = Path(__file__).resolve().parents[2] / "README.md"
RENDERS = ("animate", "edit", "stream", "demo")


def commands():
    """Every line of a fenced block that starts with ``vivant``, as words without the comment."""
    blocks = re.findall(r"```bash\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("vivant ")]


@pytest.fixture(scope="module")
def desk(tmp_path_factory, portrait_path, driver_path):
    """A folder with the files that the README names; commands run there one after another."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "face.jpg").write_bytes(portrait_path.read_bytes())
    (folder / "talk.mp4").write_bytes(driver_path.read_bytes())
    (folder / "jobs.jsonl").write_text('{"source": "face.jpg", "driving": "talk.mp4", "output": "many.mp4"}\n')
    return folder


def test_there_are_commands():
    found = commands()
    assert len(found) >= 8
    assert {words[1] for words in found} >= {*RENDERS, "methods", "doctor", "ui"}


@pytest.mark.parametrize("words", commands(), ids=lambda words: "_".join(words[1:])[:60])
def test_command_runs(words, desk, monkeypatch, capsys):
    monkeypatch.chdir(desk)
    argv = words[1:]
    if argv[0] in (*RENDERS, "export"):
        argv += ["--preset", "tiny"]
    if argv[0] == "demo":
        argv += ["--frames", "2"]
    if argv[0] == "ui":  # everything but waiting for visitors
        pytest.importorskip("gradio", reason="the extra 'ui' is not installed")
        argv += ["--port", "0", "--device", "cpu"]
        monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: sockets[0].close())
    code = main(argv)
    printed = capsys.readouterr()
    if argv[0] == "doctor":
        assert code in (0, 1) and "disk" in printed.out
    else:
        assert code == 0, printed.err
    if "--batch" in argv:
        assert (desk / argv[argv.index("-o") + 1] / "many.mp4").stat().st_size > 0
    elif argv[0] in RENDERS:
        paths = [Path(line) for line in printed.out.splitlines()]
        assert paths and all(path.stat().st_size > 0 for path in paths)


def test_method_table_is_the_registrys():
    text = README.read_text(encoding="utf-8")
    table = re.search(r"<!-- vivant methods --markdown -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    assert table and table.group(1) == markdown_table()
