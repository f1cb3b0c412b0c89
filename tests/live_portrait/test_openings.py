"""Lips and lids open as the driver's do: after a first frame with parted lips, between eyes of other sizes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vivant.controls.crop import crop_face
from vivant.methods.live_portrait.config import LITE_LANDMARKS, PRESETS, Options
from vivant.methods.live_portrait.model import build_modules
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.openings import Openings
from vivant.methods.live_portrait.retargeting import Retargeter
from vivant.perception.faces import FaceFinder
from vivant.pipelines.load import load

ROW = {point: row for row, point in enumerate(LITE_LANDMARKS)}


def face(lips: float, lids: float, width: float = 0.6, frames: int = 1) -> Motion:
    """A frontal face whose eyes are ``width`` apart, with lips and lids open by that much of an eye distance."""
    points = torch.zeros(33, 3)
    for at, x in ((33, -0.5), (133, -0.2), (362, 0.2), (263, 0.5)):
        points[ROW[at]] = torch.tensor([x, -0.3, 0.0])
    for ups, low, x in (((159, 160, 158), 145, -0.35), ((386, 387, 385), 374, 0.35)):
        points[ROW[low], 0:2] = torch.tensor([x, -0.3 + lids / 2])
        for up in ups:
            points[ROW[up], 0:2] = torch.tensor([x, -0.3 - lids / 2])
    for up, low in ((13, 14), (81, 178), (311, 402)):
        points[ROW[up], 1], points[ROW[low], 1] = 0.4 - lips / 2, 0.4 + lips / 2
    points[ROW[152], 1], points[ROW[10], 1], points[ROW[1], 1] = 0.9, -0.9, 0.1
    points = points * width
    neutral = points.clone()
    for up, low in ((13, 14), (81, 178), (311, 402)):
        neutral[ROW[up], 1] = neutral[ROW[low], 1] = 0.4 * width
    for ups, low in (((159, 160, 158), 145), ((386, 387, 385), 374)):  # at rest lids are 0.09 open
        neutral[ROW[low], 1] = (-0.3 + 0.045) * width
        for up in ups:
            neutral[ROW[up], 1] = (-0.3 - 0.045) * width
    ratio = lids / 0.3
    return Motion(
        exp=(points - neutral)[None].repeat(frames, 1, 1), rotation=torch.eye(3).repeat(frames, 1, 1),
        scale=torch.full((frames, 1), 1.3), translation=torch.zeros(frames, 3),
        canonical=neutral[None].repeat(frames, 1, 1),
        eyes=torch.full((frames, 2), ratio), lip=torch.full((frames, 1), lips),
    )  # fmt: skip


def driven(source: Motion, first: Motion, driver: Motion, rest: float | None = 0.3, **options: bool) -> Tensor:
    config = PRESETS["tiny"]
    nets = build_modules(config)["stitching_retargeting_module"]
    eyes = None if rest is None else torch.full((1, 2), rest)
    retargeter = Retargeter(nets, config, Options(**options), first, rest_eyes=eyes)
    with torch.no_grad():
        return retargeter.drive(source, driver)[0]


def gap(x: Tensor, upper: int, lower: int) -> float:
    return float(x[ROW[lower], 1] - x[ROW[upper], 1])


@pytest.mark.parametrize("lips", [0.0, 0.1, 0.3])
def test_lips_part_by_the_drivers_gap_whatever_its_first_frame_shows(lips: float) -> None:
    source, first = face(0.0, 0.09), face(0.2, 0.09, width=0.8)
    x = driven(source, first, face(lips, 0.09, width=0.8))
    for upper, lower in ((13, 14), (81, 178), (311, 402)):
        assert gap(x, upper, lower) == pytest.approx(1.3 * 0.6 * lips, abs=1e-3)
    plain = driven(source, first, face(lips, 0.09, width=0.8), openings=False)
    assert gap(plain, 13, 14) == pytest.approx(1.3 * 0.8 * (lips - 0.2), abs=1e-3)  # crossed lips where it is under 0.2


@pytest.mark.parametrize(("share", "left"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_a_blink_closes_eyes_of_any_size(share: float, left: float) -> None:
    source = face(0.0, 0.15)
    x = driven(source, face(0.0, 0.09), face(0.0, 0.09 * share))
    own = 1.3 * 0.6 * 0.15
    assert gap(x, 159, 145) == pytest.approx(own * left, abs=1e-3)
    assert gap(x, 386, 374) == pytest.approx(own * left, abs=1e-3)
    assert gap(x, 160, 145) == pytest.approx(own * (0.25 + 0.75 * left), abs=1e-3)


def test_small_eyes_still_close_by_the_drivers_change() -> None:
    x = driven(face(0.0, 0.06), face(0.0, 0.09), face(0.0, 0.045))
    assert gap(x, 159, 145) == pytest.approx(1.3 * 0.6 * 0.015, abs=1e-3)  # by share alone it would be 0.03


def test_without_ratios_the_lids_move_by_the_drivers_change() -> None:
    source, first, driver = face(0.0, 0.15), face(0.0, 0.09), face(0.0, 0.03)
    assert gap(driven(source, first, driver, rest=None), 159, 145) == pytest.approx(1.3 * 0.6 * 0.09, abs=1e-3)


def test_regions_that_are_not_driven_keep_their_openings() -> None:
    source, first, driver = face(0.05, 0.15), face(0.1, 0.09), face(0.3, 0.0)
    x = driven(source, first, driver, region="eyes")
    assert gap(x, 13, 14) == pytest.approx(1.3 * 0.6 * 0.05, abs=1e-3)
    x = driven(source, first, driver, region="lips")
    assert gap(x, 159, 145) == pytest.approx(1.3 * 0.6 * 0.15, abs=1e-3)


def test_several_frames_are_the_frames_one_by_one() -> None:
    source, first = face(0.0, 0.12), face(0.1, 0.09)
    frames = [face(lips, lids) for lips, lids in ((0.0, 0.09), (0.2, 0.02), (0.4, 0.05))]
    both = Motion(**{n: torch.cat([getattr(f, n) for f in frames]) for n in replace(frames[0]).__dict__})
    config = PRESETS["tiny"]
    nets = build_modules(config)["stitching_retargeting_module"]
    retargeter = Retargeter(nets, config, Options(), first, rest_eyes=torch.full((1, 2), 0.3))
    with torch.no_grad():
        together = retargeter.drive(source, both)
        single = torch.cat([retargeter.drive(source, f) for f in frames])
    assert torch.allclose(together, single, atol=1e-6)


UPPER_FACE = (4, 5, 6, 195, 197, 33, 133, 362, 263, 127, 356, 143, 372, 117, 346, 119, 348, 10, 67, 297, 54, 284)


@torch.inference_mode()
def test_the_shipped_warp_does_not_nod_when_lips_part(portrait: np.ndarray) -> None:
    generator = load("live-portrait", preset="lite", dtype="fp32").generator
    crop = crop_face(portrait, FaceFinder().find(portrait)[0], 1.8, -0.033, 256, True, "mesh")
    seen, warp = generator._painter.portrait([crop]), generator.modules["warping_module"]
    x_s, eyes = seen.motion.keypoints(), seen.motion.canonical[0, [ROW[33], ROW[263]]]
    gap = 0.2 * float((eyes[0] - eyes[1]).norm() * seen.motion.scale)
    lips = Openings(generator.config.space, True, None, torch.device("cpu"))
    x_d = lips.parted(x_s, torch.full((1, 3), gap), seen.motion)
    flow = warp(seen.features, x_s, x_d)["out"]["flow"].permute(0, 3, 1, 2)
    points = torch.from_numpy(crop.landmarks[list(UPPER_FACE)].astype(np.float32)) / 128
    places = points[None, None, :, :2] - 1
    down = places[0, 0, :, 1] - grid_sample(flow, places, align_corners=False)[0, 1, 0]
    # what lies nearer goes further down when a head nods; the rest of the motion is a shift, a tilt and a size
    known = torch.cat([-points[:, 2:], points[:, :2], torch.ones(len(points), 1)], 1)
    nod = torch.linalg.lstsq(known, down[:, None]).solution[0, 0].rad2deg()
    assert abs(float(nod)) < 0.5
