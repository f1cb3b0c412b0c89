from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from portraits import motion, template
from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.config import PRESETS, Config, Options, Sliders
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.reference import find_reference, neutral_expression, reference_motion
from vivant.methods.live_portrait.retargeting import Retargeter, check_options
from vivant.nn.smoothing import KalmanFilter

LITE, PUBLISHED = PRESETS["tiny"], PRESETS["tiny-published"]


class Opener(nn.Module):
    """A retargeting net that lowers keypoint ``point`` by (target - now) / 10, as a trained one roughly does."""

    def __init__(self, points: int, point: int, ratios: int) -> None:
        super().__init__()
        self.points, self.point, self.ratios = points, point, ratios

    def forward(self, rows: Tensor) -> Tensor:
        delta = rows.new_zeros(len(rows), self.points, 3)
        now = rows[:, -1 - self.ratios : -1].mean(1)
        delta[:, self.point, 1] = (rows[:, -1] - now) / 10
        return delta.flatten(1)


class Shoulder(nn.Module):
    """A stitching net that answers the same for every face."""

    def __init__(self, points: int, value: float = 0.0) -> None:
        super().__init__()
        self.points, self.value = points, value

    def forward(self, rows: Tensor) -> Tensor:
        delta = rows.new_zeros(len(rows), 3 * self.points + 2)
        delta[:, 0], delta[:, -1] = self.value, -self.value
        return delta


def retargeter(config: Config, options: Options, first: Motion, stitch: float = 0.0, **more: bool) -> Retargeter:
    points = config.space.keypoints
    lids, lips = config.space.eyes[0], config.space.lips[3]
    nets = nn.ModuleDict(
        {
            "retarget_shoulder": Shoulder(points, stitch),
            "retarget_eye": Opener(points, lids, 2),
            "retarget_mouth": Opener(points, lips, 1),
        }
    )
    return Retargeter(nets, config, options, first, **more)


def rows(motion: Motion, chosen: list[int]) -> Motion:
    return Motion(*(value[chosen] for value in vars(motion).values()))


def faces(config: Config) -> tuple[Motion, Motion, Motion]:
    """A source, a driver of 4 frames and its first frame."""
    driver = motion(4, config.space.keypoints, 1)
    return motion(1, config.space.keypoints, 2), driver, rows(driver, [0])


@pytest.mark.parametrize("config", [LITE, PUBLISHED])
@pytest.mark.parametrize("region", ["all", "pose", "expression", "lips", "eyes"])
def test_the_first_relative_frame_is_the_source(config: Config, region: str) -> None:
    source, driver, first = faces(config)
    for friendly in ("expression-friendly", "pose-friendly"):
        x_d = retargeter(config, Options(region=region, driving=friendly, openings=False), first).drive(source, driver)
        assert torch.allclose(x_d[:1], source.keypoints(), atol=1e-5)
        assert (x_d[1:] - source.keypoints()).abs().amax() > 0.01


def test_multiplier_scales_the_way_from_the_source() -> None:
    source, driver, first = faces(LITE)
    x_s = source.keypoints()
    whole = retargeter(LITE, Options(), first, 0.02).drive(source, driver)
    half = retargeter(LITE, Options(multiplier=0.5), first, 0.02).drive(source, driver)
    none = retargeter(LITE, Options(multiplier=0), first, 0.02).drive(source, driver)
    assert torch.allclose(half - x_s, (whole - x_s) / 2, atol=1e-6)
    assert torch.equal(none, x_s.expand_as(none))


def test_relative_motion_follows_its_equations() -> None:
    source, driver, first = faces(PUBLISHED)
    x_d = retargeter(PUBLISHED, Options(driving="pose-friendly"), first).drive(source, driver)
    rotation = driver.rotation @ first.rotation.transpose(1, 2) @ source.rotation
    exp = source.exp + driver.exp - first.exp
    scale = source.scale * driver.scale / first.scale
    shift = source.translation + driver.translation - first.translation
    expected = scale[:, None] * (source.canonical @ rotation + exp) + shift[:, None]
    assert torch.allclose(x_d, expected, atol=1e-5)


def test_absolute_motion_takes_the_components_that_carry_expression() -> None:
    source, driver, first = faces(PUBLISHED)
    x_d = retargeter(PUBLISHED, Options(relative=False), first).drive(source, driver)
    exp = source.exp.repeat(4, 1, 1)
    for point in (1, 2, 6, *range(11, 21)):
        exp[:, point] = driver.exp[:, point]
    for point, axis in ((3, 1), (4, 1), (5, 2), (8, 2), (9, 1), (9, 2)):
        exp[:, point, axis] = driver.exp[:, point, axis]
    expected = source.scale * (source.canonical @ driver.rotation + exp) + driver.translation[:, None]
    assert torch.allclose(x_d, expected, atol=1e-5)


@pytest.mark.parametrize("relative", [True, False])
def test_a_driver_who_walks_away_keeps_the_portrait_in_its_square(relative: bool) -> None:
    source, driver, first = faces(LITE)
    away = replace(driver, translation=first.translation + torch.tensor([3.0, -0.2, 0.0]), scale=4 * first.scale)
    options = Options(driving="pose-friendly", relative=relative)
    held = retargeter(LITE, options, first)._held(source, away)
    start = source.translation if relative else first.translation
    moved = held.translation - start
    assert torch.allclose(moved[:, 0], torch.tensor(0.5), atol=0.01), "half a half side, no more"
    assert torch.allclose(moved[:, 1], torch.tensor(-0.2), atol=1e-6), "small travel as it is"
    assert torch.all(held.scale <= 1.3 * source.scale)


def test_region_pose_leaves_expression_and_size() -> None:
    source, driver, first = faces(LITE)
    x_d = retargeter(LITE, Options(region="pose"), first).drive(source, driver)
    rotation = driver.rotation @ first.rotation.transpose(1, 2) @ source.rotation
    shift = source.translation + driver.translation - first.translation
    expected = source.scale * (source.canonical @ rotation + source.exp) + shift[:, None]
    assert torch.allclose(x_d, expected, atol=1e-5)


@pytest.mark.parametrize("region", ["lips", "eyes"])
def test_regions_move_their_keypoints_only(region: str) -> None:
    for config in (LITE, PUBLISHED):
        source, driver, first = faces(config)
        moved = retargeter(config, Options(region=region), first).drive(source, driver) - source.keypoints()
        chosen = config.space.lips if region == "lips" else config.space.eyes
        still = [k for k in range(config.space.keypoints) if k not in chosen]
        assert moved[:, still].abs().amax() < 1e-5
        assert moved[1:, list(chosen)].abs().amax(dim=2).min() > 1e-4


def test_a_single_picture_is_measured_from_the_neutral_face() -> None:
    picture = template(1, 21, "published", 1)
    source = motion(1, 21, 2)
    options = Options()
    first = reference_motion(picture, 0, PUBLISHED.space, options)
    x_d = retargeter(PUBLISHED, options, first, single=True).drive(source, picture.motion())
    exp = source.exp + picture.motion().exp - neutral_expression(PUBLISHED.space)
    assert torch.allclose(x_d, replace(source, exp=exp).keypoints(), atol=1e-5)
    assert reference_motion(picture, 0, PUBLISHED.space, Options(region="eyes")).exp.abs().max() == 0


def test_a_source_video_keeps_its_place_and_the_shape_of_its_face() -> None:
    driver = motion(4, 21, 1)
    source, first = motion(4, 21, 2), rows(driver, [0])
    x_d = retargeter(PUBLISHED, Options(), first, still=False).drive(source, driver)
    rotation = driver.rotation @ first.rotation.transpose(1, 2) @ source.rotation
    exp = source.exp.clone()
    mask = torch.zeros(21, 3, dtype=torch.bool)
    for point, axes in PUBLISHED.space.absolute:
        mask[point, ["xyz".index(a) for a in axes]] = True
    exp[:, mask] += (driver.exp - first.exp)[:, mask]
    assert torch.allclose(x_d, replace(source, rotation=rotation, exp=exp).keypoints(), atol=1e-5)


def test_retargeting_adds_to_the_driven_motion() -> None:
    source, driver, first = faces(LITE)
    plain = retargeter(LITE, Options(openings=False), first).drive(source, driver)
    both = retargeter(LITE, Options(eye_retargeting=True, lip_retargeting=True), first).drive(source, driver)
    lids, lips = LITE.space.eyes[0], LITE.space.lips[3]
    others = [k for k in range(33) if k not in (lids, lips)]
    assert torch.equal(plain[:, others], both[:, others])
    # driven eyes are at source + change of the driver; what is left to the driver's ratio is the start's difference
    left = (first.eyes.mean() - source.eyes.mean()) / 10
    assert torch.allclose(both[:, lids, 1] - plain[:, lids, 1], left.expand(4), atol=1e-5)


def test_eye_retargeting_looks_at_both_eyes() -> None:
    source, driver, first = faces(LITE)
    options = Options(eye_retargeting=True, relative=False)
    blink = replace(driver, eyes=driver.eyes * torch.tensor([1.0, 0.0]))
    run = retargeter(LITE, options, first)
    change = run.drive(source, blink) - run.drive(source, driver)
    assert torch.allclose(change[:, LITE.space.eyes[0], 1], -driver.eyes[:, 1] / 20, atol=1e-5)


def test_lips_are_normalised_only_where_open() -> None:
    source, driver, first = faces(LITE)
    lips = LITE.space.lips[3]
    for ratio, expected in ((0.2, -0.02), (0.01, 0.0)):
        portrait = replace(source, lip=torch.tensor([[ratio]]))
        run = [retargeter(LITE, Options(normalize_lips=on), first).drive(portrait, driver) for on in (True, False)]
        assert torch.allclose((run[0] - run[1])[:, lips, 1], torch.tensor(expected), atol=1e-5)


def test_neutral_lips_stay_silent_and_the_rest_moves() -> None:
    for config in (LITE, PUBLISHED):
        source, driver, first = faces(config)
        x_d = retargeter(config, Options(neutral_lips=True, region="expression"), first).drive(source, driver)
        lips = list(config.space.lips)
        silent = replace(source, exp=neutral_expression(config.space)[None]).keypoints()[:, lips]
        assert torch.allclose(x_d[:, lips], silent.expand(4, -1, -1), atol=1e-5)
        assert (x_d - source.keypoints())[1:, list(config.space.eyes)].abs().min() > 0


def test_stitching_moves_keypoints_and_the_whole() -> None:
    source, driver, first = faces(PUBLISHED)
    plain = retargeter(PUBLISHED, Options(stitching=False), first, 0.02).drive(source, driver)
    zero = retargeter(PUBLISHED, Options(), first, 0.0).drive(source, driver)
    moved = retargeter(PUBLISHED, Options(), first, 0.02).drive(source, driver) - plain
    assert torch.equal(plain, zero)
    expected = torch.zeros(21, 3)
    expected[0, 0], expected[:, 1] = 0.02, -0.02
    assert torch.allclose(moved, expected.expand(4, -1, -1), atol=1e-6)


def test_steady_eyes_hold_their_opening() -> None:
    driver, source = motion(3, 33, 1), motion(3, 33, 2)
    run = retargeter(LITE, Options(smoothing=0), rows(driver, [0]), still=False)
    moved = run.drive(source, driver, steady_eyes=0.4) - run.drive(source, driver)
    expected = (0.4 - source.eyes.mean(1)) / 10
    assert torch.allclose(moved[:, LITE.space.eyes[0], 1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("wish", "steady"),
    [
        ({"sliders": Sliders(eyes_ratio=0.7, lip_ratio=0.6)}, None),
        ({"normalize_lips": True}, None),
        ({}, 0.4),
    ],
)
def test_what_the_nets_add_to_a_source_video_is_filtered_over_time(wish: dict, steady: float | None) -> None:
    driver, source = motion(6, 33, 1), motion(6, 33, 2)
    source = replace(source, lip=torch.tensor([[0.2], [0.0], [0.3], [0.01], [0.25], [0.1]]))

    def added(smoothing: float, groups: list[list[int]]) -> Tensor:
        base = Options(smoothing=smoothing, stitching=False)
        asked, plain = (retargeter(LITE, o, rows(driver, [0]), still=False) for o in (replace(base, **wish), base))
        pairs = [(rows(source, g), rows(driver, g)) for g in groups]
        return torch.cat([asked.drive(s, d, steady) - plain.drive(s, d) for s, d in pairs])

    raw, calm = added(0.0, [[0, 1, 2, 3, 4, 5]]), added(1e-6, [[0, 1, 2, 3, 4, 5]])
    assert torch.allclose(calm, torch.from_numpy(KalmanFilter(1e-5)(raw.numpy())).float(), atol=1e-5)
    assert calm.diff(dim=0).square().sum() < 0.9 * raw.diff(dim=0).square().sum()
    assert torch.allclose(added(1e-6, [[0], [1, 2, 3], [4, 5]]), calm, atol=1e-6)  # whatever the batch


def test_ratio_sliders_ask_the_nets_unless_already_there() -> None:
    source = replace(motion(1, 33, 2), eyes=torch.tensor([[0.3, 0.3]]), lip=torch.tensor([[0.1]]))
    lids, lips = LITE.space.eyes[0], LITE.space.lips[3]
    run = retargeter(LITE, Options(sliders=Sliders(eyes_ratio=0.5, lip_ratio=0.1)), source)
    moved = (run.edit(source) - source.keypoints())[0, :, 1]
    assert moved[lids] == pytest.approx(0.02, abs=1e-5) and moved[lips] == 0


def test_reference_frames() -> None:
    made = template(4, 33, "lite", 3)
    turned, lip, eyes = made.rotation.copy(), made.lip.copy(), made.eyes.copy()
    turned[1:] = torch.eye(3)
    lip[:], lip[2], eyes[:], eyes[1] = 0.0, 0.5, 0.3, 0.05
    made = replace(made, rotation=turned, lip=lip, eyes=eyes)
    assert (find_reference(made, "first"), find_reference(made, 2), find_reference(made, "auto")) == (0, 2, 3)
    assert find_reference(replace(made, missing=(3,)), "auto") == 1
    for wrong in (4, -1, "last", True):
        with pytest.raises(ConfigError):
            find_reference(made, wrong)


@pytest.mark.parametrize(
    "values",
    [{"region": "nose"}, {"driving": "fast"}, {"multiplier": float("nan")}, {"smoothing": -1}, {"batch": 0}],
)
def test_options_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(ConfigError):
        check_options(Options(**values))


def test_motion_without_ratios_cannot_retarget() -> None:
    first = replace(motion(1, 33), eyes=torch.full((1, 2), torch.nan))
    with pytest.raises(ConfigError, match="holds no eye and lip ratios"):
        retargeter(LITE, Options(eye_retargeting=True), first)
