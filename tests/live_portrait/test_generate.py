from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
import torch
from portraits import DotFinder, crop, generator, template
from torch import Tensor, nn

from vivant.controls.ratios import eye_ratios, lip_ratio
from vivant.controls.smoothing import OneEuroFilter
from vivant.core.errors import ConfigError, FaceError, WeightsError
from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import PRESETS, Options, Sliders
from vivant.methods.live_portrait.generate import Generator
from vivant.methods.live_portrait.prepare import crop_ratios, expand_features, image_tensor

SOURCE = crop(9, lip=0.2)


def near(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal up to one grey level, which another batch size or order of sums may cost."""
    return np.abs(a.astype(int) - b.astype(int)).max() <= 1


@pytest.mark.parametrize("preset", ["tiny", "tiny-published"])
def test_first_relative_frame_reproduces_the_portrait(preset: str) -> None:
    make = generator(preset)
    made = template(2, make.config.space.keypoints, make.config.family)
    frames = list(make.animate(SOURCE, made, Options(openings=False)))
    side = make.config.output_size
    assert [(f.shape, f.dtype) for f in frames] == [((side, side, 3), np.uint8)] * 2
    still = make.edit(SOURCE)
    assert near(frames[0], still) and not near(frames[1], still)


def test_multiplier_0_gives_the_still() -> None:
    make, made = generator("tiny", True), template(2, 33, "lite")
    still = make.edit(SOURCE, Options(stitching=False))
    assert all(near(frame, still) for frame in make.animate(SOURCE, made, Options(multiplier=0)))


def test_batch_size_does_not_change_frames() -> None:
    make, made = generator(), template(5, 33, "lite")
    one, four = (list(make.animate(SOURCE, made, Options(batch=batch))) for batch in (1, 4))
    assert len(one) == len(four) == 5 and all(near(a, b) for a, b in zip(one, four))


def test_same_input_same_frames_and_no_state() -> None:
    make, made = generator("tiny", True), template(3, 33, "lite")
    before = {name: {k: v.clone() for k, v in m.state_dict().items()} for name, m in make.modules.items()}
    options = Options(eye_retargeting=True, lip_retargeting=True, normalize_lips=True)
    first = list(make.animate(SOURCE, made, options))
    list(make.animate(crop(3), template(2, 33, "lite", 5)))
    assert all(np.array_equal(a, b) for a, b in zip(first, make.animate(SOURCE, made, options)))
    for name, module in make.modules.items():
        assert all(torch.equal(value, before[name][key]) for key, value in module.state_dict().items())


def test_untrained_stitching_changes_nothing_and_a_trained_one_does() -> None:
    made = template(2, 33, "lite")
    on, off = Options(stitching=True), Options(stitching=False)
    for trained in (False, True):
        make = generator("tiny", trained)
        pairs = zip(make.animate(SOURCE, made, on), make.animate(SOURCE, made, off))
        assert all(near(a, b) != trained for a, b in pairs)


def test_missing_driver_frames_hold_the_motion() -> None:
    make = generator()
    made = make.motion([None, crop(1), None, None, crop(2)], fps=Fraction(24000, 1001))
    assert (made.missing, made.fps, made.space, len(made)) == ((0, 2, 3), Fraction(24000, 1001), "lite", 5)
    for row in (0, 2, 3):
        np.testing.assert_array_equal(made.exp[row], made.exp[1])
    assert not np.array_equal(made.exp[4], made.exp[1])
    frames = list(make.animate(SOURCE, made, Options(smoothing=0)))
    assert near(frames[1], frames[3]) and len(frames) == 5


def test_driving_batches_agree_with_single_frames() -> None:
    make = generator()
    crops = [crop(seed) for seed in range(10)]
    whole = make.motion(crops)
    for row in (0, 7, 8, 9):
        np.testing.assert_allclose(make.motion([crops[0], crops[row]]).exp[1], whole.exp[row], atol=1e-5)
    expected = whole.motion().keypoints().numpy()
    np.testing.assert_allclose(whole.keypoints, expected, atol=1e-5)


def test_no_face_is_an_error() -> None:
    make = generator()
    with pytest.raises(FaceError, match="driver"):
        make.motion([None, None])
    with pytest.raises(FaceError, match="source"):
        list(make.animate([None, None], template(2, 33, "lite")))


def test_source_video_lengths_and_gaps() -> None:
    make, made = generator(), template(4, 33, "lite")
    video = [None, crop(1), None, crop(2), crop(3), crop(4)]
    frames = list(make.animate(iter(video), made, Options(batch=3)))
    assert len(frames) == 4
    assert len(list(make.animate(video[:3], made))) == 3
    one = list(make.animate(video, template(1, 33, "lite"), Options(batch=4)))
    assert len(one) == 6 and near(one[0], one[1]) and near(one[1], one[2]) and not near(one[2], one[3])


def test_source_video_is_the_still_where_its_face_is_still() -> None:
    make, made = generator(), template(3, 33, "lite")
    options = Options(region="eyes", openings=False)
    still, video = make.animate(SOURCE, made, options), make.animate([SOURCE] * 3, made, options)
    assert all(near(a, b) for a, b in zip(still, video))
    steady = list(make.animate([SOURCE] * 3, made, options, steady_eyes=True))
    assert len(steady) == 3 and near(steady[0], make.edit(SOURCE))


def test_reference_frame_is_where_the_portrait_is_itself() -> None:
    make, made = generator(), template(4, 33, "lite")
    frames = list(make.animate(SOURCE, made, Options(smoothing=0, openings=False), reference=2))
    assert near(frames[2], make.edit(SOURCE)) and not near(frames[0], frames[2])
    assert len(list(make.animate(SOURCE, made, reference="auto"))) == 4


def test_smoothing_calms_the_frames() -> None:
    make, made = generator(), template(12, 33, "lite")

    def change(variance: float) -> float:
        frames = np.stack(list(make.animate(SOURCE, made, Options(smoothing=variance)))).astype(float)
        return float(np.abs(np.diff(frames, axis=0)).mean())

    assert change(1e-2) < 0.5 * change(0)


def test_wrong_input_fails_before_the_first_frame() -> None:
    make = generator()
    with pytest.raises(ConfigError, match="published"):
        make.animate(SOURCE, template(2, 21, "published"))
    with pytest.raises(ConfigError, match="Region"):
        make.animate(SOURCE, template(2, 33, "lite"), Options(region="nose"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="yaw"):
        make.edit(SOURCE, Options(sliders=Sliders(yaw=99)))
    with pytest.raises(ConfigError, match="smile"):
        make.stream(SOURCE, [], Options(sliders=Sliders(smile=9)))


def test_sliders_change_the_still() -> None:
    make = generator("tiny", True)
    plain = make.edit(SOURCE)
    for sliders in (Sliders(yaw=20), Sliders(lip_open=120), Sliders(lip_ratio=0.7), Sliders(eyes_ratio=0.0)):
        assert not near(make.edit(SOURCE, Options(sliders=sliders)), plain)


def test_a_stream_is_causal() -> None:
    make = generator()
    asked: list[int] = []

    def camera() -> Iterator[FaceCrop | None]:
        for number, face in enumerate([None, crop(1), crop(2), None, crop(3)]):
            asked.append(number)
            yield face

    frames = []
    for count, frame in enumerate(make.stream(SOURCE, camera(), Options(openings=False))):
        assert len(asked) == count + 1
        frames.append(frame)
    still = make.edit(SOURCE)
    assert len(frames) == 5 and near(frames[0], still) and near(frames[1], still)
    assert np.array_equal(frames[2], frames[3]) and not near(frames[4], frames[3]) and not near(frames[2], still)
    clip = list(make.animate(SOURCE, make.motion([crop(1), crop(2), crop(3)]), Options(smoothing=0, openings=False)))
    assert near(clip[1], frames[2]) and near(clip[2], frames[4])


def test_a_stream_filter_calms_and_starts_anew() -> None:
    rough = generator()
    calm = Generator(rough.modules, rough.config, causal=lambda: OneEuroFilter(30, min_cutoff=0.1, beta=0.0))
    crops = [crop(seed) for seed in (1, 2, 1, 2, 1, 2)]

    def change(make: Generator) -> float:
        frames = np.stack(list(make.stream(SOURCE, crops))).astype(float)
        return float(np.abs(np.diff(frames, axis=0)).mean())

    assert change(calm) < 0.5 * change(rough)
    assert change(calm) == change(calm)


def test_ratios_agree_with_the_controls() -> None:
    face = crop(1, lip=0.37, eyes=0.21)
    eyes, lip = crop_ratios([face])
    np.testing.assert_allclose(eyes[0], eye_ratios(face.landmarks), atol=1e-6)
    assert float(lip) == pytest.approx(lip_ratio(face.landmarks), abs=1e-6) == pytest.approx(0.37, abs=1e-5)


def test_pictures_shrink_by_area_and_features_expand_without_copy() -> None:
    board = np.kron(np.indices((64, 64)).sum(0) % 2, np.ones((4, 4)))[..., None].repeat(3, 2) * 255
    assert torch.allclose(image_tensor(board.astype(np.uint8), 32), torch.tensor(0.5), atol=0.01)
    features = {"image": torch.rand(1, 3, 4, 4)}
    wide = expand_features(features, 5)
    assert isinstance(wide, dict) and wide["image"].shape == (5, 3, 4, 4)
    assert wide["image"].data_ptr() == features["image"].data_ptr()


class Fragile(nn.Module):
    """A decoder that breaks in the given precisions."""

    def __init__(self, broken: tuple[torch.dtype, ...]) -> None:
        super().__init__()
        self.broken, self.whole = broken, generator().modules["spade_generator"]

    def forward(self, x: Tensor) -> Tensor:
        kind = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else torch.float32
        return self.whole(x) * (torch.nan if kind in self.broken else 1)


@pytest.mark.parametrize("broken", [(torch.float16,), (torch.float16, torch.bfloat16)])
def test_broken_half_precision_is_computed_again(broken: tuple[torch.dtype, ...]) -> None:
    modules = {**generator().modules, "spade_generator": Fragile(broken)}
    make = Generator(modules, PRESETS["tiny"], dtype=torch.float16)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        frames = list(make.animate(SOURCE, template(6, 33, "lite")))
    assert [str(w.message).count("broken pictures") for w in seen] == [1] * len(seen) == [1] * len(broken)
    sound = generator().animate(SOURCE, template(6, 33, "lite"))
    assert len(frames) == 6 and all(np.abs(a - 1.0 * b).mean() < 3 for a, b in zip(frames, sound))
    assert make.dtype == (torch.bfloat16 if len(broken) == 1 else torch.float32)


def test_broken_weights_say_so() -> None:
    modules = {**generator().modules, "spade_generator": Fragile((torch.float32,))}
    with pytest.raises(WeightsError, match="not finite"):
        Generator(modules, PRESETS["tiny"]).edit(SOURCE)


def test_memory_does_not_grow_with_the_length() -> None:
    modules = {**generator().modules, "motion_extractor": DotFinder()}
    make, face = Generator(modules, PRESETS["tiny"]), crop(1)
    tracemalloc.start()
    made = make.motion(replace(face, image=face.image.copy()) for _ in range(200))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(made) == 200 and peak < 60 * face.image.nbytes
    endless = (face for _ in iter(int, 1))
    assert len(list(islice(make.animate(endless, template(1, 33, "lite")), 3))) == 3
