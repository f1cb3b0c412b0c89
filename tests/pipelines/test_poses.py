"""`vivant poses`: a video of a rendered person read, kept, drawn, fitted to a photograph."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vivant.apps.cli import main
from vivant.controls.openpose import PoseTrack
from vivant.core.errors import ConfigError
from vivant.data.figures.clips import Style, draw_shot
from vivant.media.image import read_image, write_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.pipelines.poses import fitted, make_reader, read_poses

BODIES = Path(__file__).parents[1] / "data" / "bodies"


@pytest.fixture(scope="module")
def dance(tmp_path_factory):
    """Four frames of a rendered person as a video, and the exact skeletons (4, 128, 3) in pixels."""
    style = Style(frames=4, fps=Fraction(30000, 1001), size=256, supersample=1, kinds=("wave",))
    path = tmp_path_factory.mktemp("dance") / "dance.mp4"
    truth = []
    with VideoWriter(path, style.fps, quality=12) as writer:
        for frame, points in draw_shot(2, 2, style, 4).frames(1):
            writer.write(frame.image)
            truth.append(points)
    points = np.stack(truth)
    points[..., :2] = (points[..., :2] + 1) * 128
    return path, points


@pytest.fixture(scope="module")
def kept(dance, tmp_path_factory):
    out = tmp_path_factory.mktemp("kept")
    words = ["poses", str(dance[0]), "-o", str(out / "p.safetensors"), "-o", str(out / "p.mp4"), "--quiet"]
    assert main(words) == 0
    return out


def test_poses_are_kept_exactly_timed_and_near_the_truth(dance, kept):
    track = PoseTrack.load(kept / "p.safetensors")
    assert len(track) == 4 and track.fps == Fraction(30000, 1001) and track.size == (256, 256)
    both = (track.points[..., 2] > 0.5) & (dance[1][..., 2] == 1)
    apart = np.linalg.norm(track.points[..., :2] - dance[1][..., :2], axis=-1)
    assert both[:, :18].mean() > 0.5 and np.median(apart[both]) < 5


def test_drawings_fill_the_video(kept):
    clip = open_clip(kept / "p.mp4")
    frames = np.stack(list(clip.frames))
    assert frames.shape == (4, 256, 256, 3) and clip.fps == Fraction(30000, 1001)
    wanted = np.stack(list(PoseTrack.load(kept / "p.safetensors").drawings()))
    assert np.abs(frames.astype(float) - wanted).mean() < 4


def test_kept_poses_are_drawn_again_and_over_needs_the_video(kept, dance, tmp_path, capsys):
    assert main(["poses", str(kept / "p.safetensors"), "-o", str(tmp_path / "again.gif"), "--quiet"]) == 0
    assert main(["poses", str(dance[0]), "-o", str(tmp_path / "over.mp4"), "--over", "--no-face", "--quiet"]) == 0
    over = np.stack(list(open_clip(tmp_path / "over.mp4").frames)).astype(int)
    assert np.abs(over - np.stack(list(open_clip(dance[0]).frames))).mean() > 5
    assert main(["poses", str(kept / "p.safetensors"), "-o", str(tmp_path / "x.mp4"), "--over", "--quiet"]) == 2
    assert "leave out --fit" in capsys.readouterr().err


def test_poses_take_the_proportions_of_a_photograph(kept):
    track = PoseTrack.load(kept / "p.safetensors")
    fit = fitted(track, BODIES / "signing_man.jpg")
    assert fit.size == (480, 640)
    shoulders = np.linalg.norm(fit.points[:, 2, :2] - fit.points[:, 5, :2], axis=-1)
    assert np.abs(shoulders - 159).max() < 25  # of the man, in his picture
    assert np.linalg.norm(fit.points[0, 1, :2] - [322, 198]) < 15


def test_bad_input_is_one_sentence(tmp_path, capsys, kept):
    nobody = tmp_path / "wall.png"
    write_image(nobody, np.full((120, 120, 3), 90, np.uint8))
    for words, said in (
        (["poses", str(nobody), "-o", str(tmp_path / "a.safetensors")], "Nobody was found in any frame"),
        (["poses", str(tmp_path / "no.mp4"), "-o", str(tmp_path / "a.safetensors")], "does not exist"),
        (["poses", str(kept / "p.safetensors"), "-o", str(tmp_path / "a.png")], "more than the picture"),
        (["poses", str(kept / "p.mp4"), "-o", str(tmp_path / "a.mp4"), "--smooth", "-1"], "0 or more"),
        (["poses", str(kept / "p.safetensors"), "-o", str(tmp_path / "a.mp4"), "--fit", str(nobody)], "Nobody"),
    ):
        assert main([*words, "--quiet"]) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    assert not list(tmp_path.glob("a.*"))
    with pytest.raises(ConfigError, match="no reader"):
        make_reader("openpose")


def test_a_picture_is_one_frame(tmp_path):
    track, missing = read_poses(BODIES / "signing_woman.jpg")
    assert len(track) == 1 and not missing
    out = tmp_path / "pose.png"
    assert main(["poses", str(BODIES / "signing_woman.jpg"), "-o", str(out), "--smooth", "0", "--quiet"]) == 0
    assert np.array_equal(read_image(out), track.drawings()[0])
