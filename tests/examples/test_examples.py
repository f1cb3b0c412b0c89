"""Every example and the notebook run from top to bottom, with tiny nets and few frames."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from vivant.media.image import read_image
from vivant.media.video import open_clip

FOLDER = Path(__file__).resolve().parents[2] / "examples"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs an example as its page says, in an empty folder, and gives what it printed."""
    monkeypatch.chdir(tmp_path)

    def start(name, *words):
        monkeypatch.setattr(sys, "argv", [name, *map(str, words)])
        try:
            runpy.run_path(str(FOLDER / name), run_name="__main__")
        except SystemExit as leave:
            assert leave.code in (None, 0), capsys.readouterr().err
        return capsys.readouterr().out

    return start


def test_there_are_five_short_ones_and_the_page_names_them():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert len(SCRIPTS) == 5
    for script in SCRIPTS:
        text = script.read_text(encoding="utf-8")
        assert len(text.splitlines()) < 40 and f"({script.name})" in page
        assert f"python examples/{script.name}" in text


def test_animate(run, driver_path):
    printed = run("animate.py", "--preset", "tiny", "--driving", driver_path, "--strength", 0.8)
    clip = open_clip("out/animated.mp4")
    assert clip.count == 5 and clip.audio is not None and "5 frames of 384 x 384" in printed


def test_edit(run):
    run("edit.py", "--preset", "tiny", "--sliders", "yaw,smile", "--steps", 3)
    sheet = read_image("out/sliders.png")
    assert sheet.shape == (512, 768, 3)
    assert not np.array_equal(sheet[:256, :256], sheet[:256, 512:])


def test_stream(run, driver_path):
    printed = run("stream.py", "--preset", "tiny", "--driving", driver_path, "--frames", 3)
    assert open_clip("out/live.mp4").count == 3 and printed.startswith("3 frames, ")


def test_template(run, driver_path, portrait_path, tmp_path):
    other = tmp_path / "other.jpg"
    other.write_bytes(portrait_path.read_bytes())
    printed = run("template.py", "--preset", "tiny", "--driving", driver_path, "--sources", portrait_path, other)
    assert "5 frames of motion" in printed
    assert [open_clip(f"out/templates/{name}.mp4").count for name in ("portrait", "other")] == [5, 5]


def test_batch(run, driver_path, portrait_path):
    words = ("--preset", "tiny", "--portraits", portrait_path.parent, "--drivers", driver_path.parent)
    assert "1 done, 0 done before, 0 failed" in run("batch.py", *words)
    assert open_clip("out/many/portrait--talk.mp4").count == 5
    assert "0 done, 1 done before, 0 failed" in run("batch.py", *words)


def test_notebook(tmp_path, monkeypatch, capsys):
    notebook = json.loads((FOLDER / "vivant.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert notebook["nbformat"] == 4 and len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert all(not cell["outputs"] for cell in cells)  # kept small; whoever runs it sees their own
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, cell in enumerate(cells):
        text = "".join(cell["source"])
        text = text.replace("PRESET = None", 'PRESET = "tiny"').replace("FRAMES = 25", "FRAMES = 3")
        exec(compile(text, f"cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "the same first frame: True" in printed and "Did you mean 'region'?" in printed
    assert open_clip(tmp_path / "out/notebook/animated.mp4").count == 3
