"""What comes out: frames of a portrait under a driver, speech, or both, window by window, as they are done.

The reference transformer and all keys and values are computed once; driving pictures are read as they are needed.
Memory does not grow with the length of the clip. Nothing is kept in the modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.errors import ConfigError
from vivant.core.face import FaceCrop
from vivant.diffusion.clip_denoiser import ClipConditions, ClipDenoiser
from vivant.diffusion.clip_generator import ClipGenerator
from vivant.diffusion.clip_inputs import heard_windows, portrait, speech_features
from vivant.methods.megactor_sigma.config import AudioConfig, Config, Options
from vivant.methods.megactor_sigma.prepare import DrivingFrames, anchored, asked_drive
from vivant.nn.transformer import Strength
from vivant.nn.video_dit import VideoDiT


def audio_tokens(heard: Tensor, audio: AudioConfig) -> Tensor:
    """Feature vectors (..., S, states width) to tokens (..., T, width): all states of a step, then the next step's."""
    return heard.unflatten(-1, (audio.states, audio.width)).flatten(-3, -2)


class Generator(ClipGenerator):
    """MegActor-Sigma's inference over the modules of one configuration.

    The modules are moved to ``device`` and to ``dtype``, and set to evaluation; the schedule's arithmetic and the
    latents stay in float32. ``causal`` is not used: windows look forward.
    """

    config: Config
    main = "denoiser"

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Config,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        causal: Callable[[], Any] | None = None,
    ) -> None:
        super().__init__(modules, config, device, dtype, ("driven_encoder", "codec"))

    def generate(self, source: FaceCrop, controls: Controls, options: Options | None = None) -> Iterator[np.ndarray]:
        """Frames (O, O, 3) uint8 RGB of the portrait under ``controls``, ``controls.count`` of them.

        Raises:
            ConfigError: controls or options that do not fit, memory that does not suffice.
        """
        options = options or Options()
        self.check(options)
        return self._frames(self._denoiser(source, controls, options), controls.count, options)

    def _denoiser(self, source: FaceCrop, controls: Controls, options: Options) -> ClipDenoiser:
        config = self.config
        if controls.driving is None and controls.speech is None:
            raise ConfigError("Nothing drives the portrait: give a driver (-d), speech (-a), or both.")
        controls = anchored(source, controls, options, config)
        picture = portrait(source, config.output_size).to(self.device)
        features = speech_features(controls, config.audio.encoder)
        latent = _Latent(self.modules["codec"], picture)

        def reference() -> Mapping[str, Tensor]:
            found: Mapping[str, Tensor] = self.modules["reference_net"](latent().to(self._dtype("reference_net")))
            return found

        def heard(first: int, stop: int) -> Tensor:
            assert features is not None
            audio = config.audio
            window = heard_windows(features, first, stop, controls.count, audio.reach, audio.numbers, "repeat")
            return audio_tokens(window, audio).to(self.device, self._dtype("denoiser"))

        conditions = ClipConditions(
            reference,
            context=heard if features is not None else None,
            added=self._added(source, controls, options, latent),
        )
        net = self.modules["denoiser"]
        assert isinstance(net, VideoDiT)
        return ClipDenoiser(
            net, conditions, controls.count, self._guidance(options), Strength(context=options.strength_audio),
            self._net(options), self.modules.values(),
        )  # fmt: skip

    def _added(
        self, source: FaceCrop, controls: Controls, options: Options, latent: Callable[[], Tensor]
    ) -> Callable[[int, int], Tensor] | None:
        """Channels that are concatenated to the noise: driven features, perhaps the portrait's latent, masks."""
        config, drive = self.config, asked_drive(controls, options)
        side, masked = config.net.side, drive.eyes and not drive.mouth
        driving = DrivingFrames(source, controls, config, options) if controls.driving is not None else None
        if driving is None and not config.reference_input:
            return None

        def added(first: int, stop: int) -> Tensor:
            kind, count = self._dtype("denoiser"), stop - first
            parts = []
            if driving is None:
                parts.append(torch.zeros(count, config.driven, side, side, device=self.device, dtype=kind))
            else:
                pictures, masks, drives = (part.to(self.device) for part in driving.window(first, stop))
                features = self.modules["driven_encoder"](pictures[None].to(self._dtype("driven_encoder")))[0]
                parts.append(features.to(kind) * drives.to(kind)[:, None, None, None])
            if config.reference_input:
                parts.append(latent().to(kind).expand(count, -1, -1, -1))
            if masked:
                parts.append(masks.to(kind))
            return torch.cat(parts, 1)

        return added


class _Latent:
    """The picture's latent, computed when it is first asked for, and again when the codec goes to another precision:
    one that half precision broke must not stay."""

    def __init__(self, codec: nn.Module, picture: Tensor) -> None:
        self._codec, self._picture = codec, picture
        self._found: Tensor | None = None

    def __call__(self) -> Tensor:
        kind = next(self._codec.parameters()).dtype
        if self._found is None or self._found.dtype != kind:
            self._found = self._codec.encode(self._picture.to(kind))  # type: ignore[operator]
        assert self._found is not None
        return self._found
