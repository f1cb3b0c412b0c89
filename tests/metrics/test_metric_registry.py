from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vivant.core.errors import ConfigError
from vivant.metrics.metric import all_metrics, chosen_metrics, metrics_markdown
from vivant.metrics.motion import EYE_CORNERS, IRISES, gaze_angles
from vivant.metrics.nets.published import PUBLISHED
from vivant.pipelines.evaluation.listing import BEGIN, END
from vivant.pipelines.marked import replace_between

PAGE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


def test_every_metric_tells_what_it_is() -> None:
    metrics = all_metrics()
    assert len(metrics) >= 40
    for name, metric in metrics.items():
        assert name == metric.name and name == name.lower() and "_" not in name
        assert len(metric.definition) > 20 and metric.source and metric.span[0] < metric.span[1], name
        assert set(metric.needs) <= {"true", "set", "driver", "source", "sound", "text", "face"}, name
        assert (metric.level == "set") == ("set" in metric.needs), name
        assert set(metric.weights) <= set(PUBLISHED), name
        assert metric.of_truth or metric.better != "as the truth", name


def test_eyes_that_look_to_opposite_corners_are_in_range() -> None:
    points = np.zeros((2, 478, 3))
    for (_, right), iris in zip(EYE_CORNERS, IRISES):
        points[:, right, 0] = 1
        points[0, iris], points[1, iris] = (2, 1, 0), (-1, -1, 0)
    apart = np.abs(gaze_angles(points[0]) - gaze_angles(points[1])).mean()
    assert 90 < apart <= all_metrics()["eye-mae-iris"].span[1]


def test_names_of_others_belong_to_published_weights_alone() -> None:
    """LPIPS, FID, KID and FVD are only called so when the published nets are asked."""
    for metric in all_metrics().values():
        if metric.title.split()[0] in ("LPIPS", "FID", "KID", "FVD", "tLP"):
            assert metric.weights, metric.name
        if "lite0" in metric.name:
            assert not metric.weights


def test_choice_by_name() -> None:
    assert list(chosen_metrics(["ssim", " psnr"])) == ["psnr", "ssim"]
    assert list(chosen_metrics(["landmark_error"])) == ["landmark-error"]
    with pytest.raises(ConfigError, match="no metric 'pnsr'"):
        chosen_metrics(["pnsr"])


def test_the_page_is_made_from_the_registry() -> None:
    text = PAGE.read_text(encoding="utf-8")
    shown = text.partition(BEGIN)[2].partition(END)[0]
    assert shown == "\n" + metrics_markdown(), "run: vivant evaluate metrics --update docs/metrics.md"


def test_replace_between_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"a\n{BEGIN}\nold\n{END}\nb\n")
    replace_between(page, BEGIN, END, "new\n")
    assert page.read_text() == f"a\n{BEGIN}\nnew\n{END}\nb\n"
    with pytest.raises(ConfigError, match="no file"):
        replace_between(tmp_path / "none.md", BEGIN, END, "")
    page.write_text("nothing")
    with pytest.raises(ConfigError, match="no lines"):
        replace_between(page, BEGIN, END, "")
