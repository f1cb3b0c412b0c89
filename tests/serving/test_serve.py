"""The service as its clients meet it: many at once, slow, broken and hostile ones; nothing lost, nothing shared."""

from __future__ import annotations

import io
import json
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
from PIL import Image
from serving_tools import TOKENS, Server

from vivant.apps.serving.settings import Served, Settings
from vivant.core.clip import Audio
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

CLIENTS = 50


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    tokens = tmp_path_factory.mktemp("secret") / "tokens.txt"
    tokens.write_text("# people\n" + "\n".join(TOKENS) + "\n")
    limits = ("--queue", "12", "--idle-seconds", "1", "--max-mb", "8", "--max-seconds", "20", "--max-megapixels", "4")
    folder = tmp_path_factory.mktemp("jobs")
    running = Server(folder, "--tokens", str(tokens), "--serve", "photo-rig:tiny", *limits)
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def face(portrait):
    """The portrait at 160 x 160, as PNG bytes."""
    stream = io.BytesIO()
    Image.fromarray(portrait).resize((160, 160), Image.Resampling.BOX).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def look(driver_frames):
    stream = io.BytesIO()
    Image.fromarray(driver_frames[2]).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def long_talk(driver_frames, tmp_path_factory):
    """A driver of 400 frames: longer to make than any test waits."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    with VideoWriter(path, Fraction(25)) as writer:
        for index in range(400):
            writer.write(driver_frames[index % len(driver_frames)])
    return path.read_bytes()


def persist(server, face, number):
    """A client that tries again when the queue is full; returns its job's id, the picture and the run record."""
    token, pitch = TOKENS[number % 2], round(-10 + 0.4 * number, 2)
    for _ in range(200):
        answer = server.post({"source": face}, {"sliders": {"pitch": pitch}}, token)
        if answer.status_code != 429:
            break
        time.sleep(min(1.0, float(answer.headers["Retry-After"])))
    assert answer.status_code == 201, answer.text
    job = answer.json()["id"]
    state = server.wait(job, token)
    while state["state"] in ("queued", "running"):
        state = server.wait(job, token)
    assert state["state"] == "done", state
    record = server.get(f"/v1/jobs/{job}/record", token).json()
    assert record["options"]["sliders"]["pitch"] == pitch
    picture = server.get(f"/v1/jobs/{job}/result", token)
    assert picture.headers["content-type"] == "image/png"
    return job, Image.open(io.BytesIO(picture.content)).size


def test_fifty_clients_at_once_each_gets_its_own_and_memory_stays_flat(server, face):
    for number in range(8):
        persist(server, face, number)
    before = server.memory()
    with ThreadPoolExecutor(CLIENTS) as pool:
        found = list(pool.map(lambda number: persist(server, face, number), range(CLIENTS)))
    after = server.memory()
    assert len({job for job, _ in found}) == CLIENTS and {size for _, size in found} == {(160, 160)}
    growth = {name: (after[name] - before[name]) / 1e6 for name in before}
    assert growth["server"] < 40 and growth["worker-0"] < 40 and growth["inspector"] < 40, growth

    foreign = found[0][0]
    for verb, path in (("GET", ""), ("GET", "/result"), ("GET", "/record"), ("POST", "/cancel"), ("DELETE", "")):
        assert server.call(verb, f"/v1/jobs/{foreign}{path}", TOKENS[1]).status_code == 404
        assert server.call(verb, f"/v1/jobs/{foreign}{path}").status_code == 401
    mine = {row["id"] for row in server.get("/v1/jobs", TOKENS[1]).json()}
    assert mine and not mine & {job for job, _ in found[::2]}
    text = server.get("/metrics").text
    assert f'vivant_jobs{{state="done"}} {CLIENTS + 8}' in text and "vivant_worker_restarts_total 0" in text


def test_a_video_with_sound_progress_parts_and_deletion(server, face, driver_path):
    answer = server.post({"source": face, "driving": driver_path.read_bytes()}, {"crop_only": True}, TOKENS[0])
    job = answer.json()["id"]
    state = server.wait(job, TOKENS[0])
    assert state["state"] == "done" and state["frames"] == 5 and state["result"] == f"/v1/jobs/{job}/result"
    whole = server.get(f"/v1/jobs/{job}/result", TOKENS[0])
    assert whole.headers["content-type"] == "video/mp4" and whole.headers["x-content-type-options"] == "nosniff"
    part = requests.get(
        server.url + state["result"], headers={"Authorization": f"Bearer {TOKENS[0]}", "Range": "bytes=0-99"}, timeout=9
    )
    assert part.status_code == 206 and part.content == whole.content[:100]
    saved = server.folder / "check.mp4"
    saved.write_bytes(whole.content)
    clip = open_clip(saved)
    saved.unlink()
    assert clip.size == (256, 256) and clip.audio is not None and clip.fps == Fraction(30000, 1001)
    assert server.call("DELETE", f"/v1/jobs/{job}", TOKENS[0]).status_code == 204
    assert server.get(f"/v1/jobs/{job}", TOKENS[0]).status_code == 404 and not (server.folder / job).exists()


def test_another_method_that_hears(server, portrait_path, driver_path):
    files = {"source": portrait_path.read_bytes(), "audio": driver_path.read_bytes()}
    job = server.post(files, {"method": "photo-rig", "fps": 10, "format": "gif"}, TOKENS[0]).json()["id"]
    state = server.wait(job, TOKENS[0])
    assert state["state"] == "done" and state["frames"] == 2, state  # the file lasts a sixth of a second
    assert server.get(f"/v1/jobs/{job}/result", TOKENS[0]).content.startswith(b"GIF8")


def test_a_running_job_is_cancelled_and_tried_again(server, face, long_talk):
    job = server.post({"source": face, "driving": long_talk}, None, TOKENS[0]).json()["id"]
    waiting = server.post({"source": face}, {"sliders": {"smile": 0.5}}, TOKENS[0]).json()
    assert server.get(f"/v1/jobs/{job}/result", TOKENS[0]).status_code == 409
    until = time.monotonic() + 30
    while (state := server.wait(job, TOKENS[0], 0))["progress"] is None or state["progress"]["done"] < 3:
        assert state["state"] in ("queued", "running") and time.monotonic() < until
        time.sleep(0.1)
    assert state["progress"]["phase"] in ("read driver", "render") and state["progress"]["total"] == 400
    assert state["progress"]["seconds_left"] > 0
    assert server.call("POST", f"/v1/jobs/{job}/cancel", TOKENS[0]).status_code == 200
    assert server.wait(job, TOKENS[0])["state"] == "cancelled"
    assert {path.name for path in (server.folder / job).iterdir()} == {"source", "driving"}  # nothing half-written
    assert server.wait(waiting["id"], TOKENS[0])["state"] == "done"
    assert server.call("POST", f"/v1/jobs/{job}/retry", TOKENS[0]).json()["state"] in ("queued", "running")
    assert server.call("DELETE", f"/v1/jobs/{job}", TOKENS[0]).status_code == 204
    until = time.monotonic() + 20
    while (server.folder / job).exists():
        assert time.monotonic() < until
        time.sleep(0.1)


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


def folders(server):
    return {path.name for path in server.folder.iterdir() if path.is_dir()}


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


@pytest.mark.parametrize(
    "roles, method",
    [
        ({"driving"}, "live-portrait"),
        ({"sliders"}, "live-portrait"),
        ({"audio"}, "speech-portrait"),
        ({"driving", "audio"}, "photo-rig"),
        ({"keypoints"}, "live-portrait"),  # none takes them: the first says so
        (set(), "live-portrait"),
    ],
)
def test_a_job_that_names_no_method_goes_to_one_that_takes_it(tmp_path, roles, method):
    served = tuple(Served(name, "tiny") for name in ("live-portrait", "speech-portrait", "photo-rig"))
    settings = Settings(tmp_path, served)
    assert settings.find(None, None, roles) == settings.find(None, "tiny", roles) == Served(method, "tiny")
    assert settings.find("photo-rig", None, roles).method == "photo-rig"


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


def test_it_describes_itself(server):
    api = server.get("/openapi.json").json()
    assert {"/v1/jobs", "/v1/jobs/{job}/result", "/health", "/metrics"} <= api["paths"].keys()
    form = api["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(form["properties"]) == {"source", "driving", "audio", "keypoints", "job"}
    method = server.get("/v1/methods", TOKENS[0]).json()[0]
    assert method["preset"] == "tiny" and method["sliders"]["smile"]["range"] == [-0.3, 1.3]
    health = server.get("/health").json()
    assert health["status"] == "ok" and health["workers"] == 1
    assert server.get("/v1/methods").status_code == 401


def test_the_ten_line_client_of_the_page(server, face, driver_path, tmp_path, monkeypatch):
    page = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
    code = page.split("```python\n")[1].split("```")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    monkeypatch.chdir(tmp_path)
    (tmp_path / "face.jpg").write_bytes(face)
    (tmp_path / "talk.mp4").write_bytes(driver_path.read_bytes())
    code = code.replace("http://localhost:8000", server.url).replace("YOUR-TOKEN", TOKENS[0])
    exec(compile(code, "docs/serve.md", "exec"), {})
    assert open_clip(tmp_path / "out.mp4").count == 5
    assert json.loads(requests.get(f"{server.url}/health", timeout=9).text)["jobs"]["failed"] == 0
    (tmp_path / "face.jpg").write_bytes(b"no picture")
    with pytest.raises(SystemExit, match="source"):  # the server's sentence, no KeyError
        exec(compile(code, "docs/serve.md", "exec"), {})
