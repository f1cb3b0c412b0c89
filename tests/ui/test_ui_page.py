"""The page in a real browser: every tab from upload to download."""

from vivant.media.video import open_clip


def test_animate_from_upload_to_download(page, portrait_path, driver_path, tmp_path):
    page.locator("#animate-photo input").set_input_files(portrait_path)
    page.locator("#animate-faces img").wait_for()
    assert page.get_by_label("Face 0").is_checked()
    page.locator("#driving-video input[type=file]").set_input_files(driver_path)
    page.locator("#driving-video video").wait_for()
    page.locator("#animate-go").click()
    page.locator("#animate-result video").wait_for()
    with page.expect_download() as waiting:
        page.locator("#animate-download").click()
    waiting.value.save_as(tmp_path / "result.mp4")
    clip = open_clip(tmp_path / "result.mp4")
    assert len(list(clip.frames)) == 5 and clip.audio is not None
    assert "5 frames" in page.locator("#animate-notes").inner_text()
    assert "talk.mp4" in waiting.value.suggested_filename or "talk" in waiting.value.suggested_filename
