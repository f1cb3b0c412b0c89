"""``vivant train`` as a person runs it: the tiny recipe, stopped and resumed, and over two processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from faces_folder import write_faces
from safetensors.torch import load_file

from vivant.core.errors import ConfigError
from vivant.data.dataset import FaceClips
from vivant.methods.live_portrait.config import PRESETS
from vivant.methods.live_portrait.train import STAGES
from vivant.methods.live_portrait.weights import load_modules
from vivant.pipelines.recipe import read_recipe
from vivant.pipelines.train import STOPPED, train
from vivant.weights.loading import read_metadata

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes" / "live_portrait"
TINY = RECIPES / "tiny.yaml"
BIN = Path(sys.executable).parent
# the terms that look through large nets are left out where only the loop is looked at
QUICK = [
    "--stage", "base", "--set", "stage.loss_weights.perceptual=0", "--set", "stage.loss_weights.regions=0",
    "--set", "stage.sample_every=0", "--log-every", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(portrait, driver_frames, tmp_path_factory) -> Path:
    return write_faces(tmp_path_factory.mktemp("faces"), portrait, driver_frames[:4])


def arguments(data: Path, out: Path, *more: str) -> list[str]:
    fixed = ["--data", str(data), "--out", str(out), "--device", "cpu", "--workers", "1"]
    return ["live-portrait", *fixed, *more]


def start(words: Sequence[str], launcher: Sequence[str] = ()) -> subprocess.Popen[str]:
    command = [*(launcher or [sys.executable, "-m"]), "vivant.apps.cli", "train", "--recipe", str(TINY), *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> int:
    try:
        _, said = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode in (0, STOPPED), said[-2000:]
    return process.returncode


def log(out: Path, stage: str = "base") -> list[dict]:
    path = out / stage / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def checkpoint(out: Path) -> dict[str, torch.Tensor]:
    folder = out / "base" / "checkpoints"
    latest = folder / (folder / "latest").read_text()
    return {f"{part}/{k}": v for part in ("modules", "averaged", "optimizer")
            for k, v in load_file(latest / f"{part}.safetensors").items()}  # fmt: skip


def test_the_tiny_recipe_runs_every_stage_and_leaves_usable_weights(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert train(TINY, arguments(data, out, "--log-every", "1")) == 0
    for stage in ("base", "stitching", "eyes", "lips"):
        rows = log(out, stage)
        assert rows and all(row["total"] == row["total"] for row in rows), stage
    assert set(log(out)[0]) >= set(STAGES["base"].loss_weights)
    assert list((out / "base" / "sheets").glob("*.jpg")) and list((out / "base" / "tensorboard").iterdir())
    modules, _, info = load_modules("tiny", out / "weights.safetensors")
    assert read_metadata(out / "weights.safetensors")["stage"] == "lips" and info.name == "tiny"
    # a fresh start puts the mean face of the data under the keypoints
    wanted = FaceClips.load(data, workers=1).mean_shape(PRESETS["tiny"].space.landmarks)
    assert torch.allclose(modules["motion_extractor"].mean_shape, wanted, atol=1e-3)
    nets = modules["stitching_retargeting_module"]
    assert all(float(nets[name].mlp[-1].weight.detach().abs().sum()) > 0 for name, _ in nets.named_children())


def test_a_run_stopped_by_sigterm_and_resumed_equals_one_not_stopped(data: Path, tmp_path: Path) -> None:
    steps = ["--set", "base.steps=8", "--set", "base.checkpoint_every=0"]
    assert finish(start(arguments(data, tmp_path / "whole", *QUICK, *steps))) == 0
    stopped = start(arguments(data, tmp_path / "parts", *QUICK, *steps))
    deadline = time.monotonic() + 120
    while not log(tmp_path / "parts") and time.monotonic() < deadline and stopped.poll() is None:
        time.sleep(0.02)
    stopped.send_signal(signal.SIGTERM)
    assert finish(stopped) == STOPPED
    assert 1 <= log(tmp_path / "parts")[-1]["step"] < 8
    assert not (tmp_path / "parts" / "weights.safetensors").exists()
    assert finish(start(arguments(data, tmp_path / "parts", *QUICK, *steps, "--resume"))) == 0
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert set(whole) == set(parts) and all(torch.equal(whole[key], parts[key]) for key in whole)
    losses = [[row["total"] for row in log(tmp_path / name)] for name in ("whole", "parts")]
    assert losses[0] == losses[1]


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory) -> list[dict]:
    """The log of three steps on one process."""
    out = tmp_path_factory.mktemp("alone") / "one"
    assert finish(start(arguments(data, out, *QUICK, "--set", "base.steps=3"))) == 0
    return log(out)


@pytest.mark.parametrize(
    ("launcher", "shard"),
    [
        ([str(BIN / "torchrun"), "--standalone", "--nproc-per-node", "2", "-m"], "weights"),
        ([str(BIN / "accelerate"), "launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0", "-m"], ""),
    ],
    ids=["torchrun", "accelerate"],
)  # fmt: skip
def test_two_processes_give_the_losses_of_one(
    data: Path, tmp_path: Path, alone: list[dict], launcher: list[str], shard: str
) -> None:
    out = tmp_path / "two"
    assert finish(start(arguments(data, out, *QUICK, "--set", "base.steps=3", "--set", f"base.shard={shard!r}"),
                        launcher)) == 0  # fmt: skip
    assert "# processes: 2\n" in (out / "recipe.yaml").read_text()
    rows = log(out)
    assert [row["step"] for row in rows] == [1, 2, 3]  # only the first process writes
    for one, two in zip(alone, rows):
        for name in ("total", "keypoints", "flow", "grad_norm"):
            assert two[name] == pytest.approx(one[name], rel=2e-4), (one["step"], name)
    modules, _, _ = load_modules("tiny", out / "weights.safetensors")
    assert len(checkpoint(out)) > 100 and modules


@pytest.mark.parametrize("name", ["lite", "fresh", "tiny", "paper"])
def test_recipes_resolve_and_end_with_stage_two(name: str) -> None:
    recipe = read_recipe(RECIPES / f"{name}.yaml")
    stages = recipe.resolve(STAGES)
    assert (
        recipe.method == "live-portrait" and recipe.preset in PRESETS and recipe.preset == name.replace("fresh", "lite")
    )
    assert {stage.name for stage in stages[-3:]} == {"stitching", "eyes", "lips"}
    assert set(stages[0].trains) == {
        "appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator"
    }  # fmt: skip


def test_data_of_other_groups_is_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"mix names .*'grid'.* the data has the groups \['still', 'talk'\]"):
        train(RECIPES / "lite.yaml", arguments(data, tmp_path / "x", "--set", "preset=tiny", "--stage", "base"))
