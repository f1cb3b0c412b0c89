"""Long clips in windows: the same numbers as whole steps, constant memory, no wrap-around."""

import json
from pathlib import Path

import pytest
import torch

from vivant.core.errors import ConfigError
from vivant.diffusion.samplers import SAMPLERS, Guess, Sampling
from vivant.diffusion.schedule import scaled_linear, timetable
from vivant.diffusion.windows import Windows, denoise_stream, frame_noise

SCHEDULE = scaled_linear().zero_snr()


def predict(x, moment, starts):
    """Mixes the frames of a window and knows where the window lies."""
    place = torch.tensor(starts, dtype=torch.float32).view(-1, 1, 1, 1, 1)
    return torch.tanh(x + x.mean(2, keepdim=True)) * 0.5 + 0.01 * place + 0.0002 * moment.timestep


def stream(count, windows, name="ddim", steps=5, **more):
    sampling = Sampling(timetable(SCHEDULE, steps), name, "v")
    return denoise_stream(more.pop("net", predict), frame_noise((2, 3, 3), 9), count, sampling, windows, **more)


def whole(count, windows, name="ddim", steps=5, seed=0):
    """The plain loop: all windows of a step, then all frames."""
    sampling = Sampling(timetable(SCHEDULE, steps), name, "v")
    source = frame_noise((2, 3, 3), 9)
    x = torch.stack([next(source) for _ in range(count)], 1)
    past = None
    for index in range(steps):
        total, weights = torch.zeros_like(x), torch.zeros(count)
        length = windows.length(count)
        for start in windows.starts(count, index):
            part = slice(start, start + length)
            answer = predict(x[None, :, part], sampling.moment(index), [start])[0]
            total[:, part] += answer * windows.weight(length).view(-1, 1, 1)
            weights[part] += windows.weight(length)
        rows = (total / weights.view(-1, 1, 1)).transpose(0, 1)
        fresh = None
        if SAMPLERS[name].noisy and index < steps - 1:
            generator = torch.Generator().manual_seed(seed * 1_000_003 + index + 1)
            fresh = torch.stack([torch.randn(2, 3, 3, generator=generator) for _ in range(count)])
        moved, now = sampling.step(index, x.transpose(0, 1), rows, past, fresh)
        past, x = now if SAMPLERS[name].remembers else None, moved.transpose(0, 1)
    return x


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("windows", [Windows(12, 4), Windows(8, 3, shift=2, weights="triangle")])
def test_the_stream_equals_whole_steps(name, windows):
    found = torch.stack(list(stream(41, windows, name)), 1)
    assert torch.allclose(found, whole(41, windows, name), atol=1e-5)
    assert torch.allclose(torch.stack(list(stream(41, windows, name, batch=3)), 1), found, atol=1e-5)


@pytest.mark.parametrize("count", [1, 5, 12, 13, 20, 21])
def test_any_length_gives_that_many_frames(count):
    found = list(stream(count, Windows(12, 4)))
    assert len(found) == count and found[0].shape == (2, 3, 3)
    assert torch.allclose(torch.stack(found, 1), whole(count, Windows(12, 4)), atol=1e-5)


def test_windows_are_v_express_s_where_the_length_fits():
    golden = json.loads((Path(__file__).parent / "data" / "windows.golden.json").read_text())
    for count, ranges in golden.items():
        found = [f"{s}..{s + 23}" for s in Windows(24, 4).starts(int(count))]
        assert found == ranges


def test_windows_cover_every_frame_and_stay_inside():
    for count in range(1, 70):
        for windows in (Windows(12, 4), Windows(10, 0, shift=3), Windows(7, 6, shift=1), Windows(9, 4, shift=7)):
            for step in range(4):
                starts, length = windows.starts(count, step), windows.length(count)
                seen = {f for s in starts for f in range(s, s + length)}
                assert seen == set(range(count)) and starts == sorted(set(starts))


def test_shifting_starts_move_the_seams():
    grids = [Windows(12, 4, shift=3).starts(60, step) for step in range(3)]
    assert grids[0][:3] == [0, 8, 16] and grids[1][:3] == [0, 5, 13] and grids[2][:3] == [0, 2, 10]


def test_memory_does_not_grow_with_the_length():
    """Few frames are read ahead of the first one that comes out, however long the clip."""
    for count in (60, 600):
        read = 0

        def counting(count=count):
            nonlocal read
            for frame in frame_noise((1, 2, 2), 0):
                read += 1
                yield frame

        sampling = Sampling(timetable(SCHEDULE, 4), "ddim", "v")
        frames = denoise_stream(predict, counting(), count, sampling, Windows(12, 4))
        next(frames)
        assert read <= 4 * 12
        ahead = max(read - done for done, _ in enumerate(frames, 1))
        assert ahead <= 4 * 12


def test_the_watch_hears_frames_leave():
    heard = []
    list(stream(30, Windows(12, 4), steps=2, watch=lambda moment, done: heard.append((moment.index, done))))
    assert heard[-1] == (1, 30) and [d for i, d in heard if i == 1] == [8, 16, 18, 30]


def test_what_makes_no_sense_is_refused():
    for wrong in ((0, 0), (4, 4), (4, -1)):
        with pytest.raises(ConfigError):
            Windows(*wrong)
    with pytest.raises(ConfigError, match="weights"):
        Windows(4, 1, weights="round")
    with pytest.raises(ConfigError, match="one frame"):
        list(stream(0, Windows(4, 1)))
    with pytest.raises(ConfigError, match="noise ended"):
        sampling = Sampling(timetable(SCHEDULE, 2), "ddim", "v")
        list(denoise_stream(predict, [torch.zeros(2, 3, 3)], 2, sampling, Windows(4, 1)))
    with pytest.raises(ConfigError, match="too many"):
        stream(4, Windows(4, 1), steps=301)
    assert Guess(torch.zeros(1), torch.zeros(1)).log_variance is None
