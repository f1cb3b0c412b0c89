"""What comes out: motion of a face that says what is heard, and with a painter the frames of a portrait that does it.

Windows of frames follow one another; each is told the last frames of the one before, so motion has no seams, and only
those are kept. The noise of a window depends on the seed and its number alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.core.face_motion import NUMBERS, FaceMotion
from vivant.core.speech import HeardWindow, Speech
from vivant.diffusion.flow import integrate
from vivant.diffusion.guidance import guide
from vivant.methods.speech_portrait.config import STYLES, Config, Options
from vivant.methods.speech_portrait.finish import MOUTH, Finish
from vivant.methods.speech_portrait.model import Condition, MotionNet
from vivant.methods.speech_portrait.prepare import portrait_rest, shape_of

OVERLAP = 12
"""Frames of the window before that a window is told, where the whole sound is known."""
MADE_SHARE = 0.25
"""Share of made speech in the mouth of the style "alive": what sounds unlike the filmed people is said clearer."""


class Generator:
    """Speech to motion, and through ``painter`` (another method's Generator with ``paint``) to pictures."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Config,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        causal: Callable[[], Any] | None = None,
        painter: Any = None,
    ) -> None:
        net = modules["motion"].to(torch.device(device)).eval()
        assert isinstance(net, MotionNet)
        self.config, self.device, self.net, self.painter = config, torch.device(device), net, painter
        self._template = net.template
        self._mouth = torch.zeros(NUMBERS, dtype=torch.bool, device=self.device)
        self._mouth[MOUTH] = True

    def generate(self, source: FaceCrop, controls: Controls, options: Options) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB, one for each of the controls.

        Raises:
            ConfigError: there is no sound, or no painter.
        """
        if controls.speech is None:
            raise ConfigError("Nothing is heard: give the portrait something to say.")
        paint = self.painting(source, options)
        for motion in self.motion(source, controls.speech, options):
            yield from paint(motion)

    def painting(self, source: FaceCrop, options: Options) -> Any:
        """What paints ``source``: an object called with motion, which answers with its frames.

        Raises:
            ConfigError: there is no painter, or it does not know where lips and lids are.
        """
        if self.painter is None:
            raise ConfigError("Speech portrait makes motion: load it by vivant.load, which gives it a painter.")
        return self.painter.painting(source, options.stitching, options.batch)

    def motion(self, source: FaceCrop, speech: Speech, options: Options) -> Iterator[FaceMotion]:
        """The motion of all frames of ``speech``, window by window."""
        shape, finish = self._shape(source), Finish(options)
        length, count = self.config.window, len(speech)
        rows, before, number = torch.zeros(0, NUMBERS), 0, 0
        while before < count:
            told = min(OVERLAP, len(rows), self.config.prefix)
            start = before - told
            end = min(count, start + length)
            rows = self._window(speech, start, end, rows[len(rows) - told :], shape, options, number)
            new = self.net.plain(rows[told:]).cpu().numpy()
            yield FaceMotion.of(finish(new, speech, before, before), speech.fps)
            before, number = end, number + 1

    def live_motion(self, source: FaceCrop, windows: Iterable[HeardWindow], options: Options) -> Iterator[FaceMotion]:
        """The motion of the new frames of each window, from what was heard up to its end."""
        shape, finish = self._shape(source), Finish(options)
        rows = torch.zeros(0, NUMBERS)
        for number, window in enumerate(windows):
            told = min(len(rows), window.first - window.start, self.config.prefix)
            start = window.first - window.start - told
            made = self._window(
                window.speech, start, len(window.speech), rows[len(rows) - told :], shape, options, number
            )  # fmt: skip
            rows = torch.cat([rows, made[told : told + window.new]])[-self.config.prefix :]
            new = self.net.plain(made[told : told + window.new]).cpu().numpy()
            at = window.first - window.start
            yield FaceMotion.of(finish(new, window.speech, at, window.first), window.speech.fps)

    def _shape(self, source: FaceCrop) -> Tensor:
        """(1, S) normalised numbers of the portrait's face."""
        numbers = torch.from_numpy(shape_of(portrait_rest(source.landmarks, self._template)))
        return self.net.shape(numbers.to(self.device))[None].clamp(-4, 4)

    @torch.inference_mode()
    def _window(
        self, speech: Speech, start: int, end: int, before: Tensor, shape: Tensor, options: Options, number: int
    ) -> Tensor:
        """Normalised rows (end - start, C), the first of them ``before``."""
        count, told = end - start, len(before)
        features = np.asarray(speech.features[self.config.encoder][start:end], np.float32)
        sound = self.net.keep(torch.from_numpy(features).to(self.device))[None]
        voiced = torch.from_numpy(np.asarray(speech.voiced[start:end], np.float32)).to(self.device)[None]
        known = torch.zeros(1, count, device=self.device)
        known[:, :told] = 1
        filled = torch.zeros(1, count, NUMBERS, device=self.device)
        filled[0, :told] = before.to(self.device)
        views = _views(options)
        rows = len(views)
        condition = Condition(
            sound.expand(rows, -1, -1), voiced.expand(rows, -1), filled.expand(rows, -1, -1),
            known.expand(rows, -1), shape.expand(rows, -1),
            torch.tensor([style for style, _ in views], device=self.device),
            torch.tensor([deaf for _, deaf in views], device=self.device),
        )  # fmt: skip
        heard = self.net.listen(condition)

        def field(x: Tensor, t: Tensor) -> Tensor:
            found = self.net(x.expand(rows, -1, -1), t.expand(rows), condition, heard).float()
            velocity = found[:1] if options.guidance == 1 else guide(found[1:2], found[:1], options.guidance)
            if options.style == "alive":
                velocity = torch.where(self._mouth, torch.lerp(velocity, found[-1:], MADE_SHARE), found[-1:])
            return velocity

        noise = self._noise(count, options, number)
        drawn = integrate(field, noise[None], options.steps or self.config.steps)[0]
        return torch.cat([before, drawn[told:].cpu().clamp(-5, 5)])

    def _noise(self, count: int, options: Options, number: int) -> Tensor:
        generator = torch.Generator().manual_seed((options.seed * 1_000_003 + number) % 2**63)
        noise = torch.randn(count, NUMBERS, generator=generator)
        noise[:, MOUTH] *= options.variety
        return noise.to(self.device)


def _views(options: Options) -> list[tuple[int, float]]:
    """(style, 1 if deaf) of what is computed at each step: heard, unheard for guidance, heard in the other style."""
    alive = options.style == "alive"
    style = STYLES.index("natural" if alive else options.style)
    views = [(style, 0.0)] if options.guidance == 1 else [(style, 0.0), (style, 1.0)]
    return [*views, (STYLES.index("lively"), 0.0)] if alive else views
