"""The service as its clients meet it: many at once; nothing lost, nothing shared."""

from __future__ import annotations

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import pytest
import requests
from PIL import Image
from serving_tools import TOKENS

from vivant.apps.serving.settings import Served, Settings
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter

CLIENTS = 50


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
    done = server.done()
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
    assert server.done() == done + CLIENTS + 8
    assert "vivant_worker_restarts_total 0" in server.get("/metrics").text


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
