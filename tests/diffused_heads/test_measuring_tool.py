"""The arithmetic of tools/measure_diffused_heads.py on a minute that is known."""

import json

import measure_diffused_heads as tool
import numpy as np
import pytest


def test_first_and_last_seconds_of_a_clip_are_told_apart(tmp_path):
    seconds = np.repeat(np.arange(60.0), 25)
    for name, slope in (("guard", 0.0), ("no guard", 0.01)):
        (tmp_path / name / "clips").mkdir(parents=True)
        series = {"series:identity-distance-dlib": 0.2 + slope * seconds, f"series:{tool.SHARPNESS}": -slope * seconds}
        series["series:identity-distance-dlib"][:25] = np.nan  # a second without a face
        np.savez(tmp_path / name / "clips" / "a.npz", **series)
    tool.tell_ends(tmp_path)
    rows = json.loads((tmp_path / "ends.json").read_text())["rows"]
    held, gone = rows["guard: a"], rows["no guard: a"]
    assert held == {"identity distance, first": 0.2, "identity distance, last": 0.2, "sharpness, last over first": 1.0}
    assert gone["identity distance, first"] == pytest.approx(0.225, abs=1e-3)  # mean of seconds 1 to 4
    assert gone["identity distance, last"] == pytest.approx(0.77, abs=1e-3)
    assert gone["sharpness, last over first"] == pytest.approx(np.exp(-0.55), abs=1e-3)


def test_the_trained_length_in_the_results_is_the_recipe_s():
    assert "3,000 steps" in tool._setting({"clips": 3})
