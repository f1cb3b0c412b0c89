"""V-Express (arXiv 2406.02511), experiments: 100 clips each of two sets nobody trained on."""

from __future__ import annotations

from vivant.metrics.protocols.base import DataSet, Protocol
from vivant.metrics.view import View

PROTOCOLS = (
    Protocol(
        name="v-express",
        title="V-Express: talking head from a portrait, speech and V-Kps",
        paper="V-Express, arXiv 2406.02511, experiments",
        data=(
            DataSet("talkinghead-1kh", "TalkingHead-1KH", expected=100, draw=True),
            DataSet("avspeech", "AVSpeech", expected=100, draw=True),
        ),
        task="self",
        drive="audio",
        view=View(fps="25", first=1, size=(512, 512), align="face"),
        seed=42,
        metrics=(
            "fid", "fvd", "dfacesim-arcface", "kpsdis", "sync-c", "sync-d", "av-offset", "fid-lite0", "fvd-lite0",
            "dfacesim-dlib", "sync-c-lite", "sync-d-lite", "av-offset-lite", "faceless",
        ),
        stated=(
            "100 random clips of each set, not used in training",
            "FID over frames, FVD over videos, ΔFaceSim (similarity to the reference, generated less real), KpsDis, "
            "SyncNet's score",
        ),
        chosen=(
            "the first frame of a clip is the portrait and is not scored",
            "the clip's own sound and V-Kps drive",
            "25 frames a second, because SyncNet wants them; all frames of a clip",
            "one square of 512 around the true clip's first face, cut alike from both",
            "the 100 clips are drawn by seed 42 from the ids in order",
        ),
    ),
)  # fmt: skip
