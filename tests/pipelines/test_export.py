"""Exported nets compute what torch computes, through the whole command, and a wrong folder is told."""

from __future__ import annotations

import json

import numpy as np
import pytest

import vivant
from vivant.apps.cli import main
from vivant.core.errors import ConfigError, WeightsError
from vivant.media.video import open_clip

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "tiny"
    assert main(["export", "--preset", "tiny", "-o", str(folder)]) == 0
    return folder


def grey_levels(a, b):
    return int(np.abs(np.asarray(a, int) - np.asarray(b, int)).max())


def test_the_default_gives_the_same_frames(tmp_path, portrait, driver_frames):
    assert main(["export", "-o", str(tmp_path / "lite")]) == 0
    driver = np.stack(driver_frames[:3])
    torch_pipe = vivant.load(device="cpu", dtype="fp32")
    onnx_pipe = vivant.load(backend="onnx", weights=tmp_path / "lite")
    assert onnx_pipe.preset == "lite" and "Apache-2.0" in onnx_pipe.weights_info.licence
    wanted = list(torch_pipe.animate(portrait, driver, crop_only=True, batch_size=2))
    found = list(onnx_pipe.animate(portrait, driver, crop_only=True, batch_size=2))
    assert len(found) == 3 and grey_levels(wanted, found) <= 2
    assert np.abs(np.asarray(wanted[2], int) - wanted[0]).mean() > 0.3  # the frames do move
    index = json.loads((tmp_path / "lite" / "export.json").read_text())
    assert index["opset"] == 20 and all(part["error"] < 2e-3 for part in index["parts"].values())


def test_commands_with_the_backend(tiny, tmp_path, portrait_path, driver_path, portrait):
    out = tmp_path / "out.mp4"
    words = ["-s", str(portrait_path), "--backend", "onnx", "--weights", str(tiny)]
    assert main(["animate", *words, "-d", str(driver_path), "-o", str(out), "--quiet", "--eye-retargeting"]) == 0
    assert open_clip(out).count == 5
    record = json.loads((tmp_path / "out.mp4.json").read_text())
    assert record["backend"] == "onnx" and set(record["weights"]["files"]) >= {"frame.onnx", "motion.onnx"}
    assert main(["stream", *words, "-d", str(driver_path), "-o", f"{tmp_path / 'live'}/", "--frames", "2"]) == 0
    assert main(["edit", *words, "--slider.yaw", "8", "-o", str(tmp_path / "edit.png")]) == 0
    torch_pipe = vivant.load(preset="tiny", device="cpu", dtype="fp32")
    wanted = torch_pipe.edit(portrait, sliders={"yaw": 8.0})
    assert grey_levels(wanted, next(iter(open_clip(tmp_path / "edit.png").frames))) <= 2


def test_a_video_source_has_features_for_every_frame(tiny, driver_frames):
    source, driver = np.stack(driver_frames[:3]), np.stack(driver_frames[1:4])
    torch_pipe = vivant.load(preset="tiny", device="cpu", dtype="fp32")
    onnx_pipe = vivant.load(backend="onnx", weights=tiny)
    pairs = [list(pipe.animate(source, driver, crop_only=True)) for pipe in (torch_pipe, onnx_pipe)]
    assert len(pairs[0]) == len(pairs[1]) == 3 and grey_levels(*pairs) <= 2


def test_wrong_folders_and_words_are_told(tiny, tmp_path, capsys):
    def refused(kind, sentence, **words):
        with pytest.raises(kind, match=sentence):
            vivant.load(**{"backend": "onnx", "weights": tiny, **words})

    refused(ConfigError, "needs exported nets", weights=None)
    refused(WeightsError, "holds no exported nets", weights=tmp_path)
    refused(ConfigError, "There is no backend 'onxx'. Did you mean 'onnx'", backend="onxx")
    refused(ConfigError, "runs on the CPU", device="cuda")
    refused(ConfigError, "computes in fp32", dtype="bf16")
    refused(ConfigError, "holds the preset 'tiny', not 'lite'", preset="lite")
    refused(ConfigError, "holds nets of live-portrait", method="photo-rig")
    assert main(["export", "-o", str(tiny), "--preset", "tiny"]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["export", "-o", str(tmp_path / "x"), "--method", "photo-rig"]) == 2
    assert "cannot be exported yet" in capsys.readouterr().err and not (tmp_path / "x").exists()


def test_a_changed_file_is_not_run(tiny, tmp_path):
    for file in tiny.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with (tmp_path / "frame.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match="missing or was changed"):
        vivant.load(backend="onnx", weights=tmp_path)
    index = json.loads((tmp_path / "export.json").read_text())
    index["parts"] = {"../frame": index["parts"]["frame"]}
    (tmp_path / "export.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="holds no exported nets"):
        vivant.load(backend="onnx", weights=tmp_path)
