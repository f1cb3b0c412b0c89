"""Uploads that are slow, broken or hostile: refused in one sentence, and nothing of them stays."""

from __future__ import annotations

import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import requests
from serving_tools import TOKENS, folders

from vivant.core.clip import Audio
from vivant.media.writer import VideoWriter


def half_sent(server, pieces, pause=0.0):
    """Send the beginning of an upload by hand, then nothing; returns what the server says."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as line:
        line.sendall(
            f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS[0]}\r\nContent-Length: 100000\r\n"
            "Content-Type: multipart/form-data; boundary=edge\r\n\r\n--edge\r\n"
            'Content-Disposition: form-data; name="source"; filename="a.png"\r\n\r\n'.encode()
        )
        for piece in pieces:
            line.sendall(piece)
            time.sleep(pause)
        if pause:
            return ""
        answer = b""
        while piece := line.recv(4096):  # until the server closes the line
            answer += piece
        return answer.decode()


def test_slow_and_vanishing_uploads_hold_nobody_up_and_leave_nothing(server, face):
    before = folders(server)
    with ThreadPoolExecutor(10) as pool:
        slow = [pool.submit(half_sent, server, [face[:500]]) for _ in range(8)]
        gone = pool.submit(half_sent, server, [face[:100], face[100:200]], 0.1)
        begin = time.monotonic()
        assert server.post({"source": face}, {"sliders": {"yaw": 4}}, TOKENS[0]).status_code == 201
        assert time.monotonic() - begin < 8
        for answer in slow:
            assert " 408 " in answer.result() and "too slow" in answer.result()
        gone.result()
    time.sleep(0.3)
    assert len(folders(server) - before) == 1


def png_bomb(width, height):
    """A PNG of zeros: a few kilobytes that become width x height pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pack = zlib.compressobj(9)
    rows = b"".join(pack.compress(bytes(1 + width // 8)) for _ in range(height)) + pack.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_bomb(side, frames):
    """A GIF that says its canvas is huge, and has many frames of one pixel."""
    head = b"GIF89a" + struct.pack("<HHBBB", side, side, 0x80, 0, 0) + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return head + frame * frames + b"\x3b"


def silence(folder, seconds):
    path = folder / "silence.mkv"
    with VideoWriter(path, Fraction(1), audio=Audio(np.zeros((8000 * seconds, 1), np.float32), 8000)) as writer:
        for _ in range(seconds):
            writer.write(np.zeros((16, 16, 3), np.uint8))
    return path.read_bytes()


@pytest.fixture(scope="module")
def bad_uploads(tmp_path_factory, face, look, driver_path):
    folder = tmp_path_factory.mktemp("bad")
    big = np.zeros((2200, 2200, 3), np.uint8)
    with VideoWriter(folder / "big.mp4", Fraction(25)) as writer:
        writer.write(big)
    return {
        "pixels": ({"source": png_bomb(30000, 30000)}, 413, "30000 x 30000 pixels"),
        "canvas": ({"source": face, "driving": gif_bomb(60000, 2)}, 413, "60000 x 60000 pixels"),
        "frames": ({"source": face, "driving": gif_bomb(1900, 300)}, 413, "animation of 300 frames"),
        "large video": ({"source": face, "driving": (folder / "big.mp4").read_bytes()}, 413, "2200 x 2200 pixels"),
        "long sound": ({"source": face, "driving": silence(folder, 60)}, 413, "lasts 60"),
        "bytes": ({"source": bytes(9_000_000)}, 413, "larger than the 8 MB"),
        "more bytes": ({"source": bytes(42_000_000)}, 413, "MB"),
        "noise": ({"source": np.random.default_rng(0).bytes(50_000)}, 422, "unknown kind, cut short or damaged"),
        "cut short": ({"source": face, "driving": driver_path.read_bytes()[:400]}, 422, "damaged"),
        "empty": ({"source": b""}, 422, "empty"),
        "playlist": ({"source": face, "driving": b"#EXTM3U\nfile:///etc/passwd\n"}, 422, "unknown kind"),
        "text": ({"source": face, "driving": b"file '/etc/passwd'\n" * 50}, 422, "driving"),
        "picture as sound": ({"source": face, "audio": look}, 422, "no sound"),
        "pickle": ({"source": face, "driving": b"\x80\x04cos\nsystem\n."}, 422, "unknown kind"),
        "no source": ({"driving": look}, 422, "names no source"),
        "unknown field": ({"source": face, "../../evil": look}, 422, "There is no field"),
    }


def test_bombs_and_broken_files_are_refused_in_one_sentence(server, bad_uploads):
    server.post({"source": b"x"}, {"sliders": {"yaw": 1}}, TOKENS[0])  # the inspector is up
    before, memory = folders(server), server.memory()
    for name, (files, code, sentence) in bad_uploads.items():
        try:
            words = {"method": "photo-rig"} if "audio" in files else {"sliders": {"yaw": 1}}
            answer = server.post(files, words, TOKENS[0])
        except requests.ConnectionError:  # refused by its length and closed while the client still sends
            assert name == "more bytes"
            continue
        assert answer.status_code == code, (name, answer.text)
        detail = answer.json()["detail"]
        assert sentence in detail and str(server.folder) not in detail, (name, detail)
    after = server.memory()
    assert folders(server) == before
    assert all(after[key] - memory[key] < 60e6 for key in ("server", "inspector", "worker-0")), (memory, after)


@pytest.mark.parametrize(
    "job, sentence",
    [
        ({"output": "/etc/passwd"}, "no word of a job 'output'"),
        ({"weights": "/etc/passwd"}, "no word of a job 'weights'"),
        ({"device": "cuda"}, "no word of a job 'device'"),
        ({"source": "/etc/passwd"}, "no word of a job 'source'"),
        ({"format": "../../x.mp4"}, "The format"),
        ({"format": ["mp4"]}, "The format"),
        ({"preset": "released"}, "not served here"),
        ({"method": "../x"}, "not served here"),
        ({"fps": 240}, "at most 60"),
        ({"sliders": {"smile": 99}}, "from -0.3 to 1.3"),
        ({"sliders": {}}, "Nothing drives"),
        ({"options": [1]}, "an object of names"),
        ({"text": "x" * 3000}, "at most 2000 characters"),
        ({"text": "hello", "voice": "flite:../../voice.flitevox"}, "is no name"),
        ({"method": "live-portrait", "text": "hello"}, "not driven by audio"),
        ({"lora": ["/etc/passwd"]}, "no word of a job 'lora'"),
        ("[1]", "is no object"),
        ("{", "is not JSON"),
        ("[" * 60000, "is not JSON"),
        ("x" * 70000, "longer than 64 KiB"),
    ],
)
def test_wrong_words_are_refused(server, face, job, sentence):
    before = folders(server)
    words = {"sliders": {"yaw": 1}} | job if isinstance(job, dict) else job
    answer = server.post({"source": face}, words, TOKENS[0])
    assert answer.status_code in (413, 422) and sentence in answer.json()["detail"], answer.text
    assert folders(server) == before


def test_paths_lead_nowhere(server, face):
    for name in ("../jobs.sqlite", "..%2fjobs.sqlite", "%2e%2e/jobs.sqlite", "jobs.sqlite", "a" * 32, "A" * 32, "\x00"):
        for path in ("", "/result", "/record"):
            answer = server.get(f"/v1/jobs/{requests.utils.quote(name, safe='%./')}{path}", TOKENS[0])
            assert answer.status_code == 404, (name, answer.status_code)
    evil = {"source": ("../../../climbed-out.png", face, "image/png")}
    job = server.post(evil, {"sliders": {"yaw": 2}}, TOKENS[0]).json()["id"]
    assert server.wait(job, TOKENS[0])["state"] == "done"
    names = {path.name for path in (server.folder / job).iterdir()}
    assert names == {"source", "result.png", "result.png.json"}
    assert not list(Path(server.folder).parent.rglob("climbed-out*"))
