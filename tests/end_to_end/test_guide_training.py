"""The guide's section "Train on your own videos", line by line, on two short videos with the preset tiny."""

from __future__ import annotations

import re
import shlex
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vivant.apps.cli import main
from vivant.data.manifest import read_manifest
from vivant.media.image import read_image
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.weights.assets import asset

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide.md"
SMALL = ["--set", "preset=tiny", "--set", "stage.steps=2", "--set", "stage.batch=2", "--set", "stage.sample_every=0",
         "--set", "stage.loss_weights.perceptual=0", "--set", "stage.loss_weights.regions=0",
         "--device", "cpu", "--workers", "1"]  # fmt: skip
ADDED = {
    "curate": ["--workers", "1"],
    "train": [*SMALL, "--dry-steps", "1"],
    "animate": ["--preset", "tiny"],
    "finetune": ["--preset", "tiny", *SMALL[2:]],
}
"""What makes a command small; everything else is as the guide says."""


def section() -> str:
    text = GUIDE.read_text(encoding="utf-8")
    return text[text.index("## Train on your own videos") : text.index("## Measure")]


def test_from_a_folder_to_a_result(tmp_path, monkeypatch, portrait_path, driver_path, capsys):
    monkeypatch.chdir(tmp_path)
    make_videos(tmp_path)
    (tmp_path / "face.jpg").write_bytes(portrait_path.read_bytes())
    (tmp_path / "talk.mp4").write_bytes(driver_path.read_bytes())
    for block in re.findall(r"```yaml\n(.*?)```", section(), re.DOTALL):
        name = block.splitlines()[0].removeprefix("# ")
        (tmp_path / name).write_text(block)
    lines = [line for block in re.findall(r"```bash\n(.*?)```", section(), re.DOTALL) for line in block.splitlines()]
    commands = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("vivant ")]
    assert [words[0] for words in commands] == ["curate", "train", "train", "train", "animate", "finetune"]
    for words in commands:
        assert main([*words, *ADDED[words[0]]]) == 0, (words, capsys.readouterr().err[-800:])
    rows = read_manifest(tmp_path / "data" / "mine")
    assert len({row.person for row in rows}) == 2
    assert all(row.licence == "own recordings" and row.consent == "release forms, 2026" for row in rows)
    for name in ("runs/mine/curation/report.html", "runs/mine/train/weights.safetensors", "out/mine.mp4",
                 "runs/me/run/weights.safetensors"):  # fmt: skip
        assert (tmp_path / name).stat().st_size > 0, name
    assert "Total: " in capsys.readouterr().out


def make_videos(folder: Path) -> None:
    """``videos/`` with the bundled speaker and the bundled portrait in motion, and ``me.mp4``."""
    frames = list(islice(open_clip(asset("demo/driver.mp4")).frames, 56))
    image = cv2.resize(read_image(asset("demo/portrait.jpg")), (344, 344), interpolation=cv2.INTER_AREA)
    moving = [np.ascontiguousarray(image[k // 2 : k // 2 + 288, k : k + 288]) for k in range(56)]
    (folder / "videos").mkdir()
    for name, pictures in (("videos/talk.mp4", frames), ("videos/walk.mp4", moving), ("me.mp4", frames[:30])):
        with VideoWriter(folder / name, 25) as writer:
            for picture in pictures:
                writer.write(picture)
