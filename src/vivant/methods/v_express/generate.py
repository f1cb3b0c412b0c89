"""What comes out: frames of a portrait that speaks, window by window, as they are done.

The reference net, the drawings' features and all keys and values are computed once. Memory does not grow with the
length of the clip: every sampling step holds the few frames that it works on. Nothing is kept in the modules.
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
from vivant.diffusion.clip_inputs import portrait, speech_features
from vivant.methods.v_express.config import Config, Options
from vivant.methods.v_express.flicker import median_filter
from vivant.methods.v_express.prepare import attribute_values, drawings, keypoints, speech_windows
from vivant.nn.transformer import Strength


class Generator(ClipGenerator):
    """V-Express's inference over the modules of one configuration.

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
        super().__init__(modules, config, device, dtype, ("denoising_unet", "reference_net", "v_kps_guider", "codec"))

    def generate(self, source: FaceCrop, controls: Controls, options: Options | None = None) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB of the portrait under ``controls``, ``controls.count`` of them.

        Raises:
            ConfigError: controls or options that do not fit, memory that does not suffice.
        """
        options = options or Options()
        self.check(options)
        frames = self._frames(self._denoiser(source, controls, options), controls.count, options)
        median = self.config.median if options.median is None else options.median
        return median_filter(frames, self.device) if median else frames

    def _denoiser(self, source: FaceCrop, controls: Controls, options: Options) -> ClipDenoiser:
        config = self.config
        picture = portrait(source, config.output_size).to(self.device)
        points = keypoints(source, controls, options)
        features = speech_features(controls, config.audio.encoder)
        attributes = attribute_values(options.attributes, config.attributes)

        def reference() -> Mapping[str, Tensor]:
            latent = self.modules["codec"].encode(picture.to(self._dtype("codec")))  # type: ignore[operator]
            found: Mapping[str, Tensor] = self.modules["reference_net"](latent.to(self._dtype("reference_net")))
            return found

        def added(first: int, stop: int) -> Tensor:
            drawn = drawings(points[first:stop], config.output_size, config.family == "lite", self.device)
            found: Tensor = self.modules["v_kps_guider"](drawn[None].to(self._dtype("v_kps_guider")))[0]
            return found

        def heard(first: int, stop: int) -> Tensor:
            assert features is not None
            window = speech_windows(features, first, stop, controls.count, config.audio)
            found: Tensor = self.modules["audio_projection"](window.to(self.device, self._dtype("audio_projection")))
            return found

        def labelled() -> Tensor:
            assert attributes is not None
            tokens: Tensor = self.modules["attribute_tokens"](
                attributes.to(self.device, self._dtype("attribute_tokens"))
            )
            return tokens

        conditions = ClipConditions(
            reference,
            context=heard if features is not None else None,
            added=added,
            attributes=labelled if attributes is not None else None,
        )
        return ClipDenoiser(
            self._unet, conditions, controls.count, self._guidance(options), self._strength(options),
            self._net(options), self.modules.values(), options.reuse,
        )  # fmt: skip

    def _strength(self, options: Options) -> Strength:
        config = self.config
        reference = options.strength_reference if options.strength_reference is not None else config.reference_strength
        audio = options.strength_audio if options.strength_audio is not None else config.audio_strength
        return Strength(reference, audio)
