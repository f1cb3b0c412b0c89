"""What comes out: frames of a portrait that follows a driver.

The source's appearance is computed once, the driver's motion and the frames in batches; frames leave as soon as they
are made, so memory grows only by the motion itself (about 300 numbers a driving frame). Nothing is kept in the
modules, and nothing is random: the same input gives the same frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.errors import FaceError
from vivant.core.face import FaceCrop
from vivant.core.face_motion import FaceMotion
from vivant.methods.live_portrait.config import Config, Options
from vivant.methods.live_portrait.motion import CausalFilter, Motion, MotionRows, MotionTemplate, Smoother, check_space
from vivant.methods.live_portrait.painter import Painter, Portrait
from vivant.methods.live_portrait.prepare import Trail, held
from vivant.methods.live_portrait.reference import check_choice, find_reference, reference_motion
from vivant.methods.live_portrait.retargeting import SMALL_EYES, USUAL_EYES, Retargeter, check_options
from vivant.methods.live_portrait.told import ToldDriver
from vivant.methods.live_portrait.turns import turns_of
from vivant.nn.smoothing import kalman_smooth

_OBSERVED_AT_ONCE = 8  # driving frames a pass of the motion extractor


class Generator:
    """LivePortrait's inference over the five modules of one configuration.

    The modules are moved to ``device`` and set to evaluation. ``dtype`` is the precision of appearance, warp and
    decoder (autocast); the motion extractor, the algebra and the stage II nets stay in float32, because half precision
    makes the head tremble. ``smooth`` smooths whole clips, ``causal`` makes a filter for each stream; where one is None
    the motion is used as measured.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Config,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        smooth: Smoother | None = kalman_smooth,
        causal: Callable[[], CausalFilter] | None = None,
    ) -> None:
        self.config = config
        self.device = torch.device(device)
        self.modules = {name: module.to(self.device).eval() for name, module in modules.items()}
        self._painter = Painter(self.modules, config, self.device, dtype)
        self._smooth, self._causal = smooth, causal

    @property
    def dtype(self) -> torch.dtype:
        """Precision of appearance, warp and decoder; it grows where a picture broke."""
        return self._painter.dtype

    @staticmethod
    def check(options: Options, reference: int | str = "first") -> None:
        """Refuse what makes no sense whatever the driver shows, before it is read.

        Raises:
            ConfigError: options or reference make no sense.
        """
        check_options(options)
        check_choice(reference)

    def motion(self, crops: Iterable[FaceCrop | None], fps: Fraction | float = Fraction(25)) -> MotionTemplate:
        """The motion of a driver, frame by frame, told in the square of its first crop.

        A frame without a face (None) repeats the one before, at the beginning the first that comes; its number is
        recorded in ``missing``.

        Raises:
            FaceError: no frame has a face.
        """
        seen: list[bool] = []

        def faces() -> Iterator[FaceCrop]:
            for crop in crops:
                seen.append(crop is not None)
                if crop is not None:
                    yield crop

        found = MotionRows()
        trail, first = Trail(), None
        waiting = faces()
        while batch := list(islice(waiting, _OBSERVED_AT_ONCE)):
            squares = [trail(crop) for crop in batch]
            first = first or squares[0]
            found.add(self._painter.observe(batch, squares, first).to("cpu"))
        if first is None:
            raise FaceError("The driver shows no face in any frame: choose another clip or a lower threshold.")
        rate = Fraction(fps).limit_denominator(100_000)
        return found.template(np.array(seen), rate, self.config.family)

    def animate(
        self,
        source: FaceCrop | Iterable[FaceCrop | None],
        motion: MotionTemplate,
        options: Options | None = None,
        reference: int | str = "first",
        steady_eyes: bool = False,
    ) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB of the source following ``motion``.

        A still gives one frame for every frame of the motion; a video as many as the shorter of the two has, or all of
        its own when the driver is one picture. A source frame without a face repeats the view before it.
        ``reference``: the driver's neutral frame, "first", "auto" (frontal, lips closed, eyes open) or a frame number.
        ``steady_eyes``: hold the eyes of a source video as open as in its first frame.

        Raises:
            ConfigError: options or reference make no sense, or the motion is of another space.
            FaceError: the source video shows no face.
        """
        options = options or Options()
        check_options(options)
        check_space(motion, self.config.family, self.config.space.keypoints)
        index = find_reference(motion, reference)
        if self._smooth and options.smoothing > 0 and len(motion) > 1:
            motion = motion.smoothed(self._smooth, options.smoothing)
        first = reference_motion(motion, index, self.config.space, options).to(self.device)
        still = isinstance(source, FaceCrop)
        nets = self.modules["stitching_retargeting_module"]
        rest = None if np.isnan(motion.eyes).any() else torch.from_numpy(np.quantile(motion.eyes, 0.75, axis=0)[None])
        retargeter = Retargeter(
            nets, self.config, options, first, still, len(motion) == 1,
            None if rest is None else rest.float().to(self.device),
        )  # fmt: skip
        if isinstance(source, FaceCrop):
            return self._animate_still(source, motion, retargeter, options.batch)
        return self._animate_video(source, motion, retargeter, options.batch, steady_eyes)

    def stream(
        self, source: FaceCrop, crops: Iterable[FaceCrop | None], options: Options | None = None
    ) -> Iterator[np.ndarray]:
        """One frame (O, O, 3) uint8 RGB for every crop as it comes, from past frames only.

        The first face seen is the neutral reference. Until then the portrait is shown as it is; later a frame without
        a face repeats the last picture.

        Raises:
            ConfigError: the options make no sense.
        """
        options = options or Options()
        check_options(options)
        return self._stream(source, crops, options)

    def stream_late(
        self, source: FaceCrop, crops: Iterable[FaceCrop | None], options: Options | None = None
    ) -> Iterator[np.ndarray]:
        """The frames of :meth:`stream`, each when the crop after it has come: one frame is painted by a thread of its
        own while the next is observed, so two cores give more frames, each a little later.

        Raises:
            ConfigError: the options make no sense.
        """
        options = options or Options()
        check_options(options)
        return self._stream_late(source, crops, options)

    def painting(
        self, source: FaceCrop, stitching: bool = True, batch: int = 4
    ) -> Callable[[FaceMotion], Iterator[np.ndarray]]:
        """A function from motion that is told without keypoints to frames (O, O, 3) uint8 RGB of the source.

        Raises:
            ConfigError: the keypoints of these nets are no landmarks.
        """
        portrait = self._painter.portrait([source])
        drive = ToldDriver(self.config.space, portrait.motion, turns_of(self.config))
        retargeter = self._retargeter(Options(stitching=stitching), portrait.motion)

        def paint(motion: FaceMotion) -> Iterator[np.ndarray]:
            told = drive(motion)
            for first in range(0, len(motion), batch):
                yield from self._drive(portrait, told.rows(first, first + batch), retargeter)

        return paint

    def edit(self, source: FaceCrop, options: Options | None = None) -> np.ndarray:
        """The portrait with ``options.sliders``, (O, O, 3) uint8 RGB.

        Raises:
            ConfigError: a slider is out of range.
        """
        options = options or Options()
        portrait = self._painter.portrait([source])
        retargeter = self._retargeter(options, portrait.motion)
        with torch.inference_mode():
            keypoints = retargeter.edit(portrait.motion)
        return self._painter.render(portrait, keypoints)[0]

    def _animate_still(
        self, source: FaceCrop, motion: MotionTemplate, retargeter: Retargeter, batch: int
    ) -> Iterator[np.ndarray]:
        portrait = self._painter.portrait([source])
        for start in range(0, len(motion), batch):
            yield from self._drive(portrait, motion.motion(range(start, min(start + batch, len(motion)))), retargeter)

    def _animate_video(
        self,
        source: Iterable[FaceCrop | None],
        motion: MotionTemplate,
        retargeter: Retargeter,
        batch: int,
        steady_eyes: bool,
    ) -> Iterator[np.ndarray]:
        crops_left, start, single = held(source), 0, len(motion) == 1
        steady: float | None = None
        while crops := list(islice(crops_left, batch if single else min(batch, len(motion) - start))):
            portrait = self._painter.portrait(crops)
            if steady_eyes and start == 0:
                opening = float(portrait.motion.eyes[0].mean())
                steady = opening if opening >= SMALL_EYES else USUAL_EYES
            rows = [0] * len(crops) if single else range(start, start + len(crops))
            yield from self._drive(portrait, motion.motion(rows), retargeter, steady)
            start += len(crops)

    def _stream(self, source: FaceCrop, crops: Iterable[FaceCrop | None], options: Options) -> Iterator[np.ndarray]:
        portrait = self._painter.portrait([source])
        frame = self._painter.render(portrait, portrait.motion.keypoints())[0]
        for keypoints in self._followed(portrait, crops, options):
            frame = frame if keypoints is None else self._painter.render(portrait, keypoints)[0]
            yield frame.copy()

    def _stream_late(
        self, source: FaceCrop, crops: Iterable[FaceCrop | None], options: Options
    ) -> Iterator[np.ndarray]:
        portrait = self._painter.portrait([source])
        with ThreadPoolExecutor(1, "vivant", initializer=torch.set_num_threads, initargs=(1,)) as painter:
            newest = painter.submit(self._painter.render, portrait, portrait.motion.keypoints())
            waiting: Future[np.ndarray] | None = None
            for keypoints in self._followed(portrait, crops, options):
                if keypoints is not None:
                    newest = painter.submit(self._painter.render, portrait, keypoints)
                if waiting is not None:
                    yield waiting.result()[0].copy()
                waiting = newest
            if waiting is not None:
                yield waiting.result()[0].copy()

    def _followed(
        self, portrait: Portrait, crops: Iterable[FaceCrop | None], options: Options
    ) -> Iterator[Tensor | None]:
        """Keypoints (1, K, 3) of the portrait for every crop, None where no face is seen."""
        causal = self._causal() if self._causal and options.smoothing > 0 else None
        trail, first = Trail(), None
        retargeter: Retargeter | None = None
        for crop in crops:
            if crop is None:
                yield None
                continue
            square = trail(crop)
            first = first or square
            driver = self._painter.observe([crop], [square], first)
            driver = driver.filtered(causal) if causal else driver
            retargeter = retargeter or self._retargeter(options, driver)
            yield self._driven(portrait, driver, retargeter)

    def _retargeter(self, options: Options, reference: Motion) -> Retargeter:
        nets = self.modules["stitching_retargeting_module"]
        return Retargeter(
            nets, self.config, options, reference.to(self.device), rest_eyes=reference.eyes.to(self.device)
        )

    def _drive(
        self, portrait: Portrait, driver: Motion, retargeter: Retargeter, steady_eyes: float | None = None
    ) -> Iterator[np.ndarray]:
        yield from self._painter.render(portrait, self._driven(portrait, driver, retargeter, steady_eyes))

    @torch.inference_mode()
    def _driven(
        self, portrait: Portrait, driver: Motion, retargeter: Retargeter, steady_eyes: float | None = None
    ) -> Tensor:
        return retargeter.drive(portrait.motion, driver.to(self.device), steady_eyes)
