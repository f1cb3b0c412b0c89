"""Servers that are killed, stopped, or have no room: finished jobs stay, interrupted ones are made later."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
import tomllib
from fractions import Fraction
from pathlib import Path

import pytest
from serving_tools import Server

from vivant.apps.cli import build_parser, main
from vivant.media.image import write_image
from vivant.media.writer import VideoWriter


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, portrait, driver_frames):
    folder = tmp_path_factory.mktemp("inputs")
    write_image(folder / "face.png", portrait[::2, ::2])
    write_image(folder / "face.jpg", portrait)
    for name, count in (("talk.mp4", 3), ("long.mp4", 120), ("longer.mp4", 1500)):
        with VideoWriter(folder / name, Fraction(25)) as writer:
            for index in range(count):
                writer.write(driver_frames[index % 5])
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def until_running(server, job):
    until = time.monotonic() + 60
    while True:
        state = server.get(f"/v1/jobs/{job}").json()
        if state["progress"] is not None and state["progress"]["done"] > 2:
            return
        assert time.monotonic() < until, state
        time.sleep(0.05)


def children(pid):
    return [
        int(text) for text in subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    ]


def gone(pid):
    """Whether a process is no more, or only waits for its parent to notice."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_killed_restarted_stopped_and_nothing_is_lost(tmp_path, inputs, capsys):
    server = Server(tmp_path / "jobs", "--grace", "0.2", "--job-seconds", "60")
    face = inputs["face.png"]
    assert main(["serve", "--folder", str(server.folder)]) == 2  # its jobs would be done twice
    assert "Another server works in" in capsys.readouterr().err
    first = server.post({"source": face, "driving": inputs["talk.mp4"]}).json()["id"]
    assert server.wait(first)["state"] == "done"
    result = server.get(f"/v1/jobs/{first}/result").content
    running = server.post({"source": face, "driving": inputs["long.mp4"]}).json()["id"]
    waiting = server.post({"source": face}, {"sliders": {"smile": 0.4}}).json()["id"]
    until_running(server, running)
    orphans = children(server.process.pid)
    assert orphans
    server.stop(signal.SIGKILL)
    (server.folder / ("f" * 32)).mkdir()  # as an upload that was under way leaves it
    until = time.monotonic() + 10
    while not all(gone(pid) for pid in orphans):
        assert time.monotonic() < until, "a worker outlived its server"
        time.sleep(0.1)

    server.start()
    assert server.get(f"/v1/jobs/{first}/result").content == result
    assert not (server.folder / ("f" * 32)).exists()
    until_running(server, running)
    assert server.stop(signal.SIGTERM) == 0  # before the job could end, so that it waits for the next start

    server.start()
    states = [server.get(f"/v1/jobs/{job}").json()["state"] for job in (first, running, waiting)]
    assert states[0] == "done" and set(states[1:]) <= {"queued", "running"}
    until_running(server, running)
    worker = [pid for pid in children(server.process.pid) if "spawn" in command(pid)]
    os.kill(worker[0], signal.SIGKILL)  # a worker that dies alone is replaced, and its job made again
    assert server.wait(running)["state"] == "done"
    assert server.wait(waiting)["state"] == "done"
    assert server.get(f"/v1/jobs/{running}").json()["frames"] == 120
    assert "vivant_worker_restarts_total 1" in server.get("/metrics").text
    assert {path.name for path in (server.folder / running).iterdir()} == {
        "source", "driving", "result.mp4", "result.mp4.json",
    }  # fmt: skip
    assert server.stop(signal.SIGTERM) == 0


def command(pid):
    with open(f"/proc/{pid}/cmdline", encoding="utf-8") as file:
        return file.read()


def test_a_job_that_takes_too_long_is_ended_and_the_next_one_done(tmp_path, inputs):
    server = Server(tmp_path / "jobs", "--job-seconds", "4", "--storage-mb", "9")
    face = inputs["face.png"]
    long = server.post({"source": face, "driving": inputs["longer.mp4"]}).json()["id"]
    short = server.post({"source": face}, {"sliders": {"yaw": 3}}).json()["id"]
    state = server.wait(long)
    assert state["state"] == "failed" and state["problem"] == "It took longer than 4 s: cut the input."
    assert server.wait(short)["state"] == "done"
    broken = server.post({"source": inputs["face.jpg"][:4000], "driving": inputs["talk.mp4"]}).json()["id"]
    problem = server.wait(broken)["problem"]
    assert "'source' is damaged or cut short" in problem and str(tmp_path) not in problem
    for _ in range(60):
        full = server.post({"source": face, "driving": inputs["longer.mp4"]})
        if full.status_code != 201:
            break
        server.call("POST", f"/v1/jobs/{full.json()['id']}/cancel")
    assert full.status_code == 507 and "disk is full" in full.json()["detail"], full.text
    assert server.get(f"/v1/jobs/{short}/result").status_code == 200
    assert server.stop() == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MB, where the tests may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_told_and_loses_nothing(small_disk, inputs):
    server = Server(small_disk / "jobs", "--free-mb", "0")
    face = inputs["face.png"]
    done = server.post({"source": face, "driving": inputs["talk.mp4"]}).json()["id"]
    assert server.wait(done)["state"] == "done"
    full = server.post({"source": face, "driving": bytes(3_000_000)})
    assert full.status_code == 507 and full.json()["detail"].startswith("The server's disk is full")
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file:  # not a byte is left
        try:
            while file.write(bytes(4096)) == 4096:
                pass
        except OSError:
            pass
    full = server.post({"source": face}, {"sliders": {"yaw": 1}})
    assert full.status_code == 507, full.text
    assert server.get(f"/v1/jobs/{done}/result").status_code == 200
    ballast.unlink()
    again = server.post({"source": face}, {"sliders": {"yaw": 1}})
    assert again.status_code == 201 and server.wait(again.json()["id"])["state"] == "done"
    assert len([path for path in server.folder.iterdir() if path.is_dir()]) == 2
    assert server.stop() == 0


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--serve", "nobody"], "There is no method 'nobody'"),
        (["--serve", "live-portrait:huge"], "There is no preset of live-portrait 'huge'"),
        (["--workers", "0"], "The option --workers is 0"),
        (["--max-mb", "much"], "needs a number"),
        (["--tokens", "nowhere.txt"], "cannot be read"),
        (["--host", "203.0.113.7"], "Nothing can listen on 203.0.113.7:8000"),
        (["--folder", "/proc/vivant"], "Nothing can be written in /proc/vivant"),
    ],
)
def test_wrong_options_are_refused(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(["serve", *words]) == 2
    error = capsys.readouterr().err
    assert sentence in error and len(error.splitlines()) == 1


def test_short_tokens_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tokens.txt").write_text("secret\n")
    assert main(["serve", "--tokens", "tokens.txt"]) == 2
    assert "shorter than 16" in capsys.readouterr().err


def test_the_container_copies_what_exists_and_starts_what_is_understood():
    root = Path(__file__).resolve().parents[2]
    lines = (root / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied and all((root / name).exists() for name in copied)
    extras = set(re.findall(r'"\.\[(.*?)\]"', "\n".join(lines))[0].split(","))
    known = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert "serve" in extras and extras <= known.keys()
    started = json.loads(next(line for line in lines if line.startswith("CMD ["))[4:])[-1]
    words = started.replace("$DEVICE", "cpu").replace("$OPTIONS", "").split()[2:]
    args = build_parser(words).parse_args(words)
    assert args.host == "0.0.0.0" and args.device == "cpu" and args.grace < 10
