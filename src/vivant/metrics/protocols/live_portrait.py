"""LivePortrait (arXiv 2407.03168), experiments: self- and cross-reenactment."""

from __future__ import annotations

from vivant.metrics.protocols.base import DataSet, Protocol
from vivant.metrics.view import View

_SELF = ("psnr", "ssim", "lpips-alex", "l1", "fid", "aed-blendshapes", "apd-mesh", "eye-mae-iris", "csim-arcface")
_OURS = (
    "feat-lite0",
    "csim-dlib",
    "identity-distance-dlib",
    "landmark-error",
    "rotation-error",
    "fid-lite0",
    "faceless",
)
_CLIPS = (
    DataSet("talkinghead-1kh", "TalkingHead-1KH's test part"),
    DataSet("vfhq", "VFHQ's test part"),
)
_WHAT = "AED, APD and the eyes' MAE come from our own perception; the paper's come from nets that are not free"

PROTOCOLS = (
    Protocol(
        name="live-portrait-self",
        title="LivePortrait: self-reenactment",
        paper="LivePortrait, arXiv 2407.03168, table 2",
        data=_CLIPS,
        task="self",
        drive="video",
        view=View(first=1, size=(512, 512), align="square"),
        seed=0,
        metrics=_SELF + _OURS,
        options={"relative": False, "stitching": False, "smoothing": 0.0},
        stated=(
            "the first frame is the source, the rest of the clip drives",
            "PSNR, SSIM, LPIPS, L1, FID, AED, APD, MAE, CSIM",
        ),
        chosen=(
            "absolute motion without stitching and smoothing: all three change what is compared",
            "512x512, the centre square of the clip; every frame but the first is scored",
            "LPIPS with AlexNet; FID pools the frames of all clips of a set",
            _WHAT,
        ),
    ),
    Protocol(
        name="live-portrait-cross",
        title="LivePortrait: cross-reenactment",
        paper="LivePortrait, arXiv 2407.03168, table 3",
        data=(*_CLIPS, DataSet("ffhq", "pictures of FFHQ", kind="still", expected=50, draw=True)),
        task="cross",
        drive="video",
        view=View(size=(512, 512), align="square"),
        seed=0,
        metrics=(
            "fid", "aed-blendshapes", "apd-mesh", "eye-mae-iris", "csim-arcface", "fid-lite0", "csim-dlib",
            "identity-distance-dlib", "rotation-change-error", "mouth-correlation", "mouth-gain", "lids-correlation",
            "lids-gain", "jitter", "faceless",
        ),
        options={"relative": True},
        stated=("portraits of FFHQ are driven by clips of both test parts", "FID, AED, APD, MAE, CSIM"),
        chosen=(
            "50 portraits drawn by seed 0, each by 3 clips in turn; the paper's pairs are not published",
            "relative motion and the method's defaults",
            "FID compares generated frames with the portraits",
            _WHAT,
        ),
        drivers_each=3,
    ),
)  # fmt: skip
