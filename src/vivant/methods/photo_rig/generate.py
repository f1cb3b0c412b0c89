"""What comes out: frames of a portrait that follows a driver, speaks, or is edited.

The driver is read once; 63 numbers a frame are kept. Frames leave as they are drawn. The same input gives the same
frames; chance (``options.seed``) moves only the head and blinks of a portrait that nothing but sound drives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.methods.photo_rig.config import Options, RigConfig
from vivant.methods.photo_rig.idle import idle_motion
from vivant.methods.photo_rig.prepare import MOUTH, driven_motion, follow, rig_of, to_picture, with_sliders
from vivant.methods.photo_rig.speech import spoken_expression
from vivant.rig.build import PhotoRig
from vivant.rig.limits import within_reach
from vivant.rig.motion import RigMotion
from vivant.rig.render import Renderer
from vivant.rig.track import LiveTracker

_FINE = 768  # pixels; larger frames are drawn without supersampling


class Generator:
    """The photo rig; it has no modules. ``device``: where frames are drawn."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: RigConfig,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        causal: Callable[[], Any] | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self._causal = causal

    def generate(self, source: FaceCrop, controls: Controls, options: Options) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB, one for each of the controls; O is ``config.output_size``, with a ``native``
        configuration the side of the source's crop.

        A driving video gives pose, expression and gaze; sound gives the mouth (also beside a video), and alone it
        comes with idle motion of the head.

        Raises:
            ConfigError: nothing drives.
            RigRejected, FaceError: the portrait or the driver cannot be used.
        """
        rig = rig_of(source)
        motion = self._motion(rig, source, controls, options)
        yield from self._draw(rig, source, within_reach(with_sliders(motion, options.sliders), rig), options)

    def edit(self, source: FaceCrop, options: Options) -> np.ndarray:
        """The portrait changed by the sliders, (O, O, 3) uint8 RGB."""
        rig = rig_of(source)
        motion = within_reach(with_sliders(RigMotion.still(), options.sliders), rig)
        return next(self._draw(rig, source, motion, replace(options, sway=0.0)))

    def stream(
        self, source: FaceCrop, crops: Iterable[FaceCrop | None], options: Options
    ) -> Iterator[np.ndarray | None]:
        """One frame for each crop of a live driver, looking only back; None until a face is seen."""
        rig = rig_of(source)
        renderer = self._renderer(rig, source, replace(options, sway=0.0))
        tracker = LiveTracker(self._causal() if self._causal is not None and options.smooth else None)
        for crop in crops:
            motion = tracker(None if crop is None else to_picture(crop), (2, 2) if crop is None else crop.frame_size)
            if motion is None:
                yield None
                continue
            scaled = RigMotion(
                motion.fps,
                motion.pose * options.strength_pose,
                motion.expression * options.strength_expression,
                motion.gaze,
            )
            yield next(renderer.frames(within_reach(with_sliders(scaled, options.sliders), rig))).image

    def _motion(self, rig: PhotoRig, source: FaceCrop, controls: Controls, options: Options) -> RigMotion:
        fps, count = controls.fps, controls.count
        if controls.driving is None and controls.speech is None:
            raise ConfigError("Nothing drives the photo rig: give a driving video, sound, or sliders.")
        if controls.driving is not None:
            motion = driven_motion(follow(controls.driving), rig, source, fps, options)
        else:
            motion = idle_motion(controls.speech, fps, count, options.idle, options.seed)
        if controls.speech is None:
            return motion
        mouth = spoken_expression(controls.speech, rig.shape.expression, options.strength_speech)
        expression = np.where(MOUTH, mouth[: len(motion)], motion.expression)
        return RigMotion(fps, motion.pose, expression, motion.gaze)

    def _draw(self, rig: PhotoRig, source: FaceCrop, motion: RigMotion, options: Options) -> Iterator[np.ndarray]:
        batch = 1 if self.device.type == "cpu" else options.batch
        for frame in self._renderer(rig, source, options).frames(motion, batch):
            yield frame.image

    def _renderer(self, rig: PhotoRig, source: FaceCrop, options: Options) -> Renderer:
        size = len(source.image) if self.config.native else self.config.output_size
        finer = options.supersample or (2 if size <= _FINE else 1)
        return Renderer(rig, size, finer, None, str(self.device), options.sway)
