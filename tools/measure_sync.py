"""How well the sync net tells clips in step from others: the table of docs/sync.md.

    python tools/measure_sync.py DATA [--weights FILE] [--generated FOLDER]

DATA is what tools/prepare_sync_data.py made; only its held-out clips are used. Each is scored with its own sound, with
its sound 5 frames early, and with the sound of another held-out clip of its group. "in step" is the median of the curve
less its value at shift 0: what is left of the confidence when nobody looks for the best shift. FOLDER holds videos with
sound, for example generated ones, which are scored as `vivant evaluate sync` does.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch

from vivant.data.manifest import read_manifest
from vivant.data.sync_clips import SyncClips
from vivant.media.video import open_clip
from vivant.metrics.sync import FPS, SyncResult, sync_of_embeddings
from vivant.metrics.sync_scorer import sync_scorer
from vivant.perception.sync_lite import SIZE, load_sync_lite

EARLY = 5
GROUPS = {
    "others": "unseen speakers",
    "s1": "unseen clips of a seen speaker",
    "replay": "rendered clips of unseen faces",
}


def embed(clips: SyncClips, number: int, net: torch.nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Embeddings (N, D) of a clip's windows and sounds, as many as the definition counts."""
    low, high = int(clips.starts[number]), int(clips.starts[number + 1])
    side = clips.frames.shape[-1]
    edge = (side - SIZE) // 2
    frames = clips.frames[low:high, edge : edge + SIZE, edge : edge + SIZE]
    start = int(clips.mel_starts[number])
    mel = clips.mel[start : int(clips.mel_starts[number + 1])].float()
    with torch.inference_mode():
        video, sound = net.embed_video(frames[None].float() / 255)[0], net.embed_sound(mel[None])[0]
    count = min(high - low - 5, len(sound))
    return video[:count], sound[:count]


def describe(results: list[SyncResult], expected: int) -> str:
    """One row of the table."""
    confidence = [result.confidence for result in results]
    distance = [result.distance for result in results]
    in_step = [float(np.median(result.curve) - result.curve[15]) for result in results]
    exact = np.mean([result.offset == expected for result in results])
    near = np.mean([abs(result.offset - expected) <= 1 for result in results])
    spread = f"{np.percentile(confidence, 10):.2f} to {np.percentile(confidence, 90):.2f}"
    return (
        f"{len(results)} | {np.mean(confidence):.2f} ({spread}) | {np.mean(distance):.2f} | {np.mean(in_step):.2f} | "
        f"{100 * exact:.0f} % | {100 * near:.0f} %"
    )


def main() -> None:
    """Parse arguments, score, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", help="instead of the bundled ones")
    parser.add_argument("--generated", type=Path, help="folder of videos with sound")
    args = parser.parse_args()
    net, _ = load_sync_lite(args.weights)
    clips = SyncClips.load(args.data, split="test")
    assert all(row.split == "test" for row in clips.rows) and len(read_manifest(args.data)) > len(clips.rows)
    groups: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(clips.rows):
        groups[row.group].append(number)
    print("| clips | sound | n | sync-c-lite (10th to 90th percentile) | sync-d-lite | in step | offset | within 1 |")
    print("|---|---|---|---|---|---|---|---|")
    for group in sorted(groups, key=lambda name: list(GROUPS).index(name) if name in GROUPS else 9):
        pairs = [embed(clips, number, net) for number in groups[group]]
        true = [sync_of_embeddings(video, sound) for video, sound in pairs]
        early = [sync_of_embeddings(video[:-EARLY], sound[EARLY:]) for video, sound in pairs]
        dubbed = []
        for (video, _), (_, sound) in zip(pairs, [*pairs[1:], pairs[0]]):
            count = min(len(video), len(sound))
            dubbed.append(sync_of_embeddings(video[:count], sound[:count]))
        name = GROUPS.get(group, group)
        print(f"| {name} | their own | {describe(true, 0)} |")
        print(f"| {name} | 5 frames early | {describe(early, EARLY)} |")
        print(f"| {name} | of another clip | {describe(dubbed, 0)} |")
    if args.generated:
        scorer = sync_scorer("lite", args.weights)
        videos = sorted(path for path in args.generated.rglob("*") if path.suffix in (".mp4", ".mov", ".mkv"))
        made = [scorer.score(open_clip(path, FPS)) for path in videos]
        print(f"| {args.generated.name} | their own | {describe(made, 0)} |")


if __name__ == "__main__":
    main()
