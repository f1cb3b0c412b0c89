"""Diffused Heads (arXiv 2301.03396), experiments: CREMA-D and LRW, as its published test configuration has them."""

from __future__ import annotations

from vivant.metrics.protocols.base import DataSet, Protocol
from vivant.metrics.view import View

CREMA_TEST = ("1015", "1020", "1021", "1030", "1033", "1052", "1062", "1081", "1082", "1089")
"""The ten test speakers of CREMA-D, 82 clips each."""
_METRICS = (
    "fvd", "fid", "blinks-per-second", "blink-seconds", "ofm-published", "f-mse-published", "ofm", "f-mse", "av-offset",
    "sync-c", "sync-d", "wer", "fvd-lite0", "fid-lite0", "sync-c-lite", "sync-d-lite", "av-offset-lite",
    "identity-drift-dlib", "colour-drift", "sharpness-drift", "faceless",
)  # fmt: skip
_VIEW = View(fps="25", first=1, frames=99, size=(128, 128))
_STATED = (
    "the first frame is the identity; 200 steps; at most 100 frames; seed 2137",
    "128x128 at 25 frames a second, sound at 16 kHz",
    "OFM and F-MSE as the published code computes them, beside correct ones",
)
_CHOSEN = (
    "the first frame is not scored",
    "clips are aligned beforehand, all alike; here they are only scaled to 128x128",
    "WER is that of a recogniser that hears: the lip reader of the paper is private",
    "FID and FVD pool all clips; windows of 16 frames",
)


def crema_person(name: str) -> str:
    """``1015_DFA_ANG_XX`` -> ``1015``."""
    return name.rpartition("/")[2].partition("_")[0]


def lrw_word(name: str) -> str:
    """``ABOUT/test/ABOUT_00001`` -> ``ABOUT``: a word stands for a person, since LRW names none."""
    return name.rpartition("/")[2].rpartition("_")[0]


PROTOCOLS = (
    Protocol(
        name="diffused-heads-crema",
        title="Diffused Heads: CREMA-D",
        paper="Diffused Heads, arXiv 2301.03396, experiments, CREMA-D",
        data=(
            DataSet("crema-d", "CREMA-D", expected=820, people=CREMA_TEST, each=82,
                    person_of=crema_person),
        ),
        task="self",
        drive="audio",
        view=_VIEW,
        seed=2137,
        metrics=_METRICS,
        options={"steps": 200},
        stated=("ten test speakers, 82 clips each", *_STATED),
        chosen=_CHOSEN,
    ),
    Protocol(
        name="diffused-heads-lrw",
        title="Diffused Heads: LRW",
        paper="Diffused Heads, arXiv 2301.03396, experiments, LRW",
        data=(
            DataSet("lrw", "LRW's test part", expected=25_000, each=50,
                    person_of=lrw_word, is_test=lambda name: "/test/" in f"/{name}"),
        ),
        task="self",
        drive="audio",
        view=_VIEW,
        seed=2137,
        metrics=_METRICS,
        options={"steps": 200},
        stated=("50 test clips of each of 500 words", *_STATED),
        chosen=_CHOSEN,
    ),
)  # fmt: skip
