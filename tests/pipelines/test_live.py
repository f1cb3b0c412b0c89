"""Live use: the newest frame wins, every picture comes with its frame's tag, and the neutral face can be taken anew."""

import numpy as np
import pytest

from vivant.core.errors import ConfigError, MediaError, MissingExtraError
from vivant.pipelines.live import Live, Newest, decode_jpeg, encode_jpeg
from vivant.pipelines.load import load
from vivant.pipelines.virtual_camera import VirtualCamera


@pytest.fixture(scope="module")
def pipe():
    return load(preset="tiny", device="cpu")


def test_newest_forgets_what_nobody_fetched():
    place = Newest()
    assert place.put(1) is None and place.put(2) == 1
    assert place.get() == 2 and place.get(timeout=0.01) is None
    assert place.replaced == 1
    place.close()
    assert place.get() is None


def test_pictures_come_with_their_tags(pipe, portrait, driver_frames):
    live = Live(pipe, portrait)
    try:
        tags, pictures = [], []
        for index in range(8):
            frame = driver_frames[index % 5]
            dropped = live.offer(encode_jpeg(frame) if index % 2 else frame, index)
            assert dropped is None or dropped < index
            while (shown := live.results.get(timeout=0.5)) is not None:
                tags.append(shown.tag)
                pictures.append(shown.picture)
                assert shown.seen and shown.seconds > 0
    finally:
        live.close()
    assert tags == sorted(set(tags)) and len(tags) >= 6
    assert pictures[0].shape == (256, 256, 3)
    live.results.get()  # the frame that was in work when it ended
    assert live.error is None and live.results.get() is None


def test_calibrating_starts_from_the_next_face(pipe, portrait, driver_frames):
    """With the driver's own first face as neutral the portrait rests; after calibration it rests at another face."""

    def picture(*frames, calibrate_after=None):
        live = Live(pipe, portrait)
        last = None
        try:
            for index, frame in enumerate([*frames, frames[-1], frames[-1], frames[-1]]):
                if index == calibrate_after:
                    live.calibrate()
                live.offer(frame, index)
                last = live.results.get(timeout=1.0) or last
        finally:
            live.close()
        return last.picture.astype(float)

    a, b = driver_frames[0], np.ascontiguousarray(np.roll(driver_frames[3], 30, axis=1))
    rest = picture(a)
    moved, calibrated = picture(a, b), picture(a, b, calibrate_after=2)
    assert np.abs(calibrated - rest).mean() < np.abs(moved - rest).mean()


def test_the_late_stream_has_the_same_frames(pipe, portrait, driver_frames):
    from vivant.pipelines.inputs import as_clip
    from vivant.pipelines.sources import still_portrait
    from vivant.pipelines.stream import causal_crops

    crop = still_portrait(pipe.finder, as_clip(portrait, "source"), pipe.config, "largest", "x").crops[0]
    blank = np.zeros_like(driver_frames[0])
    crops = list(causal_crops([driver_frames[0], blank, *driver_frames], 25, pipe.config.driving_crop, 256))
    now = list(pipe.generator.stream(crop, iter(crops)))
    late = list(pipe.generator.stream_late(crop, iter(crops)))
    assert len(now) == len(late) == 7
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(now, late)) <= 2
    assert not list(pipe.generator.stream_late(crop, iter([])))


def test_wrong_wishes_are_refused(pipe, portrait, driver_path):
    with pytest.raises(ConfigError, match="one face"):
        Live(pipe, portrait, face="all")
    with pytest.raises(ConfigError, match="is a video"):
        Live(pipe, driver_path)
    with pytest.raises(MediaError, match="no JPEG"):
        decode_jpeg(b"\xff\xd8 and then nothing")
    with pytest.raises(MediaError, match="at most"):
        decode_jpeg(encode_jpeg(np.zeros((1200, 1930, 3), np.uint8)))


def test_virtual_camera(monkeypatch):
    import sys
    import types

    sent = []

    class Camera:
        def __init__(self, width, height, fps):
            self.width, self.height = width, height

        def send(self, picture):
            sent.append(picture)

        def close(self):
            sent.append("closed")

    monkeypatch.setitem(sys.modules, "pyvirtualcam", types.SimpleNamespace(Camera=Camera))
    camera = VirtualCamera()
    camera.send(np.zeros((64, 48, 3), np.uint8))
    with pytest.raises(MediaError, match="not 64x64"):
        camera.send(np.zeros((64, 64, 3), np.uint8))
    camera.close()
    assert sent[0].shape == (64, 48, 3) and sent[-1] == "closed"
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MissingExtraError, match="camera"):
        VirtualCamera()
