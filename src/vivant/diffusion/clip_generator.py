"""What the generators of reference-net methods share: modules on their device, windows, guidance, the compiled net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from vivant.core.errors import ConfigError
from vivant.diffusion.clip_denoiser import ClipDenoiser, GuidanceScale
from vivant.diffusion.clips import ClipPlan, latent_schedule, make_frames
from vivant.diffusion.codec import Codec, CompiledDecoder, Decoder, check_size, load_tiny_decoder
from vivant.diffusion.samplers import Sampling
from vivant.diffusion.schedule import Spacing, timetable
from vivant.diffusion.windows import Windows
from vivant.nn.video_unet import VideoUNet


class ClipGenerator:
    """Modules of one configuration, moved to ``device`` and ``dtype`` and set to evaluation.

    ``config``, options: the method's own, read for what all these methods have (output_size, codec, schedule,
    prediction, steps, sampler, window, overlap, shift, guidance with its range, batch, seed, compile).
    ``convolutional``: names of modules that run channels-last on a GPU.
    """

    config: Any
    main = "denoising_unet"
    """Name of the module that predicts."""

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Any,
        device: str | torch.device,
        dtype: torch.dtype,
        convolutional: Iterable[str],
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.modules = {name: module.to(self.device, dtype).eval() for name, module in modules.items()}
        if self.device.type == "cuda":
            for name in convolutional:
                self.modules[name].to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        check_size(self.modules["codec"], config.output_size, config.output_size)  # type: ignore[arg-type]
        self._compiled: dict[str, Any] = {}
        self._preview: tuple[str, nn.Module] | None = None

    def check(self, options: Any) -> None:
        """Refuse options that do not go together, or not with these nets; nothing is read, loaded or computed.

        Raises:
            ConfigError: such options.
        """
        self._windows(options)
        self._guidance(options)
        if options.preview_decoder and self.config.codec != "sd":
            raise ConfigError("--preview-decoder knows Stable Diffusion's latents only, and this preset has its own.")

    def _frames(self, denoiser: ClipDenoiser, count: int, options: Any) -> Iterator[np.ndarray]:
        """``count`` frames (O, O, 3) uint8 RGB of a clip, each as soon as it is done.

        Raises:
            ConfigError: there are none, or memory does not suffice. WeightsError: the small decoder cannot be loaded.
        """
        return make_frames(denoiser, self._decoder(options), self._plan(count, options), self.device)

    def _plan(self, count: int, options: Any) -> ClipPlan:
        config, codec, parity = self.config, cast(Codec, self.modules["codec"]), getattr(options, "upstream", False)
        side = config.output_size // codec.factor
        spacing: Spacing = "lcm" if options.sampler == "lcm" else "trailing"
        schedule = latent_schedule(self._schedule(options))
        table = timetable(schedule, options.steps or config.steps, spacing, stride=parity)
        return ClipPlan(
            count, (codec.channels, side, side), Sampling(table, options.sampler, config.prediction),
            self._windows(options), options.batch, options.seed, parity, parity,
        )  # fmt: skip

    def _schedule(self, options: Any) -> str:
        """Name of the noise schedule."""
        return str(self.config.schedule)

    @property
    def _unet(self) -> VideoUNet:
        unet = self.modules[self.main]
        assert isinstance(unet, VideoUNet)
        return unet

    def _dtype(self, name: str) -> torch.dtype:
        return next(self.modules[name].parameters()).dtype

    def _windows(self, options: Any) -> Windows:
        config = self.config
        window = config.window if options.window is None else options.window
        overlap = min(config.overlap, max(0, window - 1)) if options.overlap is None else options.overlap
        if options.shift and getattr(options, "reuse", 1) > 1:
            raise ConfigError("Deep features belong to windows that stay: give --shift 0, or --reuse 1.")
        return Windows(window, overlap, options.shift)

    def _guidance(self, options: Any) -> GuidanceScale:
        scale = self.config.guidance if options.guidance is None else options.guidance
        return GuidanceScale(scale, (options.guidance_from, options.guidance_to))

    def _net(self, options: Any) -> Callable[..., Any] | None:
        """The net compiled as one graph, if asked for; each form of it once for a generator."""
        if not options.compile:
            return None
        form = "with_deep" if getattr(options, "reuse", 1) > 1 else "forward"
        if form not in self._compiled:
            module: Any = self.modules[self.main]
            self._compiled[form] = torch.compile(module if form == "forward" else module.with_deep, fullgraph=True)
        return self._compiled[form]

    def _decoder(self, options: Any) -> Decoder:
        """What makes pictures of latents: the codec, or the small decoder, loaded once; compiled, if asked for."""
        decoder = self._plain_decoder(options)
        if not options.compile:
            return decoder
        form = f"decode {options.preview_decoder}"
        if form not in self._compiled:
            self._compiled[form] = CompiledDecoder(cast(nn.Module, decoder))
        return cast(Decoder, self._compiled[form])

    def _plain_decoder(self, options: Any) -> Decoder:
        """The codec, or the small decoder, loaded once.

        Raises:
            WeightsError: the small decoder cannot be loaded.
        """
        codec, where = self.modules["codec"], options.preview_decoder
        if not where:
            return cast(Codec, codec)
        if self._preview is None or self._preview[0] != where:
            place = next(codec.parameters())
            self._preview = where, load_tiny_decoder(None if where == "hub" else where).to(place.device, place.dtype)
        return cast(Decoder, self._preview[1])
