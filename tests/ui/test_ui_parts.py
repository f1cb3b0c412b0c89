"""What stands behind the page, without a browser: forms, settings, work that is followed, faces, the live socket."""

import json
import struct
import time
from dataclasses import fields

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the extra 'ui' is not installed")

from vivant.apps.cli import main
from vivant.apps.ui.desk import Desk
from vivant.apps.ui.work import Stopped, Work
from vivant.core.errors import ConfigError, FaceError
from vivant.core.registry import all_methods, get_method
from vivant.pipelines.progress import bar


@pytest.fixture(scope="module")
def desk():
    with Desk("cpu", "tiny") as made:
        yield made


@pytest.fixture(scope="module")
def client(desk):
    from fastapi import FastAPI
    from starlette.testclient import TestClient

    from vivant.apps.ui.live import add_live

    app = FastAPI()
    app.state.room = add_live(app, desk)
    with TestClient(app) as made:
        yield made


@pytest.fixture(scope="module")
def couple(portrait):
    """Two faces, the right one smaller."""
    import cv2

    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    right = np.full((384, 240, 3), 90, np.uint8)
    right[60:300] = small[:, ::-1]
    return np.concatenate([portrait, right], axis=1)


def test_forms_show_every_option_and_slider_of_every_method():
    import gradio as gr

    from vivant.apps.ui.forms import MethodForm

    for spec in all_methods().values():
        config = spec.part("config")
        with gr.Blocks():
            form = MethodForm(spec)
            form.add_options()
            if spec.capabilities.sliders:
                form.add_sliders()
        shown = {name for group, name in form.components if group == "options"}
        options = {item.name for item in fields(config.Options)} - {"sliders", "seed"}
        assert len(shown) == len(options)
        if spec.capabilities.sliders:
            assert {n for g, n in form.components if g == "sliders"} == {f.name for f in fields(config.Sliders)}
        assert form.changed(form.usual, "options", "sliders", "strength") == {}
        assert form.filled({}) == {key: "" if value is None else value for key, value in form.usual.items()}


def test_form_values_become_the_words_of_a_job():
    import gradio as gr

    from vivant.apps.ui.forms import MethodForm

    with gr.Blocks():
        form = MethodForm(get_method("live-portrait"))
        form.add_options()
        form.add_sliders()
    values = {**form.usual, ("options", "stitching"): False, ("sliders", "yaw"): 9, ("sliders", "eyes_ratio"): ""}
    assert form.changed(values, "options", "sliders") == {"options": {"stitching": False}, "sliders": {"yaw": 9}}
    assert form.filled({"sliders": {"yaw": 9}})["sliders", "yaw"] == 9
    with pytest.raises(ConfigError, match="from -25 to 25"):
        form.filled({"sliders": {"yaw": 99}})


@pytest.mark.parametrize("text", ["", "[]", '{"method": "nobody"}', '{"quality": "best"}', '{"strange": 1}'])
def test_settings_that_make_no_sense_are_refused(text, tmp_path):
    from vivant.apps.ui.settings import read_settings

    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ConfigError):
        read_settings(tmp_path / "x.json")


def test_settings_never_bring_paths(tmp_path):
    from vivant.apps.ui.settings import read_settings

    row = {"source": "/etc/passwd", "output": "/tmp/x.mp4", "weights": "/tmp/w", "quality": 20}
    (tmp_path / "x.json").write_text(json.dumps(row))
    assert read_settings(tmp_path / "x.json") == {"quality": 20}


def counted(number, seconds=0.0):
    for _ in bar(range(number), number, "count", False):
        time.sleep(seconds)
    return number


def test_work_tells_progress_and_time_left():
    work = Work(lambda: counted(30, 0.1))
    seen = list(work.updates(0.05))
    assert work.result == 30
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    late = [step for step in seen if step.left is not None]
    assert late and all(0 <= step.left < 10 for step in late)
    assert "of 30" in seen[-1].words() and "left" in late[-1].words()


def test_cancelled_work_stops():
    work = Work(lambda: counted(1000, 0.02))
    with pytest.raises(Stopped):
        for _ in work.updates(0.05):
            work.cancel()
    assert not work.running and work.result is None


def test_work_that_nobody_follows_any_more_stops():
    work = Work(lambda: counted(1000, 0.02))
    updates = work.updates(0.01)
    next(updates)
    updates.close()
    work._thread.join(5)
    assert not work.running


def test_one_piece_of_work_a_visitor(desk):
    first = desk.begin("me", Work(lambda: counted(1000, 0.02)))
    updates = first.updates(0.01)
    next(updates)
    with pytest.raises(ConfigError, match="still being made"):
        desk.begin("me", Work(lambda: None))
    desk.begin("you", Work(lambda: None))
    desk.cancel("me")
    with pytest.raises(Stopped):
        list(updates)


def test_results_are_removed_after_a_day(desk):
    import os

    old, new = desk.place("a.mp4"), desk.place("a.mp4")
    assert old != new
    os.utime(old.parent, (1, 1))
    assert desk.place("b.mp4").parent.is_dir() and new.parent.is_dir() and not old.parent.exists()


def test_faces_are_found_marked_and_chosen(desk, couple):
    from vivant.pipelines.preview import annotated, crop_and_mask

    found = desk.look(couple)
    assert len(found.faces) == 2 and [which for _, which in found.labels()] == ["0", "1", "all"]
    assert found.face_at(504, 190) == 1 and found.face_at(2, 2) is None
    marked, scale = annotated(found, "1", 312)
    assert marked.shape == (192, 312, 3) and scale == 0.5
    config = get_method("live-portrait").part("config").PRESETS["lite"]
    squares, mask = crop_and_mask(config, found, "all", 100)
    assert squares.shape == (100, 200, 3) and max(mask.shape) == 100
    alone = crop_and_mask(config, found, "1", 624)[1].astype(int)
    assert np.abs(alone[190, 504] - couple[190, 504].astype(int)).max() <= 1
    assert alone[190, 100].sum() < couple[190, 100].sum() * 0.4
    with pytest.raises(FaceError):
        desk.look(np.full((64, 64, 3), 128, np.uint8))


def test_an_edited_photo_is_prepared_once(desk, portrait):
    found = desk.look(portrait)
    editor = desk.editor("live-portrait", "tiny", "a", "0", found)
    assert desk.editor("live-portrait", "tiny", "a", "0", found) is editor
    pipe = desk.pipe("live-portrait", "tiny")
    usual, turned = editor.picture(pipe.options()), editor.picture(pipe.options(sliders={"yaw": 15}))
    assert usual.shape == portrait.shape and (usual != turned).any()


def test_models_list_licence_and_size():
    from vivant.apps.ui.models_tab import bundled_rows, published_rows

    rows = {row[0]: row for row in (*bundled_rows(), *published_rows())}
    assert rows["live-portrait: lite"][4].endswith("MB") and rows["live-portrait: lite"][3] == "allowed"
    assert rows["live-portrait"][1] == "KwaiVGI/LivePortrait" and rows["live-portrait"][4].startswith("about 5")
    assert rows["v-express"][3] == "forbidden"


@pytest.fixture(scope="module")
def handlers():
    """What answers the page's events."""
    pytest.importorskip("gradio", reason="the extra 'ui' is not installed")
    from vivant.apps.ui.desk import Desk
    from vivant.apps.ui.page import build_page

    with Desk("cpu", "tiny") as desk:
        return list(build_page(desk).fns.values())


def test_sizes_of_weights_are_computed_for_who_looks_only(handlers):
    """They take seconds of processor time, which the first preview needs."""
    assert [event for made in handlers if made.name == "all_rows" for _, event in made.targets] == ["select"]


def test_the_answer_to_cancel_cannot_wipe_out_what_the_work_says(handlers):
    """It may come after the work's last word."""
    found = [made for made in handlers if made.name == "_cancel"]
    assert len(found) == 3 and not any(made.outputs for made in found)


def test_live_socket_moves_a_portrait(client, portrait_path, driver_frames):
    from vivant.pipelines.live import decode_jpeg, encode_jpeg

    answer = client.post("/live/portrait?name=a.jpg", content=portrait_path.read_bytes()).json()
    assert answer["faces"] == [{"label": answer["faces"][0]["label"], "face": "0"}] and answer["width"] == 384
    with client.websocket_connect("/live/socket") as socket:
        socket.send_text(json.dumps({"portrait": answer["id"], "face": "0", "preset": "tiny"}))
        assert json.loads(socket.receive_text()) == {"ready": True}
        came = []
        for stamp in range(1, 12):
            socket.send_bytes(struct.pack("<d", stamp) + encode_jpeg(driver_frames[stamp % 5]))
            time.sleep(0.15)
        socket.send_text(json.dumps({"calibrate": True}))
        while len(came) < 3:
            message = socket.receive()
            if message.get("bytes"):
                stamp, work, seen = struct.unpack_from("<dfB", message["bytes"])
                came.append(stamp)
                assert decode_jpeg(message["bytes"][13:]).shape == (256, 256, 3) and work > 0 and seen == 1
        assert came == sorted(came)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"portrait": "../../etc/passwd"}, "no such portrait"),
        ({"portrait": "example", "method": "nobody"}, "no method 'nobody'"),
        ({"portrait": "example", "preset": "huge"}, "no preset 'huge'"),
        ({"portrait": "example", "face": "7", "preset": "tiny"}, "no face 7"),
        ({"portrait": "example", "preset": "tiny", "strength": {"motion": "much"}}, "needs a number"),
    ],
)
def test_live_says_what_is_wrong(client, words, said):
    with client.websocket_connect("/live/socket") as socket:
        socket.send_text(json.dumps(words))
        assert said in json.loads(socket.receive_text())["problem"]


def test_live_refuses_other_sites_and_bad_portraits(client):
    from starlette.websockets import WebSocketDisconnect

    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/live/socket", headers={"origin": "https://elsewhere.example"}),
    ):
        pass
    bad = client.post("/live/portrait?name=../../x.jpg", content=b"no picture")
    assert bad.status_code == 422 and bad.json()["problem"]
    assert client.post("/live/portrait", content=b"").status_code == 422
    large = client.post("/live/portrait", content=b"0" * ((32 << 20) + 1))
    assert large.status_code == 422 and "32 MB" in large.json()["problem"]
    assert client.get("/live/file/desk.py").status_code == 404


def test_command_refuses_what_it_cannot_serve(capsys, monkeypatch):
    import socket
    import sys

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["ui", "--port", str(taken.getsockname()[1]), "--device", "cpu"]) == 2
    assert "is in use" in capsys.readouterr().err
    assert main(["ui", "--port", "70000"]) == 2
    assert main(["ui", "--preset", "huge"]) == 2
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert main(["ui"]) == 2
    assert "vivant[ui]" in capsys.readouterr().err
