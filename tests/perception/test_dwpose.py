import sys
import types

import numpy as np
import pytest

from vivant.core.errors import ConfigError, MissingExtraError, WeightsError
from vivant.core.skeleton import FACE, LEFT_HAND, RIGHT_HAND
from vivant.perception.body_tracking import follow_body
from vivant.perception.dwpose import DWPoseFinder, openpose_of_coco


def coco(shift=0.0):
    """Points (133, 2) and scores (133,) of one made-up person: every point says its own number."""
    points = np.column_stack([np.arange(133) * 2.0 + shift, np.arange(133) * 1.0 + 5])
    return points, np.full(133, 0.9)


@pytest.fixture
def rtmlib(monkeypatch):
    """A stand-in for rtmlib with its calling convention: BGR in, boxes, then points and scores for each box."""
    module = types.ModuleType("rtmlib")
    module.calls = []

    class Wholebody:
        def __init__(self, **options):
            module.calls.append(options)

        def det_model(self, image):
            assert image[0, 0].tolist() == [3, 2, 1]
            return np.array([[0, 0, 100, 100], [20, 0, 300, 200]])

        def pose_model(self, image, bboxes):
            told = [coco(float(box[0])) for box in bboxes]
            return np.stack([points for points, _ in told]), np.stack([scores for _, scores in told])

    module.Wholebody = Wholebody
    monkeypatch.setitem(sys.modules, "rtmlib", module)
    return module


IMAGE = np.zeros((400, 600, 3), np.uint8) + np.array([1, 2, 3], np.uint8)


def test_dwpose_tells_people_in_the_same_layout(rtmlib):
    found = DWPoseFinder().find(IMAGE)
    assert rtmlib.calls[0]["mode"] == "performance" and rtmlib.calls[0]["to_openpose"] is False
    assert len(found) == 2
    x = found[0].keypoints[:, 0] - min(body.keypoints[0, 0] for body in found[:1])
    assert x[4] == 2 * 10 and x[7] == 2 * 9  # right and left wrist
    assert x[14] == 2 * 2 and x[16] == 2 * 4  # right eye and ear
    assert x[1] == 2 * 5.5  # between the shoulders
    assert x[FACE][0] == 2 * 23 and x[LEFT_HAND][0] == 2 * 91 and x[RIGHT_HAND][20] == 2 * 132


def test_the_tracker_takes_dwpose_as_it_takes_the_bundled_reader(rtmlib):
    bodies = list(follow_body([IMAGE, IMAGE], finder=DWPoseFinder()))
    assert all(body is not None and body.points is None for body in bodies)


def test_given_files_are_used(rtmlib, tmp_path):
    files = tmp_path / "yolox_l.onnx", tmp_path / "dw-ll_ucoco_384.onnx"
    with pytest.raises(WeightsError, match="no ONNX file"):
        DWPoseFinder(files=files)
    for file in files:
        file.write_bytes(b"x")
    DWPoseFinder(files=files)
    assert rtmlib.calls[0]["pose"] == str(files[1]) and rtmlib.calls[0]["pose_input_size"] == (288, 384)


def test_unsure_and_outside_points_are_left_out():
    points, scores = coco()
    scores[9], points[10] = 0.2, [601, 50]
    body = openpose_of_coco(points, scores, (400, 600))
    assert (body.keypoints[[4, 7]] == 0).all() and body.keypoints[3, 2] > 0.8
    assert openpose_of_coco(points, scores * 0, (400, 600)) is None
    with pytest.raises(WeightsError, match="wholebody"):
        openpose_of_coco(points[:17], scores[:17], (400, 600))


def test_errors_say_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "rtmlib", None)
    with pytest.raises(MissingExtraError, match=r"vivant\[dwpose\]"):
        DWPoseFinder()
    with pytest.raises(ConfigError, match="performance"):
        DWPoseFinder("best")


def test_no_network_is_one_sentence(monkeypatch):
    module = types.ModuleType("rtmlib")

    def refuse(**options):
        raise OSError("Network is unreachable")

    module.Wholebody = refuse
    monkeypatch.setitem(sys.modules, "rtmlib", module)
    with pytest.raises(WeightsError, match="go online once, or give ONNX files"):
        DWPoseFinder()
