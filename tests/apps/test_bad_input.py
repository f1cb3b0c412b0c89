"""Bad input at the command line: exit code 2, one sentence on stderr, nothing half-written."""

import os
import pickle
import wave

import cv2
import numpy as np
import pytest

from vivant.media.image import write_image
from vivant.media.writer import VideoWriter

TINY = ("--preset", "tiny", "--quiet")


def picture(path, image):
    write_image(path, image)
    return path


def video(path, frames, fps=25):
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def silence(path, seconds=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(2 * 16_000 * seconds))
    return path


GREY = np.full((120, 160, 3), 128, np.uint8)


def test_no_face(refused, tmp_path, driver_path):
    source = picture(tmp_path / "wall.png", GREY)
    text = refused("animate", "-s", source, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    assert "No face was found in wall.png (160x120 px)" in text


def test_face_too_small(refused, tmp_path, portrait, driver_path):
    small = np.full((150, 150, 3), 90, np.uint8)
    small[50:98, 50:98] = cv2.resize(portrait, (48, 48), interpolation=cv2.INTER_AREA)
    source = picture(tmp_path / "far.png", small)
    text = refused("animate", "-s", source, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    assert "far.png (150x150 px)" in text and "under 32" in text and "higher resolution" in text


def test_profile(refused, tmp_path, portrait_path, driver_path, monkeypatch):
    from types import SimpleNamespace

    from vivant.perception import pose

    monkeypatch.setattr(pose, "head_pose", lambda landmarks: SimpleNamespace(yaw=-71.0))
    text = refused("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    assert "portrait.jpg (384x384 px) is turned by 71 degrees, a profile" in text


def test_one_pixel(refused, tmp_path, driver_path):
    source = picture(tmp_path / "dot.png", GREY[:1, :1])
    assert "No face was found in dot.png (1x1 px)" in refused(
        "animate", "-s", source, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY
    )


def test_missing_source_and_driver(refused, tmp_path, portrait_path):
    text = refused("animate", "-s", tmp_path / "a.jpg", "-d", portrait_path, "-o", tmp_path / "o.mp4", *TINY)
    assert "a.jpg does not exist" in text
    text = refused("animate", "-s", portrait_path, "-d", tmp_path / "b.mp4", "-o", tmp_path / "o.mp4", *TINY)
    assert "b.mp4 does not exist" in text


def test_directory_without_pictures(refused, tmp_path, portrait_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    assert "empty" in refused("animate", "-s", portrait_path, "-d", folder, "-o", tmp_path / "out.mp4", *TINY)


@pytest.mark.parametrize("content", [b"", os.urandom(4000)], ids=["empty", "noise"])
def test_damaged_driver(refused, tmp_path, portrait_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    assert "bad.mp4" in refused("animate", "-s", portrait_path, "-d", path, "-o", tmp_path / "out.mp4", *TINY)


def test_video_cut_before_its_index(refused, tmp_path, portrait_path, driver_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes(driver_path.read_bytes()[:600])
    assert "cut.mp4" in refused("animate", "-s", portrait_path, "-d", path, "-o", tmp_path / "out.mp4", *TINY)


def test_driver_without_any_face(refused, tmp_path, portrait_path):
    path = video(tmp_path / "walls.mp4", [GREY] * 3)
    assert "No face was found in any of the 3 frames of walls.mp4" in refused(
        "animate", "-s", portrait_path, "-d", path, "-o", tmp_path / "out.mp4", *TINY
    )


@pytest.mark.parametrize("picture_alone", [False, True])
def test_driver_without_any_face_for_a_method_that_reads_it_while_it_draws(
    refused, tmp_path, portrait_path, picture_alone
):
    driver = picture(tmp_path / "wall.png", GREY) if picture_alone else video(tmp_path / "wall.mp4", [GREY] * 3)
    sound = ("-a", silence(tmp_path / "silence.wav")) if picture_alone else ()
    words = ("--method", "megactor-sigma", "-d", driver, *sound, "-o", tmp_path / "out.mp4", *TINY)
    assert "No face was found in any of the" in refused("animate", "-s", portrait_path, *words)


def test_face_index_that_is_not_there(refused, tmp_path, portrait_path, driver_path):
    words = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    text = refused(*words, "--face", "3")
    assert "no face 3 in portrait.jpg" in text and "0 at (" in text
    assert "largest, all or an index" in refused(*words, "--face", "left")


def test_outputs_that_cannot_be_written(refused, tmp_path, portrait_path, driver_path):
    words = ("animate", "-s", portrait_path, "-d", driver_path, *TINY)
    (tmp_path / "file").write_text("here")
    (tmp_path / "old.mp4").write_text("kept")
    (tmp_path / "folder.mp4").mkdir()
    assert "file" in refused(*words, "-o", tmp_path / "file" / "out.mp4")
    assert "folder" in refused(*words, "-o", tmp_path / "folder.mp4")
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "00000.png").write_text("kept")
    assert "or a new folder for pictures" in refused(*words, "-o", tmp_path / "frames")
    assert ".xyz" in refused(*words, "-o", tmp_path / "out.xyz")
    assert "exists already" in refused(*words, "-o", tmp_path / "old.mp4", "--no-overwrite")
    assert (tmp_path / "old.mp4").read_text() == "kept"
    assert "more frames than the image" in refused(*words, "-o", tmp_path / "out.png")


def test_weights_that_do_not_fit(refused, tmp_path, portrait_path, driver_path):
    from safetensors.numpy import save_file

    words = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    foreign, cut, missing = (tmp_path / name for name in ("a.safetensors", "b.safetensors", "c.safetensors"))
    save_file({"layer.weight": np.zeros((2, 2), np.float32)}, foreign)
    cut.write_bytes(foreign.read_bytes()[:40])
    assert "a.safetensors" in refused(*words, "--weights", foreign)
    assert "b.safetensors" in refused(*words, "--weights", cut)
    assert "c.safetensors" in refused(*words, "--weights", missing)


class Evil:
    """Would make a file when unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("option, name", [("--weights", "evil.pth"), ("-d", "evil.pkl")])
def test_pickles_with_code_never_run(refused, tmp_path, portrait_path, option, name):
    path = tmp_path / name
    path.write_bytes(pickle.dumps({"motion": Evil(tmp_path / "ran")}))
    others = () if option == "-d" else ("-d", portrait_path)
    assert name in refused("animate", "-s", portrait_path, *others, option, path, "-o", tmp_path / "o.mp4", *TINY)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "words, said",
    [
        (("--method", "live-portrat"), "Did you mean 'live-portrait'"),
        (("--preset", "tinny"), "Did you mean 'tiny'"),
        (("--slider.smile", "9"), "from -0.3 to 1.3"),
        (("--slider.smile", "wide"), "needs a number"),
        (("--slider.smlie", "1"), "--slider.smlie"),
        (("--region", "nose"), "nose"),
        (("--quality", "99"), "0 (best, largest) to 51"),
        (("--fps", "fast"), "fast"),
        (("--fps", "100000"), "100000"),
        (("--device", "abacus"), "abacus"),
        (("--dtype", "fp7"), "fp7"),
        (("--dtype", "fp16", "--device", "cpu"), "fp16 needs a GPU"),
        (("--multiplier", "nan"), "multiplier"),
        (("--batch-size", "0"), "batch"),
        (("--save-motion", "motion.bin"), ".safetensors"),
        (("--neutral-frame", "soon"), "soon"),
        (("--neutral-frame", "99"), "99"),
        (("-a", "speech.wav"), "not driven by audio"),
        (("--frobnicate",), "--frobnicate"),
    ],
)
def test_options_that_make_no_sense(refused, tmp_path, portrait_path, driver_path, words, said):
    base = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    base = (*base[:-3], "--quiet") if "--preset" in words else base
    assert said in refused(*base, *words)


def test_nothing_given(refused, portrait_path):
    assert "no portrait" in refused("animate", "-d", portrait_path)
    assert "give a driving video or picture (-d), sound (-a), or sliders." in refused(
        "animate", "-s", portrait_path, *TINY
    )
    for method, ways in (
        ("v-express", "give sound (-a)."),
        ("animate-anyone", "give a driving video or picture (-d)."),
        ("megactor-sigma", "give a driving video or picture (-d) or sound (-a)."),
    ):
        assert ways in refused("animate", "-s", portrait_path, "--method", method, *TINY)
    assert "invalid choice" in refused("animat")


def test_sliders_alone_need_a_still(refused, tmp_path, driver_path):
    text = refused("edit", "-s", driver_path, "--slider.smile", "1", "-o", tmp_path / "out.png", *TINY)
    assert "talk.mp4 is a video" in text


def test_interrupt_leaves_nothing(refused, tmp_path, portrait_path, driver_path, monkeypatch):
    from vivant.methods.live_portrait.generate import Generator

    def interrupted(self, *args, **kwargs):
        yield np.zeros((256, 256, 3), np.uint8)
        raise KeyboardInterrupt

    monkeypatch.setattr(Generator, "animate", interrupted)
    words = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    assert "Stopped" in refused(*words, code=130)


def test_the_output_may_not_be_an_input(refused, tmp_path, portrait_path, driver_path):
    driver = tmp_path / "talk.mp4"
    driver.write_bytes(driver_path.read_bytes())
    text = refused("animate", "-s", portrait_path, "-d", driver, "-o", driver, *TINY)
    assert "also an input" in text and driver.read_bytes() == driver_path.read_bytes()
    sound = refused("animate", "-s", portrait_path, "-a", driver, "-o", driver, *TINY)
    assert "also an input" in sound and driver.read_bytes() == driver_path.read_bytes()


@pytest.mark.parametrize(
    "name, said",
    [
        ("out.xyz", "unknown suffix '.xyz'"), ("out.png", "more frames than the image"), (".mp4", "is no output"),
        ("out.safetensors", "unknown suffix '.safetensors'"),
    ],
)  # fmt: skip
def test_an_impossible_output_is_refused_before_the_driver_is_read(
    refused, tmp_path, portrait_path, driver_path, monkeypatch, name, said
):
    monkeypatch.setattr("vivant.pipelines.animate.read_motion", None)
    assert said in refused("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / name, *TINY)


def test_a_name_that_begins_with_a_dash(refused):
    assert "is written ./-name" in refused("animate", "-s", "-me.jpg", "-d", "talk.mp4")


def test_motion_that_cannot_be_saved_is_told_first(refused, tmp_path, portrait_path, driver_path):
    (tmp_path / "file").write_text("not a folder")
    words = ("animate", "-s", portrait_path, "-d", driver_path, "-o", tmp_path / "out.mp4", *TINY)
    assert "Nothing can be written" in refused(*words, "--save-motion", tmp_path / "file" / "m.safetensors")


def test_a_published_template_needs_the_published_nets(refused, tmp_path, portrait_path):
    path = tmp_path / "motion.pkl"
    path.write_bytes(pickle.dumps({"motion": []}))
    assert "--preset released" in refused("animate", "-s", portrait_path, "-d", path, "-o", tmp_path / "o.mp4", *TINY)


def test_a_misspelled_slider_names_the_nearest(refused, tmp_path, portrait_path):
    text = refused("edit", "-s", portrait_path, "--slider.smil", "1", "-o", tmp_path / "out.png", *TINY)
    assert "'--slider.smil'" in text and "did you mean --slider.smile?" in text


def test_a_missing_camera(refused, tmp_path, portrait_path):
    text = refused("stream", "-s", portrait_path, "-d", "97", "-o", tmp_path / "o.mp4", "--preset", "tiny")
    assert "no camera 97" in text


@pytest.mark.parametrize("command", [("demo",), ("stream", "-s", "face.png", "-d", "talk.mp4")])
def test_no_or_negative_numbers_of_frames(refused, tmp_path, command):
    assert "--frames is -3" in refused(*command, "--frames", "-3", "-o", tmp_path / "o.mp4")


def test_a_stream_never_replaces_its_driver(refused, tmp_path, portrait_path, driver_path):
    driver = tmp_path / "talk.mp4"
    driver.write_bytes(driver_path.read_bytes())
    assert "also an input" in refused("stream", "-s", portrait_path, "-d", driver, "-o", driver, "--preset", "tiny")


def test_an_empty_path(refused, tmp_path, portrait_path):
    assert "path of the driver" in refused("animate", "-s", portrait_path, "-d", "", "-o", tmp_path / "o.mp4", *TINY)
