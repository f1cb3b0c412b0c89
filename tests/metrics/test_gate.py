from __future__ import annotations

from pathlib import Path

import pytest

from vivant.core.errors import ConfigError
from vivant.metrics.gate import failures, read_gate

REPORT = {
    "clips": 3,
    "frames": 40,
    "frames_without_partner": 2,
    "failed": {"x": "why"},
    "damaged": {"y": "half", "z": "half"},
    "metrics": {
        "psnr": {"value": 31.0, "low": 29.0, "high": 33.0},
        "blinks-per-second": {"value": 0.5, "low": 0.1, "high": 0.9, "truth": {"value": 0.3}},
        "wer": {"value": None},
        "ofm": {"value": 2.0, "low": None, "high": None},
    },
}


def check(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "gate.yaml"
    path.write_text(text)
    return failures(read_gate(path), REPORT)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("psnr: {min: 30}", None),
        ("psnr: {min: 30, certain: true}", "psnr is 29, less than 30"),
        ("psnr: {max: 30}", "psnr is 31, more than 30"),
        ("psnr: {min: 31, max: 31}", None),
        ("blinks-per-second: {truth: 0.25}", None),
        ("blinks_per_second: {truth: 0.1}", "0.2 from the true clips' 0.3"),
        ("blinks-per-second: {truth: 0.25, certain: true}", "0.6 from"),
        ("psnr: {truth: 1}", "no value of true clips"),
        ("ssim: {min: 0}", "ssim was not measured"),
        ("wer: {max: 1}", "wer was not measured"),
        ("failed: {max: 0}", "failed is 1, more than 0"),
        ("frames-without-partner: {max: 2}", None),
        ("clips: {min: 4}", "clips is 3, less than 4"),
        ("clips: {min: 3, certain: true}", None),
        ("ofm: {max: 9}", None),
        ("ofm: {max: 9, certain: true}", "nothing is certain"),
        ("damaged: {max: 0}", "damaged is 2, more than 0"),
    ],
)
def test_limits(tmp_path: Path, text: str, said: str | None) -> None:
    found = check(tmp_path, text)
    assert (found == []) if said is None else (len(found) == 1 and said in found[0])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pnsr: {min: 3}", "no metric 'pnsr'"),
        ("psnr: 30", "min, max and truth"),
        ("psnr: {least: 3}", "min, max and truth"),
        ("psnr: {certain: true}", "min, max and truth"),
        ("psnr: {min: high}", "must be numbers"),
        ("psnr: {min: .nan}", "must be numbers"),
        ("psnr: {min: 30, certain: 'no'}", "true or false"),
        ("psnr: [", "cannot be read"),
        ("", "names no limit"),
    ],
)
def test_gates_that_make_no_sense(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check(tmp_path, text)


def test_no_gate_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_gate(tmp_path / "none.yaml")
