"""The driver's neutral frame, from which relative motion is measured."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.config import MotionSpace, Options
from vivant.methods.live_portrait.edits import head_angles
from vivant.methods.live_portrait.motion import Motion, MotionTemplate


def neutral_expression(space: MotionSpace) -> Tensor:
    """(K, 3) expression of a neutral face with closed lips."""
    neutral = torch.zeros(space.keypoints, 3)
    for keypoint, values in space.neutral_expression.items():
        neutral[keypoint] = torch.tensor(values)
    return neutral


def check_choice(choice: int | str) -> None:
    """Refuse a neutral frame that no driver has.

    Raises:
        ConfigError: neither "first", "auto" nor a number from 0.
    """
    number = isinstance(choice, int) and not isinstance(choice, bool) and choice >= 0
    if not number and choice not in ("first", "auto"):
        raise ConfigError(f"Reference '{choice}' is unknown: use first, auto or a frame number from 0.")


def find_reference(template: MotionTemplate, choice: int | str) -> int:
    """Number of the driver's neutral frame: a number, "first", or "auto": frontal, closed lips, open eyes.

    Raises:
        ConfigError: no such frame or choice.
    """
    check_choice(choice)
    if choice == "first":
        return 0
    if isinstance(choice, int):
        if choice >= len(template):
            raise ConfigError(f"Reference frame {choice} does not exist: the driver has {len(template)} frames.")
        return choice
    motion = template.motion()
    cost = torch.stack(head_angles(motion.rotation)).abs().sum(0)
    eyes, lip = motion.eyes.nan_to_num(0).mean(1), motion.lip.nan_to_num(0)[:, 0]
    # in degrees: lips parted by 0.1 weigh as much as a head 5 degrees off, eyes 0.1 less open than usual likewise
    cost = cost + 50 * lip + 50 * (eyes.median() - eyes).clamp(min=0)
    for number in template.missing:
        cost[number] = torch.inf
    return int(cost.argmin())


def reference_motion(template: MotionTemplate, index: int, space: MotionSpace, options: Options) -> Motion:
    """The driver's neutral state (B = 1), what relative motion is measured from.

    A single picture has no earlier frame: its expression is measured from the neutral one (for the region "eyes" from
    zero) and its pose from itself, so that the portrait keeps its own.
    """
    motion = template.motion([index])
    if len(template) > 1:
        return motion
    neutral = neutral_expression(space)
    return replace(motion, exp=(torch.zeros_like(neutral) if options.region == "eyes" else neutral)[None])
