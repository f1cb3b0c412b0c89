"""From a portrait and a driver's motion to the keypoints that are rendered (paper sections 3.3 and 3.4).

Where the released code is mended:
- eye and lip retargeting add to the driven motion; there they replace it, and the head stops moving;
- the eye target is the mean of both eyes of the driver; there it is the left one;
- "silent lips" silences the lips only; there every other expression goes too, and the head shakes;
- everything the stage II nets add to a source video is filtered over time; there the frames are on their own;
- a driver who walks away or comes near does not push the portrait out of its square, where nothing could be painted.

A little over 300 lines: the way of one frame, from what was measured to what is rendered, is read in one piece.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from vivant.core.errors import ConfigError
from vivant.methods.live_portrait.algebra import bounded, motion_multiplier
from vivant.methods.live_portrait.config import Config, MotionSpace, Options
from vivant.methods.live_portrait.edits import check_sliders, edit_motion
from vivant.methods.live_portrait.gaze import Gaze
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.openings import Openings
from vivant.methods.live_portrait.reference import neutral_expression
from vivant.methods.live_portrait.turns import turns_of
from vivant.nn.smoothing import KalmanFilter

MAX_RATIO = 0.8  # training range of the targets: 0..0.8 (paper, appendix on retargeting)
OPEN_LIPS = 0.03  # an inner lip ratio above this counts as an open mouth
NET_NOISE = 10.0  # the deltas of the nets tremble more than measured motion: their variance over ``smoothing``
_TRAVEL = 0.3, 0.5  # half sides of the square that a still's head is moved: as driven, at most
_GROWTH = 0.15, 0.3  # the same for the change of its size
SMALL_EYES, USUAL_EYES = 0.18, 0.39  # released target of steady eyes when the first frame shows them nearly closed


def check_options(options: Options) -> None:
    """Refuse options that make no sense.

    Raises:
        ConfigError: naming the option and what it may be.
    """
    check_sliders(options.sliders)
    if options.region not in ("all", "pose", "expression", "lips", "eyes"):
        raise ConfigError(f"Region '{options.region}' is unknown: use all, pose, expression, lips or eyes.")
    if options.driving not in ("expression-friendly", "pose-friendly"):
        raise ConfigError(f"Driving '{options.driving}' is unknown: use expression-friendly or pose-friendly.")
    if not abs(options.multiplier) < float("inf"):
        raise ConfigError(f"The multiplier is {options.multiplier}: choose a finite number, 1 is as driven.")
    if not 0 <= options.smoothing < float("inf"):
        raise ConfigError(f"Smoothing is {options.smoothing}: choose 0 (off) or a small variance such as 3e-7.")
    if not 0 <= options.gaze_gain <= 3:
        raise ConfigError(f"The gaze gain is {options.gaze_gain}: choose 0 (eyes stay) to 3; 1 is as told.")
    if options.batch < 1:
        raise ConfigError(f"The batch is {options.batch}: at least one frame is computed at once.")


def marked(space: MotionSpace, keypoints: Sequence[int]) -> Tensor:
    """(K, 1) mask: the rows of ``keypoints``."""
    mask = torch.zeros(space.keypoints, 1, dtype=torch.bool)
    mask[list(keypoints)] = True
    return mask


def transferred(space: MotionSpace, options: Options, still: bool) -> Tensor:
    """(K, 3) mask: the expression numbers that come from the driver.

    A still in relative mode takes all of a region. Absolute mode and video sources take only the components that
    carry expression, because the others hold the shape of the driver's face.
    """
    mask = torch.zeros(space.keypoints, 3, dtype=torch.bool)
    if options.region in ("all", "expression"):
        if still and options.relative:
            mask[:] = True
        for keypoint, axes in space.absolute:
            mask[keypoint, ["xyz".index(axis) for axis in axes]] = True
    elif options.region in ("lips", "eyes"):
        mask[list(space.lips if options.region == "lips" else space.eyes)] = True
    if options.neutral_lips:
        mask[list(space.lips)] = False
    return mask


@dataclass(frozen=True)
class _Start:
    """What a run needs of its source: x_s (B, K, 3), the source with its wishes, and deltas (B, K, 3)."""

    source: Motion
    x_s: Tensor
    base: Motion
    adaptation: tuple[Tensor, Tensor, float] | None
    sliders: Tensor
    closing: Tensor | None


class Retargeter:
    """Computes the driven keypoints of one run. For a still a frame depends on no earlier one; for a source video,
    whose frames must come in order, what the stage II nets ask for is filtered over time.

    ``still``: the source is one picture (else a video); ``single``: the driver is one picture. ``rest_eyes``: (1, 2)
    opening ratio of the driver's eyes when they are simply open, None if unknown.
    """

    def __init__(
        self,
        nets: nn.Module,
        config: Config,
        options: Options,
        reference: Motion,
        still: bool = True,
        single: bool = False,
        rest_eyes: Tensor | None = None,
    ) -> None:
        check_options(options)
        self._nets: Mapping[str, nn.Module] = dict(nets.named_children())
        self._config, self._options = config, options
        self._reference, self._still = reference, still
        self._start: _Start | None = None
        variance = 0.0 if still else NET_NOISE * options.smoothing
        self._filters = {name: KalmanFilter(variance) for name in ("sliders", "closing", "eyes")}
        self._friendly = options.driving == "expression-friendly" and options.relative and still and not single
        device = reference.exp.device
        self._mask = transferred(config.space, options, still).to(device)
        self._moved = {net: marked(config.space, config.space.moved_by(net)).to(device) for net in self._nets}
        self._neutral = neutral_expression(config.space).to(device)
        self._turns = turns_of(config)
        self._openings = self._make_openings(rest_eyes, device) if not single else None
        self._gaze = Gaze(config.space, options.gaze_gain, device)
        if options.eye_retargeting or options.lip_retargeting:
            needed = [reference.eyes] * options.eye_retargeting + [reference.lip] * options.lip_retargeting
            if any(bool(ratio.isnan().any()) for ratio in needed):
                raise ConfigError("This motion file holds no eye and lip ratios: switch eye and lip retargeting off.")

    def drive(self, source: Motion, driver: Motion, steady_eyes: float | None = None) -> Tensor:
        """Keypoints (B, K, 3) of B frames; ``source`` has 1 row (a still) or B rows (a video).

        ``steady_eyes``: opening ratio that the eyes of a source video are held at.
        """
        options, start = self._options, self._started(source)
        held = self._held(start.base, driver)
        target = self._target(start.base, driver, held)
        x_s, x_d = start.x_s, target.keypoints()
        if start.adaptation is not None:
            x_b, x_0, multiplier = start.adaptation
            x_d = x_b + multiplier * (x_d - x_0)
        if self._openings is not None:
            x_d = self._openings(x_d, target, start.base, driver)
        x_d = self._gaze(x_d, held.keypoints())
        x_d = x_d + self._condition_deltas(start, driver)
        if options.stitching:
            x_d = self.stitch(x_s, x_d)
        if start.closing is not None:
            x_d = x_d + start.closing
        if steady_eyes is not None:
            x_d = x_d + self._calmed("eyes", self._eyes(source, x_s, torch.full_like(source.lip, steady_eyes)))
        return x_s + (x_d - x_s) * options.multiplier

    def edit(self, source: Motion) -> Tensor:
        """Keypoints (B, K, 3) of the source with the sliders, and stitching if it is on."""
        start = self._started(source)
        x_d = start.base.keypoints() + start.sliders
        return self.stitch(start.x_s, x_d) if self._options.stitching else x_d

    def stitch(self, x_s: Tensor, x_d: Tensor) -> Tensor:
        """x_d moved so that the shoulders meet the portrait (paper, equation 6); (B, K, 3)."""
        count, points = x_d.shape[:2]
        pair = torch.cat([x_s.expand_as(x_d).flatten(1), x_d.flatten(1)], dim=1)
        delta = self._nets["retarget_shoulder"](pair)
        shift = torch.cat([delta[:, 3 * points :], delta.new_zeros(count, 1)], dim=1)
        return x_d + delta[:, : 3 * points].reshape(count, points, 3) + shift[:, None]

    def _make_openings(self, rest_eyes: Tensor | None, device: torch.device) -> Openings | None:
        """What carries openings over in relative motion, where the space names its keypoints and they are driven."""
        options, space = self._options, self._config.space
        if not (options.openings and options.relative and space.landmarks):
            return None
        lips, eyes = (self._moves(part) for part in (space.lips[:10], space.eyes))
        known = rest_eyes is not None and not bool(rest_eyes.isnan().any())
        rest = rest_eyes if known and eyes and self._still and not options.eye_retargeting else None
        lips = lips and not options.lip_retargeting
        return Openings(space, lips, rest, device) if lips or rest is not None else None

    def _started(self, source: Motion) -> _Start:
        """What depends on the source alone; a still's is computed for its first frame and used for all."""
        if self._start is None or self._start.source is not source:
            x_s, base = source.keypoints(), self._base(source)
            adaptation = self._adaptation(base) if self._friendly else None
            sliders = self._calmed("sliders", self._slider_deltas(source, x_s))
            self._start = _Start(source, x_s, base, adaptation, sliders, self._closing(source, x_s))
        return self._start

    def _calmed(self, name: str, deltas: Tensor) -> Tensor:
        """Deltas (B, K, 3) of consecutive frames of a source video, filtered; a still keeps its own."""
        if self._still:
            return deltas
        return torch.from_numpy(self._filters[name](deltas.cpu().numpy())).to(deltas)

    def _base(self, source: Motion) -> Motion:
        """The source with the wishes that do not depend on the driver."""
        base = edit_motion(source, self._options.sliders, self._config.family)
        if self._options.neutral_lips:
            exp, lips = base.exp.clone(), list(self._config.space.lips)
            exp[:, lips] = self._neutral[lips]
            base = replace(base, exp=exp)
        sliders = self._options.sliders
        turns = self._turns if sliders.pitch or sliders.yaw else None
        return base if turns is None else turns.carry(base, source)

    def _target(self, base: Motion, driver: Motion, held: Motion) -> Motion:
        """``held`` with what the driver's expression gives: the motion to render before stitching, B rows."""
        moved = base.exp + driver.exp - self._reference.exp if self._options.relative else driver.exp
        return replace(held, exp=torch.where(self._mask, moved, held.exp))

    def _held(self, base: Motion, driver: Motion) -> Motion:
        """The portrait's own expression on the driven head, B rows, with what goes with its turn (a driver's expression
        has that already): facts of the paper's section 3.4 and the released code."""
        options, first, count = self._options, self._reference, len(driver.exp)
        relative, pose = options.relative, options.region in ("all", "pose")
        rotation, scale, translation = base.rotation, base.scale, base.translation
        if pose:
            turn = driver.rotation @ first.rotation.transpose(1, 2)
            rotation = turn @ base.rotation if relative else driver.rotation
        if pose and self._still:
            travel = bounded(driver.translation - first.translation, *_TRAVEL)
            translation = (translation if relative else first.translation) + travel
        if relative and self._still and options.region == "all":
            scale = scale * (1 + bounded(driver.scale / first.scale - 1, *_GROWTH))
        exp = base.exp if self._turns is None else base.exp + self._turns.carried(base.rotation, rotation)
        exp = exp.expand(count, *exp.shape[1:])
        return Motion(
            exp, rotation.expand(count, 3, 3), scale.expand(count, 1), translation.expand(count, 3),
            base.canonical.expand_as(exp), driver.eyes, driver.lip,
        )  # fmt: skip

    def _adaptation(self, base: Motion) -> tuple[Tensor, Tensor, float]:
        """x_b, x_0 and m of x_d' = x_b + m (x_d - x_0): "expression-friendly" driving, m from hull volumes.

        As in the released code, x_0, the driven reference frame, already carries the portrait's size, so m is 1 up to
        rounding; what remains is that the reference frame lands on the portrait exactly.
        """
        first = self._reference
        x_b, x_0 = base.keypoints(), self._target(base, first, self._held(base, first)).keypoints()
        return x_b, x_0, motion_multiplier(x_b[0], x_0[0])

    def _closing(self, source: Motion, x_s: Tensor) -> Tensor | None:
        """Delta that closes an open mouth of the portrait before it is driven, None where nothing is to do."""
        open_lips = source.lip >= OPEN_LIPS
        wanted = self._options.normalize_lips and self._options.relative
        if not wanted or (self._still and not bool(open_lips.any())):
            return None
        return self._calmed("closing", self._lips(source, x_s, torch.zeros_like(source.lip)) * open_lips[:, None])

    def _condition_deltas(self, start: _Start, driver: Motion) -> Tensor:
        """Eye and lip retargeting plus the sliders' targets, (B or 1, K, 3), 0 where nothing is asked.

        In relative mode the driven keypoints have opened the eyes by the driver's change already, so only what is
        left to the target is added: R(target) - R(reached). The same for the lips, which may have been closed before.
        """
        options, first, source, x_s = self._options, self._reference, start.source, start.x_s
        total = start.sliders
        if options.eye_retargeting:
            target, change = driver.eyes.mean(1, True), (driver.eyes - first.eyes).mean(1, True)
            total = total + self._eyes(source, x_s, target)
            if options.relative:
                reached = source.eyes.mean(1, True) + change * self._moves(self._config.space.eyes)
                total = total - self._eyes(source, x_s, reached)
        if options.lip_retargeting:
            total = total + self._lips(source, x_s, driver.lip)
            if options.relative:
                begin = source.lip if start.closing is None else source.lip * (source.lip < OPEN_LIPS)
                reached = begin + (driver.lip - first.lip) * self._moves(self._config.space.lips)
                total = total - self._lips(source, x_s, reached)
        return total

    def _moves(self, keypoints: tuple[int, ...]) -> bool:
        """Whether the driver's expression reaches any of ``keypoints``."""
        return bool(self._mask[list(keypoints)].any())

    def _slider_deltas(self, source: Motion, x_s: Tensor) -> Tensor:
        """Deltas of the sliders ``eyes_ratio`` and ``lip_ratio``; none where the source is there already (0.01)."""
        sliders, total = self._options.sliders, torch.zeros_like(x_s)
        if sliders.eyes_ratio is not None:
            target = source.eyes.new_full((len(source.eyes), 1), sliders.eyes_ratio)
            asked = ((source.eyes.mean(1, True) - target).abs() >= 0.005)[:, None]
            total = total + self._eyes(source, x_s, target) * asked
        if sliders.lip_ratio is not None:
            target = torch.full_like(source.lip, sliders.lip_ratio)
            total = total + self._lips(source, x_s, target) * ((source.lip - target).abs() >= 0.005)[:, None]
        return total

    def _eyes(self, source: Motion, x_s: Tensor, target: Tensor) -> Tensor:
        return self._ask("retarget_eye", x_s, source.eyes, target)

    def _lips(self, source: Motion, x_s: Tensor, target: Tensor) -> Tensor:
        return self._ask("retarget_mouth", x_s, source.lip, target)

    def _ask(self, net: str, x_s: Tensor, now: Tensor, target: Tensor) -> Tensor:
        """Delta (B, K, 3) of an MLP for x_s (1 or B rows), the present ratios and the target ratio (B, 1)."""
        rows = torch.cat([value.expand(len(target), -1) for value in (x_s.flatten(1), now)], dim=1)
        delta = self._nets[net](torch.cat([rows, target.clamp(0, MAX_RATIO)], dim=1)).reshape(len(target), -1, 3)
        return delta * self._moved[net]
