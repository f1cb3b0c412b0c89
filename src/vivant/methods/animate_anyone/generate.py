"""What comes out: frames of a person who performs poses, window by window, as they are done.

The reference net, the picture's token, the drawings' features and the reference's keys and values are computed once.
Memory does not grow with the length of the clip. Nothing is kept in the modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.face import FaceCrop
from vivant.diffusion.clip_denoiser import ClipConditions, ClipDenoiser
from vivant.diffusion.clip_generator import ClipGenerator
from vivant.methods.animate_anyone.config import Config, Options
from vivant.methods.animate_anyone.model import guider_names, image_token
from vivant.methods.animate_anyone.prepare import drawings, face_drawings, person, poses


class Generator(ClipGenerator):
    """Animate Anyone's inference over the modules of one configuration.

    The modules are moved to ``device`` and to ``dtype``, and set to evaluation; the schedule's arithmetic and the
    latents stay in float32. ``causal`` is not used: windows look forward.
    """

    config: Config

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Config,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        causal: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(
            modules, config, device, dtype, ("denoising_unet", "reference_unet", "codec", *guider_names(config))
        )

    def generate(self, source: FaceCrop, controls: Controls, options: Options | None = None) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB of the person in ``source`` performing ``controls.pose``.

        Raises:
            ConfigError: controls or options that do not fit, memory that does not suffice.
        """
        options = options or Options()
        self.check(options)
        return self._frames(self._denoiser(source, controls, options), controls.count, options)

    def _schedule(self, options: Options) -> str:
        # the released inference uses other betas than its training; its users found noise in the background
        return "linear" if options.upstream else self.config.schedule

    def _denoiser(self, source: FaceCrop, controls: Controls, options: Options) -> ClipDenoiser:
        config = self.config
        picture = person(source, config.output_size).to(self.device)
        points = poses(controls, config)

        def tokens() -> Tensor:
            token = image_token(self.modules, picture).to(self._dtype("reference_unet"))
            return torch.cat([torch.zeros_like(token), token]) if config.free_reference else token

        def reference() -> Mapping[str, Tensor]:
            latent = self.modules["codec"].encode(picture.to(self._dtype("codec")))  # type: ignore[operator]
            latent = latent.to(self._dtype("reference_unet"))
            if config.free_reference:
                latent = torch.cat([torch.zeros_like(latent), latent])
            found: Mapping[str, Tensor] = self.modules["reference_unet"](latent, tokens())
            return found

        def added(first: int, stop: int) -> Tensor:
            drawn = self._drawn(points[first:stop], options)
            parts = [
                self.modules[name](part.to(self._dtype(name))[None])[0]
                for name, part in zip(guider_names(config), drawn)
            ]
            total: Tensor = sum(parts[1:], parts[0])
            return total

        guidance = self._guidance(options)
        conditions = ClipConditions(
            reference, tokens, added=added, added_free=True, free_reference=config.free_reference
        )
        return ClipDenoiser(
            self._unet, conditions, controls.count, guidance, net=self._net(options), modules=self.modules.values(),
            reuse=options.reuse,
        )  # fmt: skip

    def _drawn(self, points: np.ndarray, options: Options) -> tuple[Tensor, ...]:
        """One drawing a guider, (F, 3, O, O) each."""
        if self.config.guiders == 2:
            from vivant.core.skeleton import FACE

            return face_drawings(points[:, FACE], self.config.output_size, self.device)
        return (drawings(points, self.config.output_size, options, self.device),)
