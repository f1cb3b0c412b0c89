"""A real server and a real browser, once for all tests of the page; without a Chromium the browser's tests skip."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_browser():
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


class Server:
    """``vivant ui`` as a person starts it. ``lines``: what it said on stderr."""

    def __init__(self, *words, **environment):
        command = [sys.executable, "-m", "vivant.apps.cli", "ui", "--port", "0", "--device", "cpu", *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
        )
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(self.process.stderr), daemon=True).start()
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http://127.0.0.1:"), self.lines

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


@pytest.fixture(scope="session")
def hub():
    """A hub on this machine that holds one small file of published weights."""
    from importlib.util import module_from_spec, spec_from_file_location

    from vivant.perception.syncnet import HUB, HUB_FILE

    spec = spec_from_file_location("fake_hub_of_ui", Path(__file__).parents[1] / "weights" / "fake_hub.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    with module.serve(module.FakeHub({HUB: {HUB_FILE: b"weights" * 300}})) as address:
        yield address


@pytest.fixture(scope="session")
def server(hub, tmp_path_factory):
    pytest.importorskip("gradio", reason="the extra 'ui' is not installed")
    cache = str(tmp_path_factory.mktemp("hub"))
    made = Server("--preset", "tiny", HF_ENDPOINT=hub, HF_HOME=cache, HF_HUB_OFFLINE="0")
    yield made
    made.stop()
    assert not [line for line in made.lines if "Traceback" in line], "".join(made.lines)


@pytest.fixture
def make_server():
    """Servers with other options; they end with the test."""
    made = []

    def start(*words):
        made.append(Server(*words))
        return made[-1]

    yield start
    for each in made:
        each.stop()


@pytest.fixture(scope="session")
def camera_file(tmp_path_factory):
    """The bundled speaker as a fake camera's file: JPEG pictures one after another."""
    import cv2

    from vivant.media.video import open_clip
    from vivant.weights.assets import asset

    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    with path.open("wb") as file:
        for frame in open_clip(asset("demo/driver.mp4")).frames:
            file.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
    return path


@pytest.fixture(scope="session")
def browser(camera_file):
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = find_browser()
    if path is None:
        pytest.skip(f"no Chromium on this machine (looked for {', '.join(BROWSERS)})")
    words = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
             f"--use-file-for-fake-video-capture={camera_file}", "--disable-gpu"]  # fmt: skip
    with api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=path, args=words)
        yield made
        made.close()


@pytest.fixture(scope="session")
def outside():
    """Requests that left this machine; there must be none."""
    return []


@pytest.fixture
def page(browser, server, outside):
    """The page in a window of desktop size; nothing may come from elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["camera", "microphone"])
    made = context.new_page()
    made.set_default_timeout(30_000)
    made.on("request", lambda request: None if local(request.url, server) else outside.append(request.url))
    made.goto(server.address)
    made.get_by_role("heading", name="Vivant").wait_for()
    yield made
    context.close()


def local(url, server):
    return url.startswith((server.address, "data:", "blob:", server.address.replace("http", "ws")))


@pytest.fixture
def wait_until():
    def wait(check, seconds=30, every=0.1):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := check():
                return found
            time.sleep(every)
        raise AssertionError("it did not happen in time")

    return wait
