"""The live page with a file as the camera: frames arrive, they move, and the neutral pose can be taken anew."""

import base64
import io
from itertools import pairwise

import numpy as np
from PIL import Image

GRAB = "document.getElementById('result').toDataURL('image/png')"


def shown(frame):
    """The portrait that the page shows now, (H, W, 3)."""
    data = frame.evaluate(GRAB).split(",", 1)[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def open_live(page):
    page.get_by_role("tab", name="Live").click()
    frame = page.wait_for_selector("iframe.vivant-live").content_frame()
    frame.wait_for_url("**/live")
    frame.locator("#method option").first.wait_for(state="attached")
    return frame


def live_frame(page, preset):
    frame = open_live(page)
    frame.locator("#example").click()
    frame.locator("#start:enabled").wait_for()
    frame.locator("#preset").select_option(preset)
    return frame


def count(frame):
    return frame.evaluate("vivantLive.count")


def test_camera_moves_the_portrait(page, wait_until):
    frame = live_frame(page, "lite")
    frame.locator("#start").click()
    wait_until(lambda: count(frame) >= 3, 60)
    pictures = [shown(frame)]
    for more in (10, 20, 30):
        wait_until(lambda more=more: count(frame) >= more, 60)
        pictures.append(shown(frame))
    assert pictures[0].shape == (256, 256, 3)
    face = [picture[64:216, 64:192].astype(float) for picture in pictures]
    moved = [np.abs(a - b).mean() for a, b in pairwise(face)]
    assert max(moved) > 1.0, moved  # grey levels; the same picture sent again differs by 0
    assert frame.locator("#seen").inner_text() == "seen"
    assert 0 < float(frame.locator("#delay").inner_text().split()[0]) < 10_000
    assert float(frame.locator("#fps").inner_text()) > 0
    frame.locator("#neutral").click()
    before = count(frame)
    wait_until(lambda: count(frame) >= before + 3, 60)
    frame.locator("#stop").click()
    frame.locator("#status").get_by_text("Stopped").wait_for()


def test_the_whole_photo_and_a_wrong_portrait(page, wait_until, tmp_path, portrait_path):
    frame = live_frame(page, "tiny")
    frame.locator("#portrait").set_input_files({"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no picture"})
    frame.locator("#problem:not([hidden])").wait_for()
    assert "live-" in frame.locator("#problem").inner_text()
    frame.locator("#portrait").set_input_files(portrait_path)
    frame.locator("#problem[hidden]").wait_for(state="attached")
    frame.locator("#whole").check()
    frame.locator("#start").click()
    wait_until(lambda: count(frame) >= 5, 60)
    assert shown(frame).shape == (384, 384, 3)
    frame.locator("#stop").click()


def test_microphone_moves_the_portrait(page, wait_until):
    """With Chromium's fake microphone, which beeps; the tiny preset paints noise, but moves with the sound."""
    frame = open_live(page)
    frame.locator("#drive").select_option("microphone")
    frame.locator("#example").click()
    frame.locator("#start:enabled").wait_for()
    assert frame.locator("#method").input_value() == "speech-portrait"
    assert frame.locator("#preset").input_value() == "lite"
    assert not frame.locator("#view").is_visible(), "an empty camera picture stands beside the portrait"
    frame.locator("#preset").select_option("tiny")
    frame.locator("#start").click()
    wait_until(lambda: count(frame) >= 5, 90)
    first = shown(frame)
    wait_until(lambda: count(frame) >= 20, 60)
    assert first.shape == (256, 256, 3) and (shown(frame) != first).any()
    assert 0 < float(frame.locator("#delay").inner_text().split()[0]) < 20_000
    frame.locator("#stop").click()
