"""``vivant finetune`` from a video to weights that animate."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from vivant.apps.cli import main
from vivant.core.clip import Audio
from vivant.data.manifest import read_manifest
from vivant.media.audio import read_audio
from vivant.media.video import open_clip
from vivant.media.writer import VideoWriter
from vivant.weights.assets import asset


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Thirty frames of the bundled speaker with their sound."""
    path = tmp_path_factory.mktemp("recording") / "me.mp4"
    sound = read_audio(asset("demo/driver.mp4"), 16_000, mono=True).samples[: 30 * 640]
    with VideoWriter(path, 25, audio=Audio(sound, 16_000)) as writer:
        for frame in islice(open_clip(asset("demo/driver.mp4")).frames, 30):
            writer.write(frame)
    return path


def words(recording: Path, out: Path, *more: str) -> list[str]:
    fixed = ["finetune", str(recording), "-o", str(out), "--preset", "tiny", "--device", "cpu", "--workers", "1"]
    return [*fixed, "--steps", "2", "--set", "stage.batch=2", "--set", "stage.sample_every=0", *more]


def test_one_command_from_a_clip_to_weights_that_animate(recording, portrait_path, driver_path, tmp_path, capsys):
    out = tmp_path / "me"
    quick = ["--set", "stage.loss_weights.perceptual=0", "--set", "stage.loss_weights.regions=0"]
    assert main(words(recording, out, *quick, "--licence", "mine", "--consent", "I am it")) == 0, (
        capsys.readouterr().err
    )
    said = capsys.readouterr().out
    rows = read_manifest(out / "data")
    assert sum(row.frames for row in rows) == 30 and {row.group for row in rows} == {"person"}
    assert {(row.licence, row.consent, row.split) for row in rows} == {("mine", "I am it", "train")}
    assert "Learning " in said and f"--weights {out / 'run' / 'weights.safetensors'}" in said
    log = [json.loads(line) for line in (out / "run" / "finetune" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["step"] == 2 and log[-1]["total"] > 0
    command = ["animate", "-s", str(portrait_path), "-d", str(driver_path), "-o", str(tmp_path / "a.mp4")]
    assert main([*command, "--preset", "tiny", "--weights", str(out / "run" / "weights.safetensors")]) == 0
    assert (tmp_path / "a.mp4").stat().st_size > 0
    assert main(words(recording, out)) == 2 and "holds a run already" in capsys.readouterr().err
    assert main(words(recording, out, *quick, "--resume")) == 0  # nothing is left to do


def test_a_diffusion_method_learns_low_rank_additions(recording, portrait_path, tmp_path, capsys):
    out = tmp_path / "me"
    assert main(words(recording, out, "--method", "v-express", "--set", "stage.lora_rank=2")) == 0, (
        capsys.readouterr().err
    )
    lora = out / "run" / "lora"
    assert f"--lora {lora}" in capsys.readouterr().out and not (out / "run" / "weights.safetensors").exists()
    assert (lora / "denoising_unet" / "adapter_config.json").is_file()
    command = ["animate", "-s", str(portrait_path), "-a", str(recording), "-o", str(tmp_path / "a.mp4")]
    command += ["--method", "v-express", "--preset", "tiny", "--lora", f"{lora}:0.5", "--steps", "1"]
    assert main(command) == 0, capsys.readouterr().err


def test_what_cannot_be_learned_from_is_one_sentence(recording, tmp_path, capsys):
    assert main(words(recording, tmp_path / "a", "--method", "photo-rig")) == 2
    assert "use live-portrait or v-express" in capsys.readouterr().err
    empty = tmp_path / "empty.mp4"
    with VideoWriter(empty, 25) as writer:
        for frame in islice(open_clip(recording).frames, 30):
            writer.write(frame * 0 + 90)
    assert main(words(empty, tmp_path / "b")) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and said.strip()
    assert main(words(recording, tmp_path / "c", "--person", "nobody")) == 2
    assert "Nobody is called 'nobody'" in capsys.readouterr().err
