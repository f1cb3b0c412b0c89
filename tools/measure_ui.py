"""How fast the web page answers: previews of edits, and a live portrait, in a real Chromium on this machine.

    python tools/measure_ui.py --seconds 20

Prints Markdown. The browser runs on the same machine, so what it takes is taken from the server; the load of other
programs stands beside the figures, because it decides them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def main() -> int:
    """Start a server, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each live run")
    parser.add_argument("--edits", type=int, default=15)
    parser.add_argument("--only-shots", action="store_true", help="measure nothing")
    parser.add_argument("--shots", help="folder for screenshots in docs/images: desktop and phone")
    args = parser.parse_args()
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        print("There is no Chromium on this machine: install it first.", file=sys.stderr)
        return 2
    words = [sys.executable, "-m", "vivant.apps.cli", "ui", "--port", "0", "--device", "cpu", "--preset", args.preset]
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            measure(server.stdout.readline().strip(), server.pid, path, camera(Path(folder)), args)
        finally:
            server.terminate()
            server.wait(20)
    return 0


def camera(folder: Path) -> Path:
    """The bundled speaker as a fake camera's file."""
    import cv2

    from vivant.media.video import open_clip
    from vivant.weights.assets import asset

    path = folder / "camera.mjpeg"
    with path.open("wb") as file:
        for frame in open_clip(asset("demo/driver.mp4")).frames:
            file.write(cv2.imencode(".jpg", frame[..., ::-1])[1].tobytes())
    return path


def measure(address: str, pid: int, browser: str, film: Path, args: Any) -> None:
    """All measurements in one browser."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
             f"--use-file-for-fake-video-capture={film}"]  # fmt: skip
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=flags)
        if not args.only_shots:
            print("| what | value |\n|---|---|")
            edits(chromium, address, args.edits)
            for whole in (False, True):
                live(chromium, address, pid, args, whole)
        if args.shots:
            shots(chromium, address, Path(args.shots), args)
        chromium.close()


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def middle(numbers: list[float]) -> str:
    """Median, and the largest of 95 of 100."""
    ordered = sorted(numbers)
    return f"{statistics.median(ordered):.0f} ms (95 of 100 under {ordered[int(0.95 * (len(ordered) - 1))]:.0f} ms)"


def edits(chromium: Any, address: str, count: int) -> None:
    """A slider is moved; how long until the server has the picture, and until the page shows it."""
    page = chromium.new_page()
    page.goto(address)
    page.get_by_role("tab", name="Edit").click()
    page.locator("#edit-example").click()
    page.locator("#edit-result img").wait_for()
    yaw = page.get_by_role("spinbutton", name="Yaw").first
    server, shown = [], []
    for number in range(count + 2):
        before = page.locator("#edit-result img").get_attribute("src")
        yaw.fill(str(number % 20 - 10 or 15))
        begin = time.perf_counter()
        yaw.press("Tab")
        page.wait_for_function("src => document.querySelector('#edit-result img').src !== src", arg=before)
        if number >= 2:  # the first ones warm up
            shown.append(1000 * (time.perf_counter() - begin))
            server.append(float(page.locator("#edit-took").inner_text().split()[2]))
    print(f"| preview of an edit, on the server | {middle(server)} |")
    print(f"| preview of an edit, from the key to the picture in the page | {middle(shown)} |")
    print(f"| load of the machine meanwhile ({os.cpu_count()} cores) | {os.getloadavg()[0]:.1f} |", flush=True)
    page.close()


def start_live(page: Any, address: str, preset: str, whole: bool) -> None:
    """The live page with the example photo, running."""
    page.goto(address + "live")
    page.locator("#example").click()
    page.locator("#start:enabled").wait_for()
    page.locator("#preset").select_option(preset)
    page.locator("#whole").set_checked(whole)
    page.locator("#start").click()
    page.wait_for_function("vivantLive.count > 10", timeout=120_000)


def live(chromium: Any, address: str, pid: int, args: Any, whole: bool) -> None:
    """Frames per second and delay over some seconds."""
    page = chromium.new_context(permissions=["camera"]).new_page()
    start_live(page, address, args.preset, whole)
    first, begin, spent = page.evaluate("vivantLive.count"), time.perf_counter(), cpu_seconds(pid)
    delays: list[float] = []
    while time.perf_counter() - begin < args.seconds:
        page.wait_for_timeout(1900)
        delays += page.evaluate("vivantLive.shown.map(row => row.delay)")
    took, frames = time.perf_counter() - begin, page.evaluate("vivantLive.count") - first
    cost = 1000 * (cpu_seconds(pid) - spent) / max(1, frames)
    name = "live, whole photo 384x384" if whole else "live, square 256x256"
    print(f"| {name}: frames per second over {took:.0f} s | {frames / took:.1f} |")
    print(f"| {name}: delay from camera to page | {middle(delays)} |")
    print(f"| {name}: processor time of the server a frame | {cost:.0f} ms |")
    print(f"| load of the machine meanwhile | {os.getloadavg()[0]:.1f} |", flush=True)
    page.close()


def shots(chromium: Any, address: str, folder: Path, args: Any) -> None:
    """Pictures of the page for docs/images."""
    for name, size in (("desktop", (1180, 760)), ("phone", (390, 780))):
        phone = name == "phone"
        page = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, is_mobile=phone, permissions=["camera"]
        ).new_page()
        page.goto(address)
        page.locator("#animate-example").click()
        page.locator("#animate-faces img").wait_for()
        page.locator("#driving-example").click()
        page.locator("#driving-video video").wait_for()
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(800)
        page.screenshot(path=folder / f"ui_animate_{name}.jpg", type="jpeg", quality=70)
        page.get_by_role("tab", name="Edit").click()
        page.locator("#edit-result img").wait_for()
        before = page.locator("#edit-result img").get_attribute("src")
        for label, value in (("Smile", "1.1"), ("Yaw", "14")):
            page.get_by_role("spinbutton", name=label).first.fill(value)
            page.get_by_role("spinbutton", name=label).first.press("Tab")
        page.wait_for_function("src => document.querySelector('#edit-result img').src !== src", arg=before)
        page.wait_for_timeout(2500)
        page.evaluate(
            "window.scrollTo(0, 0)" if not phone else "document.querySelector('#edit-method').scrollIntoView()"
        )
        page.wait_for_timeout(300)
        page.screenshot(path=folder / f"ui_edit_{name}.jpg", type="jpeg", quality=70)
        start_live(page, address, args.preset, False)
        page.evaluate("window.scrollTo(0, 0)")
        page.wait_for_timeout(3000)
        page.screenshot(path=folder / f"ui_live_{name}.jpg", type="jpeg", quality=70)
        page.close()


if __name__ == "__main__":
    sys.exit(main())
