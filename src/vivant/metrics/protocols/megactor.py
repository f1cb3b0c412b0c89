"""MegActor-Sigma (arXiv 2408.14975), experiments: HDTF and CCv2, persons split 9 to 1."""

from __future__ import annotations

from vivant.metrics.protocols.base import DataSet, Protocol
from vivant.metrics.view import View

_METRICS = ("fid", "fvd", "lpips-alex", "sync-c", "sync-d", "fid-lite0", "fvd-lite0", "feat-lite0", "sync-c-lite",
            "sync-d-lite", "av-offset-lite", "csim-dlib", "landmark-error", "flicker", "faceless")  # fmt: skip
_STATED = ("persons split 9 to 1 into training and test", "FID, FVD, LPIPS, Sync-C, Sync-D")
_CHOSEN = (
    "which persons are tested is not published: the test part of a manifest that has others, too, else those whose "
    "name and the seed have the smallest SHA-256",
    "the first frame is the source and is not scored; the clip's picture and sound drive together",
    "25 frames a second, 512x512, one square around the true clip's first face, cut alike from both",
    "at most 100 frames a clip; LPIPS with AlexNet",
)
_VIEW = View(fps="25", first=1, frames=100, size=(512, 512), align="face")


def _protocol(name: str, title: str, data: DataSet) -> Protocol:
    return Protocol(
        name=name, title=title, paper="MegActor-Sigma, arXiv 2408.14975, experiments", data=(data,), task="self",
        drive="both", view=_VIEW, seed=42, metrics=_METRICS, stated=_STATED, chosen=_CHOSEN,
        version=2,
    )  # fmt: skip


def hdtf_person(name: str) -> str:
    """``WDA_BarackObama_000`` -> ``WDA_BarackObama``: all clips of one name belong to one person."""
    stem = name.rpartition("/")[2]
    front, _, last = stem.rpartition("_")
    return front if last.isdecimal() and front else stem


def ccv2_person(name: str) -> str:
    """``0001_portrait_scripted`` -> ``0001``."""
    return name.rpartition("/")[2].partition("_")[0]


PROTOCOLS = (
    _protocol(
        "megactor-hdtf", "MegActor-Sigma: HDTF",
        DataSet("hdtf", "HDTF", held_out=0.1, person_of=hdtf_person),
    ),
    _protocol(
        "megactor-ccv2", "MegActor-Sigma: CCv2",
        DataSet("ccv2", "Casual Conversations v2", held_out=0.1, person_of=ccv2_person),
    ),
)  # fmt: skip
