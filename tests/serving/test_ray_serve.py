"""The Ray Serve application on a local Ray: an upload comes back as a video."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("ray.serve")

from vivant.apps.ray_serve import build
from vivant.core.errors import ConfigError

SCRIPT = """
import socket, sys
import ray, requests
from ray import serve
from vivant.apps.ray_serve import build

face, talk, out = sys.argv[1:]
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(build({"method": "live-portrait:tiny", "device": "cpu", "cpus": "0.5"}))
url = f"http://127.0.0.1:{port}"
assert requests.get(f"{url}/health", timeout=30).json() == {"status": "ok"}
files = {"source": open(face, "rb"), "driving": open(talk, "rb")}
made = requests.post(f"{url}/v1/animate", files=files, data={"job": '{"crop_only": true}'}, timeout=120)
assert made.status_code == 200 and made.headers["content-type"] == "video/mp4", made.text
open(out, "wb").write(made.content)
bad = requests.post(f"{url}/v1/animate", files={"source": b"noise", "driving": b"noise"}, timeout=60)
assert bad.status_code == 422 and "damaged" in bad.json()["detail"], bad.text
word = requests.post(f"{url}/v1/animate", files={"source": open(face, "rb")}, data={"job": '{"x": 1}'}, timeout=60)
assert word.status_code == 422 and "no word of a job" in word.json()["detail"], word.text
print("served")
serve.shutdown()
"""


def test_an_upload_comes_back_as_a_video(portrait_path, driver_path, tmp_path) -> None:
    from vivant.media.video import open_clip

    out = tmp_path / "out.mp4"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", SCRIPT, str(portrait_path), str(driver_path), str(out)]
    run = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=280)
    assert run.returncode == 0 and "served" in run.stdout, run.stderr[-3000:]
    clip = open_clip(out)
    assert clip.count == 5 and clip.size == (256, 256) and clip.audio is not None


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(ConfigError, match="no argument 'replica'"):
        build({"replica": "2"})
    with pytest.raises(ConfigError, match="replicas is a number"):
        build({"replicas": "many"})
    with pytest.raises(ConfigError, match="no method 'nobody'"):
        build({"method": "nobody"})
