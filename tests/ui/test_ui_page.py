"""The page in a real browser: every tab from upload to download."""

import json
import zipfile

import numpy as np
import pytest

from vivant.media.image import read_image
from vivant.media.video import open_clip


def tab(page, name):
    page.get_by_role("tab", name=name).click()


def saved(page, press, path):
    """The file that pressing ``press`` downloads, kept as ``path``; its suggested name."""
    with page.expect_download() as waiting:
        press.click()
    waiting.value.save_as(path)
    return waiting.value.suggested_filename


def with_photo(page, path, name="animate"):
    page.locator(f"#{name}-photo input").set_input_files(path)
    page.locator(f"#{name}-faces img").wait_for()


@pytest.fixture(scope="module")
def couple(tmp_path_factory, portrait):
    """A picture with two faces, the right one smaller."""
    import cv2
    import numpy as np

    from vivant.media.image import write_image

    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    right = np.full((384, 240, 3), 90, np.uint8)
    right[60:300] = small[:, ::-1]
    path = tmp_path_factory.mktemp("couple") / "couple.png"
    write_image(path, np.concatenate([portrait, right], axis=1))
    return path


def test_animate_from_upload_to_download(page, portrait_path, driver_path, tmp_path):
    with_photo(page, portrait_path)
    assert page.get_by_label("Face 0").first.is_checked()
    page.locator("#driving-video input[type=file]").set_input_files(driver_path)
    page.locator("#driving-video video").wait_for()
    page.get_by_text("Method and settings").click()
    page.get_by_label("Side by side").check()
    page.locator("#animate-go").click()
    page.locator("#animate-result video").wait_for()
    name = saved(page, page.locator("#animate-download"), tmp_path / "result.mp4")
    clip = open_clip(tmp_path / "result.mp4")
    assert name == "portrait--talk.mp4" and clip.audio is not None
    assert clip.size == (384, 3 * 384) and len(list(clip.frames)) == 5
    assert "5 frames" in page.locator("#animate-notes").inner_text()
    record = page.locator("#animate-record a").first
    saved(page, record, tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text())["view"]["side_by_side"] is True


def test_face_is_chosen_by_click_and_by_keyboard(page, couple):
    with_photo(page, couple)
    picture = page.locator("#animate-faces img")
    box = picture.bounding_box()
    wide = 384 + 240
    picture.click(position={"x": box["width"] * (384 + 120) / wide, "y": box["height"] * 190 / 384})
    page.wait_for_function("document.querySelector('#animate-choice input:checked')?.value === '1'")
    page.locator("#crop-panel").get_by_text("Crop and paste-back").click()
    page.locator("#crop img").wait_for()
    page.locator("#mask img").wait_for()
    page.locator("#animate-choice input").first.focus()
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('#animate-choice input:checked')?.value === '0'")
    page.wait_for_timeout(500)  # the picture with the other mark is drawn
    picture.click(position={"x": 6, "y": picture.bounding_box()["height"] - 6})
    page.locator("#animate-message").get_by_text("no face at that place").wait_for()


def test_what_goes_wrong_is_said_in_the_page(page, portrait_path, driver_path, tmp_path, server):
    alert = page.locator("#animate-message [role=alert]")
    page.locator("#animate-go").click()
    alert.get_by_text("There is no photo").wait_for()
    (tmp_path / "broken.jpg").write_bytes(b"this is no picture")
    page.locator("#animate-photo input").set_input_files(tmp_path / "broken.jpg")
    alert.get_by_text("broken.jpg").wait_for()
    page.locator("#animate-example").click()
    page.locator("#animate-faces img").wait_for()
    page.locator("#animate-go").click()
    alert.get_by_text("Nothing drives the portrait").wait_for()
    page.locator("#drive").get_by_label("Text").check()
    page.locator("#driving-text textarea").wait_for()
    page.locator("#animate-go").click()
    alert.get_by_text("write a sentence").wait_for()
    assert not [line for line in server.lines if "Traceback" in line]


def test_cancel_leaves_nothing(page, server):
    page.locator("#animate-example").click()
    page.locator("#animate-faces img").wait_for()
    page.locator("#driving-example").click()
    page.locator("#driving-video video").wait_for()
    page.get_by_text("Method and settings").click()
    page.get_by_label("Frames per second").fill("240")  # long enough to be cancelled
    page.locator("#animate-go").click()
    page.locator("#animate-progress progress").wait_for()
    page.locator("#animate-cancel:enabled").click()
    page.locator("#animate-message").get_by_text("Cancelled").wait_for()
    assert page.locator("#animate-result video").count() == 0


def test_edit_from_slider_to_download_and_into_the_video(page, driver_path, tmp_path):
    tab(page, "Edit")
    page.locator("#edit-example").click()
    page.locator("#edit-result img").wait_for()
    before = page.locator("#edit-result img").get_attribute("src")
    yaw = page.get_by_role("spinbutton", name="Yaw").first
    yaw.fill("12")
    yaw.press("Tab")
    page.wait_for_function("src => document.querySelector('#edit-result img').src !== src", arg=before)
    page.locator("#edit-save").click()
    page.locator("#edit-download").wait_for()
    assert saved(page, page.locator("#edit-download"), tmp_path / "edit.png") == "portrait--edited.png"
    assert read_image(tmp_path / "edit.png").shape == (384, 384, 3)
    tab(page, "Animate")
    page.locator("#animate-faces img").wait_for()
    page.locator("#driving-video input[type=file]").set_input_files(driver_path)
    page.locator("#driving-video video").wait_for()
    page.locator("#animate-go").click()
    page.locator("#animate-record a").first.wait_for()
    saved(page, page.locator("#animate-record a").first, tmp_path / "record.json")
    assert json.loads((tmp_path / "record.json").read_text())["options"]["sliders"]["yaw"] == 12


@pytest.mark.parametrize("kind", ["Speech", "Text"])
def test_speech_and_text_drive(page, tmp_path, kind, wait_until):
    """By the small preset of a method without nets, whatever method is the usual one for sound."""
    import wave

    page.locator("#animate-example").click()
    page.locator("#animate-faces img").wait_for()
    page.locator("#drive").get_by_label(kind).check()
    if kind == "Text":
        from vivant.tts.engines import installed

        if not installed():
            pytest.skip("no text-to-speech engine is installed")
        page.locator("#driving-text textarea").fill("Hello.")
    else:
        with wave.open(str(tmp_path / "hum.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes((np.sin(np.arange(6400) / 8) * 9000).astype("<i2").tobytes())
        page.locator("#driving-audio input[type=file]").set_input_files(tmp_path / "hum.wav")
        page.locator("#driving-audio").get_by_label("Play").first.wait_for()
    page.get_by_text("Method and settings").click()
    page.get_by_label("Method", exact=True).first.click()
    page.get_by_role("option", name="Photo rig").click()
    wait_until(lambda: page.get_by_label("Preset").first.input_value() == "tiny (bundled)")
    page.locator("#animate-go").click()
    page.locator("#animate-download").wait_for(timeout=60_000)
    saved(page, page.locator("#animate-download"), tmp_path / "spoken.mp4")
    clip = open_clip(tmp_path / "spoken.mp4")
    assert len(list(clip.frames)) >= 10 and clip.audio is not None


def test_settings_are_saved_and_come_back(page, tmp_path):
    page.get_by_text("Method and settings").click()
    page.get_by_label("Square only").check()
    page.get_by_label("Stitching").first.uncheck()
    page.locator("#settings-save").click()
    saved(page, page.locator("#settings-file a").first, tmp_path / "mine.json")
    row = json.loads((tmp_path / "mine.json").read_text())
    assert row["crop_only"] is True and row["options"] == {"stitching": False} and row["preset"] == "tiny"
    page.reload()
    page.get_by_text("Method and settings").click()
    assert page.get_by_label("Stitching").first.is_checked()
    page.get_by_test_id("Load settings-upload-button").set_input_files(tmp_path / "mine.json")
    page.get_by_label("Square only").and_(page.locator(":checked")).wait_for()
    assert not page.get_by_label("Stitching").first.is_checked()
    (tmp_path / "other.json").write_text(json.dumps({"method": "live-portrait", "options": {"stiching": True}}))
    page.get_by_test_id("Load settings-upload-button").set_input_files(tmp_path / "other.json")
    page.locator("#animate-message").get_by_text("Did you mean 'stitching'?").wait_for()


def test_batch_from_upload_to_download(page, portrait_path, driver_path, tmp_path):
    (tmp_path / "empty.jpg").write_bytes(b"nothing")
    tab(page, "Batch")
    page.locator("#batch-photos input").set_input_files([portrait_path, tmp_path / "empty.jpg"])
    page.locator("#batch-driver input").set_input_files(driver_path)
    page.locator("#batch-photos").get_by_text("empty").wait_for()
    page.locator("#batch-driver").get_by_text("talk").wait_for()
    page.locator("#batch-go").click()
    page.locator("#batch-notes").get_by_text("1 done, 1 failed").wait_for()
    assert "empty" in page.locator("#batch-table").inner_text()
    saved(page, page.locator("#batch-download"), tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as packed:
        assert {"portrait.mp4", "portrait.mp4.json"} <= set(packed.namelist())


def test_models_show_licence_and_size_before_a_download(page):
    tab(page, "Models")
    table = page.locator("#models-table")
    table.get_by_text("18.3 MB").first.wait_for()
    assert "Apache-2.0" in table.inner_text()
    page.locator("#models-ask").click()
    page.locator("#models-message").get_by_text("Nothing is chosen").wait_for()
    page.get_by_label("Published weights to download").click()
    page.get_by_role("option", name="syncnet").click()
    page.locator("#models-ask").click()
    page.locator("#models-facts").get_by_text("2.1 kB").first.wait_for()
    page.locator("#models-go").click()
    page.locator("#models-message").get_by_text("accept it before").wait_for()
    page.get_by_label("I accept this licence").check()
    page.locator("#models-go").click()
    page.locator("#models-notes").get_by_text("Here now: syncnet").wait_for()


def test_evaluate_from_upload_to_report(page, driver_path, tmp_path):
    tab(page, "Evaluate")
    page.locator("#eval-made input[type=file]").set_input_files(driver_path)
    page.locator("#eval-true input[type=file]").set_input_files(driver_path)
    page.locator("#eval-true").get_by_text("talk").wait_for()
    page.get_by_label("Metrics").click()
    page.get_by_role("option", name="psnr", exact=True).click()
    page.get_by_label("Most frames").fill("3")
    page.locator("#eval-go").click()
    page.locator("#eval-report table").first.wait_for()
    saved(page, page.locator("#eval-files a").first, tmp_path / "results.json")
    assert json.loads((tmp_path / "results.json").read_text())


def test_nothing_comes_from_elsewhere(page, outside):
    assert outside == []
