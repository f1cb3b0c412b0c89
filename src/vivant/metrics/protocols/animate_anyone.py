"""Animate Anyone (arXiv 2311.17117), experiments: fashion and dance."""

from __future__ import annotations

from vivant.metrics.protocols.base import DataSet, Protocol
from vivant.metrics.view import View

_METRICS = ("ssim", "psnr", "psnr-wrapped", "lpips-alex", "lpips-vgg", "fvd", "l1", "feat-lite0", "fid-lite0",
            "fvd-lite0", "flicker", "tfeat-lite0")  # fmt: skip
_PSNR = (
    "PSNR both correct and with 8-bit overflow: tables of this line of work were made with code that overflows, as "
    "later papers report"
)
_LPIPS = "LPIPS with both nets, since the paper does not say which"

PROTOCOLS = (
    Protocol(
        name="animate-anyone-fashion",
        title="Animate Anyone: fashion video synthesis",
        paper="Animate Anyone, arXiv 2311.17117, experiments, UBC fashion",
        data=(DataSet("fashion", "the UBC fashion data set's test part", expected=100),),
        task="self",
        drive="pose",
        view=View(first=1, size=(680, 512)),
        seed=42,
        metrics=_METRICS,
        stated=("500 clips to train, 100 to test, about 350 frames each", "SSIM, PSNR, LPIPS, FVD"),
        chosen=(
            "the first frame is the source and is not scored; the clip's own pose drives",
            "512x680 pixels, the clips' shape",
            _PSNR,
            _LPIPS,
        ),
    ),
    Protocol(
        name="animate-anyone-tiktok",
        title="Animate Anyone: human dance generation",
        paper="Animate Anyone, arXiv 2311.17117, experiments, TikTok",
        data=(DataSet("tiktok", "the TikTok dance data set's test part, split as DisCo's", expected=100),),
        task="self",
        drive="pose",
        view=View(first=1, size=(512, 512), align="square"),
        seed=42,
        metrics=_METRICS,
        stated=("340 clips to train, 100 to test, 10 to 15 s each", "SSIM, PSNR, LPIPS, FVD"),
        chosen=(
            "the first frame is the source and is not scored; the clip's own pose drives",
            "the centre square at 512x512",
            _PSNR,
            _LPIPS,
        ),
    ),
)
