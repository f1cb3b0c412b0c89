"""What else moves when a slider turns the head.

The keypoints of a small motion extractor do not turn rigidly: when a head turns, M changes its expression as well (its
canonical depths are not those of the face), and the heads it saw turn about their necks. W learned from such pairs, so
a rotation alone looks to it like a turn of a third. A table tells what goes with the rotation: ``delta`` (K, 3) that
turns with the head, and ``pivot`` (3,) that stands still; ``tools/fit_pose_sliders.py`` fits both. Roll needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

from torch import Tensor

from vivant.methods.live_portrait.config import PRESETS, Config, Sliders
from vivant.methods.live_portrait.edits import turned
from vivant.methods.live_portrait.motion import Motion
from vivant.weights.assets import asset

FILE = "live_portrait/lite_turns.safetensors"


@dataclass(frozen=True)
class Turns:
    """``delta`` (K, 3): added to canonical keypoints where only the change of the rotation counts. ``pivot`` (3,): the
    point, in canonical units, about which the head turns."""

    delta: Tensor
    pivot: Tensor

    def carry(self, edited: Motion, source: Motion, sliders: Sliders) -> Motion:
        """``edited``, which is ``source`` with the rotation that ``sliders`` ask for, with what goes with their pitch
        and yaw. B faces each."""
        change = edited.rotation - turned(source.rotation, replace(sliders, pitch=0.0, yaw=0.0))
        shift = -edited.scale * (self.pivot.to(edited.exp) @ change)
        shift[:, 2] = 0
        exp = edited.exp + self.delta.to(edited.exp) @ change
        return replace(edited, exp=exp, translation=edited.translation + shift)


def turns_of(config: Config, sliders: Sliders) -> Turns | None:
    """The table of the preset ``lite``; None for other nets, and where ``sliders`` ask for neither pitch nor yaw: then
    its file is not opened.

    Raises:
        WeightsError: the bundled file is missing or damaged.
    """
    return _lite_turns() if (sliders.pitch or sliders.yaw) and config == PRESETS["lite"] else None


@cache
def _lite_turns() -> Turns:
    from safetensors.torch import load_file

    found = load_file(asset(FILE))
    return Turns(found["delta"], found["pivot"])
