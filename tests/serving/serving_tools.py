"""A real server for the tests: a process with its own folder and port, and uploads for it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import requests

TOKENS = ("token-of-the-first-person", "token-of-the-second-person")


class Server:
    """``vivant serve`` with tiny nets. ``words``: more options."""

    def __init__(self, folder: Path, *words: str, wait: bool = True) -> None:
        self.folder, self.words = folder, words
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.start(wait)

    def start(self, wait: bool = True) -> None:
        argv = [
            sys.executable,
            "-m",
            "vivant.apps.cli",
            "serve",
            "--port",
            str(self.port),
            "--folder",
            str(self.folder),
        ]
        argv += ["--serve", "live-portrait:tiny", "--device", "cpu", *self.words]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        until = time.monotonic() + 120
        while wait and time.monotonic() < until:
            try:
                if requests.get(f"{self.url}/health", timeout=5).ok:
                    return
            except requests.ConnectionError:
                assert self.process.poll() is None, self.process.communicate()[1][-2000:]
            time.sleep(0.1)
        assert not wait, "the server did not come up"

    def post(
        self, files: dict[str, Any], job: dict[str, Any] | str | None = None, token: str = ""
    ) -> requests.Response:
        data = {} if job is None else {"job": job if isinstance(job, str) else json.dumps(job)}
        return requests.post(f"{self.url}/v1/jobs", files=files, data=data, headers=bearer(token), timeout=60)

    def get(self, path: str, token: str = "", **words: Any) -> requests.Response:
        return requests.get(f"{self.url}{path}", headers=bearer(token), timeout=90, **words)

    def call(self, verb: str, path: str, token: str = "") -> requests.Response:
        return requests.request(verb, f"{self.url}{path}", headers=bearer(token), timeout=60)

    def wait(self, job: str, token: str = "", seconds: float = 50) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/jobs/{job}", token, params={"wait": seconds}).json()
        return found

    def memory(self) -> dict[str, int]:
        """Resident bytes by process, from the metrics."""
        text = self.get("/metrics").text
        return {name: int(size) for name, size in re.findall(r'vivant_memory_bytes\{process="(.*?)"\} (\d+)', text)}

    def done(self) -> int:
        """Finished jobs that are kept, from the metrics."""
        found = re.search(r'vivant_jobs\{state="done"\} (\d+)', self.get("/metrics").text)
        return int(found[1]) if found else 0

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        code = self.process.wait(60)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        return code


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def folders(server: Server) -> set[str]:
    """Names of the jobs' folders."""
    return {path.name for path in server.folder.iterdir() if path.is_dir()}
