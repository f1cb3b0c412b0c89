"""A server under many clients at once: throughput, waiting, and memory of its processes before and after.

python tools/measure_serving.py --clients 50 --jobs 500 --preset tiny
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import requests

from vivant.weights.assets import asset


def memory(url: str) -> dict[str, float]:
    """Resident megabytes by process."""
    text = requests.get(f"{url}/metrics", timeout=30).text
    return {name: int(size) / 1e6 for name, size in re.findall(r'memory_bytes\{process="(.*?)"\} (\d+)', text)}


class Clients:
    """Each uploads, waits, fetches the result and deletes the job. ``refusals``: 429s that were waited for."""

    def __init__(self, url: str) -> None:
        self.url, self.refusals, self.states = url, 0, Counter[str]()
        self._lock, self._portrait = threading.Lock(), asset("demo/portrait.jpg").read_bytes()

    def one(self, number: int) -> None:
        """One job from upload to deletion."""
        words = {"job": json.dumps({"sliders": {"yaw": number % 21 - 10}})}
        while True:
            answer = requests.post(f"{self.url}/v1/jobs", files={"source": self._portrait}, data=words, timeout=300)
            if answer.status_code != 429:
                break
            with self._lock:
                self.refusals += 1
            time.sleep(float(answer.headers["Retry-After"]))
        job = answer.json()
        while job["state"] in ("queued", "running"):
            job = requests.get(f"{self.url}/v1/jobs/{job['id']}", params={"wait": 30}, timeout=90).json()
        if job["state"] == "done":
            assert requests.get(self.url + job["result"], timeout=90).content.startswith(b"\x89PNG")
        requests.delete(f"{self.url}/v1/jobs/{job['id']}", timeout=90)
        with self._lock:
            self.states[job["state"]] += 1


def main() -> None:
    """Start a server of its own, load it, print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--preset", default="tiny")
    args = parser.parse_args()
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        words = ["--port", str(port), "--folder", folder, "--serve", f"live-portrait:{args.preset}", "--queue", "20"]
        server = subprocess.Popen([sys.executable, "-m", "vivant.apps.cli", "serve", *words])
        try:
            load(f"http://127.0.0.1:{port}", args.clients, args.jobs)
        finally:
            server.terminate()
            print("exit code of the server:", server.wait(60))


def load(url: str, clients: int, jobs: int) -> None:
    """Warm up, measure, print."""
    for _ in range(600):
        try:
            if requests.get(f"{url}/health", timeout=5).ok:
                break
        except requests.ConnectionError:
            time.sleep(0.2)
    crowd = Clients(url)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(crowd.one, range(clients)))
        before, begin = memory(url), time.perf_counter()
        list(pool.map(crowd.one, range(jobs)))
        seconds, after = time.perf_counter() - begin, memory(url)
    print(f"{jobs} jobs of {clients} clients in {seconds:.0f} s, {jobs / seconds:.1f} a second; {dict(crowd.states)}")
    print(f"{crowd.refusals} refusals by the full queue, waited for")
    for name in before:
        print(f"{name}: {before[name]:.0f} MB before, {after[name]:.0f} MB after")


if __name__ == "__main__":
    main()
