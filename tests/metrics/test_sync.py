"""The sync scores: the definition, the crops, and whole videos with a small net."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vivant.apps.cli import main
from vivant.core.clip import Audio, Clip
from vivant.core.errors import ConfigError, FaceError, MediaError, WeightsError
from vivant.media.video import open_clip
from vivant.metrics.sync import (
    mean_confidence,
    shifted_distances,
    sound_range,
    sync_of_embeddings,
    window_count,
)
from vivant.metrics.sync_crops import (
    Track,
    cut_published,
    find_speaker,
    find_tracks,
    lower_faces,
    published_squares,
)
from vivant.metrics.sync_scorer import sync_scorer
from vivant.perception.sync_lite import TINY, SyncLite, load_sync_lite, save_sync_lite
from vivant.weights.assets import asset


def embeddings(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 32, generator=torch.Generator().manual_seed(seed))


def curve_by_hand(video: torch.Tensor, sound: torch.Tensor) -> torch.Tensor:
    """Each window against the 31 around it, zeros beyond the ends; distances as torch measures them."""
    padded = F.pad(sound, (0, 0, 15, 15))
    rows = [F.pairwise_distance(window.expand(31, -1), padded[i : i + 31]) for i, window in enumerate(video)]
    return torch.stack(rows).mean(0)


@pytest.mark.parametrize("late", [0, 5, -5])
def test_the_numbers_are_those_of_the_definition(late: int) -> None:
    video = embeddings(60)
    sound = torch.roll(video, late, 0) + 0.2 * embeddings(60, 1)
    found = sync_of_embeddings(video, sound)
    curve = curve_by_hand(video, sound)
    assert found.offset == -late == 15 - int(curve.argmin())
    assert found.distance == pytest.approx(curve.min().item(), abs=1e-5)
    assert found.confidence == pytest.approx((curve.median() - curve.min()).item(), abs=1e-5)
    assert found.framewise.mean() == pytest.approx(found.confidence, abs=1e-5)
    assert found.windows == 60


def test_pieces_of_a_clip_give_the_same_distances() -> None:
    video, sound = embeddings(40), embeddings(40, 1)
    whole = shifted_distances(video, sound, 0, 40)
    parts = []
    for before in range(0, 40, 7):
        part = video[before : before + 7]
        first, last = sound_range(before, len(part), 40)
        parts.append(shifted_distances(part, sound[first:last], before, 40))
    assert torch.equal(torch.cat(parts), whole)


def test_windows_are_counted_as_published() -> None:
    assert window_count(75, 48000) == 70
    assert window_count(75, 47000) == 68
    assert window_count(5, 48000) == 0 == window_count(75, 100)
    assert all(np.isnan(mean_confidence([])))


@pytest.fixture(scope="module")
def speaker() -> Clip:
    """The bundled speaker, 25 frames of 288 px with sound."""
    clip = open_clip(asset("demo/driver.mp4"))
    frames = [frame for _, frame in zip(range(25), clip.frames)]
    samples = clip.audio.samples[: clip.audio.rate]
    return Clip(frames, clip.fps, clip.size, 25, Audio(samples, clip.audio.rate))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    torch.manual_seed(0)
    return str(save_sync_lite(SyncLite(TINY), tmp_path_factory.mktemp("sync") / "tiny.safetensors", licence="none"))


@pytest.fixture(scope="module")
def track(speaker: Clip) -> Track:
    return find_speaker(speaker.frames)


def test_one_face_is_followed_and_cut(speaker: Clip, track: Track) -> None:
    assert len(track) == 25 and track.seen.all() and track.start == 0
    crops = list(lower_faces(speaker.frames, track))
    assert len(crops) == 25 and crops[0].shape == (96, 96) and crops[0].dtype == np.uint8
    late = Track(3, track.boxes[3:], track.align[3:], track.seen[3:])
    assert np.abs(next(lower_faces(speaker.frames, late)).astype(int) - crops[3]).mean() < 3


def test_a_gap_is_bridged_and_a_long_one_ends_the_track(speaker: Clip) -> None:
    frames = list(speaker.frames)[:6]
    grey = np.full_like(frames[0], 128)
    bridged = find_tracks([*frames[:3], *[grey] * 4, *frames[3:]])
    assert [len(found) for found in bridged] == [10]
    assert bridged[0].seen.tolist() == [True] * 3 + [False] * 4 + [True] * 3
    parted = find_tracks([*frames[:3], *[grey] * 30, *frames[3:]])
    assert [len(found) for found in parted] == [3, 3]
    with pytest.raises(FaceError, match="no face"):
        find_speaker([grey])


def test_the_published_crop_reaches_beyond_the_picture(speaker: Clip, track: Track) -> None:
    squares = published_squares(track)
    frame = next(iter(speaker.frames))
    crop = cut_published(frame, squares[12])
    assert crop.shape == (224, 224, 3)
    x, y, half = squares[12]
    outside = cut_published(frame, np.array([x, frame.shape[0] - 1.0, half]))
    assert (outside[150:] == 110).all() and not (outside[:60] == 110).all()
    middle = frame[int(y), int(x)]
    assert np.abs(crop[80, 112].astype(int) - middle[::-1]).max() < 40  # blue first


@pytest.mark.parametrize("count", [1, 6, 12])
def test_squares_of_a_short_track_stay_on_the_face(track: Track, count: int) -> None:
    short = Track(0, track.boxes[:count], track.align[:count], track.seen[:count])
    squares, boxes = published_squares(short), track.boxes[:count]
    apart = squares[:, :2] - (boxes[:, :2] + boxes[:, 2:]) / 2
    assert len(squares) == count and np.abs(apart).max() < 0.1 * squares[:, 2].min()


def test_a_video_is_scored(speaker: Clip, tiny: str, track: Track) -> None:
    scorer = sync_scorer("lite", tiny)
    found = scorer.score(speaker)
    assert found.windows == 20 and -15 <= found.offset <= 15 and found.confidence >= 0
    again = scorer.score(speaker, track=track)
    assert again.curve == pytest.approx(found.curve)
    net, info = load_sync_lite(tiny)
    assert info.licence == "none"
    crops = torch.from_numpy(np.stack(list(lower_faces(speaker.frames, track)))).float()[None] / 255
    with torch.inference_mode():
        assert net.embed_video(crops)[0].norm(dim=-1) == pytest.approx(10.0, abs=1e-4)
        alone = torch.cat([net.embed_video(crops[:, at : at + 5])[0] for at in range(21)])
        assert torch.allclose(alone, net.embed_video(crops)[0], atol=1e-4)


def test_what_cannot_be_scored_is_said(speaker: Clip, tiny: str, tmp_path) -> None:
    scorer = sync_scorer("lite", tiny)
    with pytest.raises(MediaError, match="no sound"):
        scorer.score(Clip(speaker.frames, speaker.fps, speaker.size, 25))
    with pytest.raises(MediaError, match="6 frames"):
        scorer.score(Clip(list(speaker.frames)[:4], speaker.fps, speaker.size, 4, speaker.audio))
    with pytest.raises(ConfigError, match="no sync scorer 'best'"):
        sync_scorer("best")
    torch.save({"a": torch.zeros(1)}, tmp_path / "odd.pt")
    with pytest.raises(WeightsError, match="sync-lite"):
        sync_scorer("lite", tmp_path / "odd.pt")


def test_the_command_names_net_and_protocol(tiny: str, tmp_path, capsys) -> None:
    driver = str(asset("demo/driver.mp4"))
    silent = tmp_path / "silent.png"
    silent.write_bytes(asset("demo/portrait.jpg").read_bytes())
    words = ["evaluate", "sync", driver, str(silent), "--sync-weights", tiny, "--out", str(tmp_path / "out")]
    assert main(words) == 1
    text = capsys.readouterr().out
    assert "sync-c-lite" in text and "| sync-c |" not in text and "Vivant's own sync net" in text
    values = json.loads((tmp_path / "out" / "sync.json").read_text())[0]
    assert values["videos"][0]["windows"] == 70 and "no sound" in values["videos"][1]["problem"]
    assert main(["evaluate", "sync", str(silent), "--sync-weights", tiny]) == 2
    assert "no sound" in capsys.readouterr().err


def test_the_bundled_net_hears_whether_a_speaker_is_in_step() -> None:
    clip = open_clip(asset("demo/driver.mp4"))
    scorer = sync_scorer()
    found = scorer.score(clip)
    assert found.offset == 0 and found.confidence > 2
    samples = clip.audio.samples
    late = np.concatenate([np.zeros_like(samples[: clip.audio.rate // 5]), samples])  # by 5 frames
    shifted = scorer.score(clip, Audio(late, clip.audio.rate))
    assert abs(shifted.offset + 5) <= 1
    backwards = scorer.score(clip, Audio(samples[::-1].copy(), clip.audio.rate))
    assert backwards.confidence < 0.6 * found.confidence
