"""The command line when all is well: help, spellings, commands that only report."""

import json
import os
import signal

import numpy as np
import pytest

import vivant
from vivant.apps.cli import COMMANDS, main
from vivant.media.image import write_image
from vivant.media.video import open_clip

TINY = ("--preset", "tiny", "--quiet")


def run(*argv):
    return main([str(word) for word in argv])


def test_version_and_help(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"vivant {vivant.__version__}\n"
    assert run() == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys, name):
    assert run(name, "--help") == 0
    assert name in capsys.readouterr().out


def test_help_comes_from_the_dataclasses(capsys):
    run("animate", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--slider.smile N smile (-0.3 to 1.3, default 0.0)" in text
    assert "--strength.motion N multiplies the motion" in text
    assert "--stitching, --no-stitching keep the shoulders in place" in text
    assert "flag_" not in text and "reference_image" not in text


@pytest.mark.parametrize(
    "words",
    [
        ("--source_image", "--driving_info", "--flag_relative_motion", "--driving_option", "pose-friendly"),
        ("--reference_image_path", "--driving-video", "--no_flag_stitching", "--animation_region", "lip"),
    ],
)
def test_spellings_of_other_tools(tmp_path, portrait_path, driver_frames, words):
    from vivant.media.image import write_image

    driver, out = tmp_path / "driver.png", tmp_path / "out.png"
    write_image(driver, driver_frames[0])
    source, driving, *others = words
    assert run("animate", source, portrait_path, driving, driver, "--result_video", out, *others, *TINY) == 0
    options = json.loads((tmp_path / "out.png.json").read_text())["options"]
    if "--no_flag_stitching" in words:
        assert options["stitching"] is False and options["region"] == "lips"
    else:
        assert options["relative"] is True and options["driving"] == "pose-friendly"


def test_sliders_without_a_driver_edit(tmp_path, portrait_path):
    out = tmp_path / "out.png"
    assert run("animate", "-s", portrait_path, "--slider.pitch", "-5", "-o", out, *TINY) == 0
    record = json.loads((tmp_path / "out.png.json").read_text())
    assert record["options"]["sliders"]["pitch"] == -5 and record["output"]["frames"] == 1
    assert open_clip(out).size == (384, 384)


def test_progress_and_warnings_go_to_stderr(tmp_path, capsys, portrait_path):
    from vivant.media.image import write_image

    image = open_clip(portrait_path)
    two = np.concatenate([next(iter(image.frames))] * 2, axis=1)
    write_image(tmp_path / "two.png", two)
    out = tmp_path / "o.png"
    assert run("animate", "-s", tmp_path / "two.png", "-d", portrait_path, "-o", out, "--preset", "tiny") == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert "read driver" in printed.err and "render" in printed.err
    assert "vivant: warning: two.png shows 2 faces" in printed.err


def test_stream_to_a_folder_and_to_a_pipe(tmp_path, capfdbinary, portrait_path, driver_path):
    folder = f"{tmp_path / 'frames'}/"
    words = ("stream", "-s", portrait_path, "-d", driver_path, "--preset", "tiny", "--frames", "2", "--crop-only")
    assert run(*words, "-o", folder) == 0
    assert len(list((tmp_path / "frames").glob("*.png"))) == 2
    capfdbinary.readouterr()
    assert run(*words, "-o", "-") == 0
    printed = capfdbinary.readouterr()
    assert len(printed.out) == 2 * 256 * 256 * 3 and b"rgb24 256x256" in printed.err


def test_doctor_reports_codecs_and_files(capsys):
    assert run("doctor") in (0, 1)
    text = capsys.readouterr().out
    assert "libx264" in text and "demo/portrait.jpg" in text and "GiB free" in text


def test_doctor_fails_when_a_file_is_damaged(monkeypatch, capsys):
    from vivant.core.errors import WeightsError
    from vivant.weights import assets

    def damaged(name):
        raise WeightsError(f"{name} is damaged: reinstall vivant.")

    monkeypatch.setattr(assets, "asset", damaged)
    assert run("doctor") == 1
    assert "BAD  demo/portrait.jpg" in capsys.readouterr().out


def test_methods_table(capsys):
    assert run("methods") == 0
    assert "live-portrait" in capsys.readouterr().out
    assert run("methods", "--markdown") == 0
    assert capsys.readouterr().out.startswith("| method | paper |")


def test_methods_table_goes_between_the_marks(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- vivant methods --markdown -->\nold\n<!-- end -->\nafter\n")
    assert run("methods", "--update", page) == 0
    text = page.read_text()
    assert (
        text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "| live-portrait |" in text
    )
    page.write_text("no marks")
    assert run("methods", "--update", page) == 2
    assert page.read_text() == "no marks" and "vivant: " in capsys.readouterr().err


@pytest.mark.parametrize("asked, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_leaves_nothing(tmp_path, portrait_path, driver_frames, capsys, monkeypatch, asked, code):
    from vivant.media.writer import VideoWriter

    def stop(self, frame):
        write(self, frame)
        os.kill(os.getpid(), asked)

    write = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", stop)
    driver = tmp_path / "driver.png"
    write_image(driver, driver_frames[0])
    assert run("animate", "-s", portrait_path, "-d", driver, "-o", tmp_path / "out.mp4", *TINY) == code
    assert "Stopped" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["driver.png"]


def test_warnings_of_other_packages_stay_inside(capsys):
    from vivant.apps.cli import PACKAGE, _show_warning

    _show_warning("theirs", UserWarning, "/home/vivant/venv/lib/site-packages/torch/nn/functional.py", 1)
    _show_warning("ours", UserWarning, str(PACKAGE / "media" / "decode.py"), 1)
    assert capsys.readouterr().err == "vivant: warning: ours\n"


def test_the_last_word_stands_on_its_own_line(capsys, tmp_path, portrait_path, driver_path, monkeypatch):
    from vivant.media.writer import VideoWriter

    def stopped(self, frame):
        raise KeyboardInterrupt

    monkeypatch.setattr(VideoWriter, "write", stopped)
    words = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", "--preset", "tiny")
    assert main([str(word) for word in words]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "vivant: Stopped; unfinished output was removed."


@pytest.mark.parametrize("words", [("--neutral-frame", "soon"), ("--smoothing", "-1"), ("--smoothing", "nan")])
def test_impossible_options_are_refused_before_the_driver_is_read(
    refused, tmp_path, portrait_path, driver_path, monkeypatch, words
):
    monkeypatch.setattr("vivant.pipelines.animate.read_motion", None)
    refused("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", "--preset", "tiny", *words)
