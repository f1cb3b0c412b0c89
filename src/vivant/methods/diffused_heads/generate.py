"""What comes out: frames of a portrait that speaks, one after another, each drawn by a reverse diffusion chain.

Memory does not grow with length: the sound is heard a few frames ahead, and the last few frames are all that is kept.
Nothing is kept in the modules; the same seed gives the same frames on every device up to rounding.
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.controls import Controls
from vivant.core.errors import WeightsError
from vivant.core.face import FaceCrop
from vivant.diffusion.samplers import Guess, Sampling, get_sampler
from vivant.diffusion.schedule import cosine, timetable
from vivant.methods.diffused_heads.audio import check_speech, embeddings, neighbours
from vivant.methods.diffused_heads.config import Config, Options
from vivant.methods.diffused_heads.guard import ColourHold, MotionFrames
from vivant.methods.diffused_heads.prepare import identity_frame, to_frames
from vivant.methods.diffused_heads.unet import UNet


def sampling_of(config: Config, options: Options) -> Sampling:
    """Times and sampler of a run.

    The published chain is respaced with both ends and runs in float32; other nets start at zero signal, as they were
    trained.

    Raises:
        ConfigError: more steps than the schedule has.
    """
    schedule = cosine(dtype=torch.float32)
    if config.prediction != "epsilon":
        schedule = schedule.zero_snr()
    name = config.sampler if options.sampler == "auto" else options.sampler
    spacing: Any = "linspace" if config.prediction == "epsilon" else "trailing"
    table = timetable(schedule, options.steps or config.steps, spacing)
    return Sampling(table, name, config.prediction, clip=1.0)


class FrameChain:
    """Draws frames: the whole reverse chain of B frames in one call.

    What depends on the time alone is computed once, what depends on the sound or on identity and motion frames once a
    frame. On CUDA the chain is captured as one graph when it is first run.
    """

    def __init__(self, unet: UNet, sampling: Sampling, device: torch.device, autocast: Callable[[], Any]) -> None:
        self._unet, self._sampling, self._autocast = unet, sampling, autocast
        self._denoise: Callable[..., Tensor] = unet.denoise
        sampler = get_sampler(sampling.sampler)
        self.noisy, self._remembers = sampler.noisy, sampler.remembers
        self.steps = len(sampling.table)
        with torch.inference_mode(), autocast():
            times = torch.tensor(sampling.table.timesteps, device=device)
            self._times = [[row[i : i + 1] for row in unet.times(times)] for i in range(self.steps)]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._output: Tensor | None = None
        self.captures = device.type == "cuda"

    @torch.inference_mode()
    def __call__(self, motion: Tensor, identity: Tensor, audio: Tensor, noise: Tensor) -> Tensor:
        """Frames (B, 3, S, S) in -1..1 from motion frames (B, channels, S, S), identity frames (B, 3, S, S), audio
        embeddings (B, 2R + 1, W), and noise (1 or steps, B, 3, S, S): the start, then what the sampler adds."""
        given = [motion, identity, audio, noise]
        if not self.captures:
            return self._run(*given)
        if self._graph is None or any(a.shape != b.shape for a, b in zip(given, self._inputs)):
            self._capture(given)
        for kept, new in zip(self._inputs, given):
            kept.copy_(new)
        assert self._graph is not None and self._output is not None
        self._graph.replay()
        return self._output.clone()

    def _run(self, motion: Tensor, identity: Tensor, audio: Tensor, noise: Tensor) -> Tensor:
        with self._autocast():
            conditions, sounds = self._unet.conditions(motion, identity), self._unet.sounds(audio)
        x, past = noise[0], None
        for index in range(self.steps):
            with self._autocast():
                answer = self._denoise(x, conditions, self._times[index], sounds).float()
            fresh = noise[index + 1] if self.noisy and index < self.steps - 1 else None
            x, now = self._sampling.step(index, x, answer, past, fresh)
            past = Guess(now.x0, now.noise) if self._remembers else None
        return x.clamp(-1, 1)

    def compile(self) -> None:
        """Let torch.compile make the step of the chain faster; it is compiled when it first runs."""
        self._denoise = torch.compile(self._unet.denoise, dynamic=False)

    def _capture(self, given: Sequence[Tensor]) -> None:
        self._inputs = [tensor.clone() for tensor in given]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._run(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = self._run(*self._inputs)


class Generator:
    """Diffused Heads' inference over the modules of one configuration.

    ``dtype``: precision of the U-Net (autocast); the sampler's arithmetic stays in float32. ``compile``: let
    torch.compile make the U-Net faster, which takes a minute at the first frame.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        config: Config,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        smooth: Any = None,
        causal: Any = None,
        compile: bool = False,
        capture: bool = True,
    ) -> None:
        self.config, self.device, self.dtype = config, torch.device(device), dtype
        self.modules = {name: module.to(self.device).eval() for name, module in modules.items()}
        self._compile, self._capture = compile, capture

    @property
    def _unet(self) -> UNet:
        unet = self.modules["unet"]
        assert isinstance(unet, UNet)
        return unet

    def generate(self, source: FaceCrop, controls: Controls, options: Options | None = None) -> Iterator[np.ndarray]:
        """Frames (S, S, 3) uint8 RGB of the portrait speaking, one for each frame of the controls.

        Raises:
            ConfigError: there is no sound, or it lacks features; the options make no sense.
            WeightsError: the weights bring no audio encoder, or make pictures that are not finite.
        """
        options = options or Options()
        if "audio_encoder" not in self.modules:
            raise WeightsError(
                "These weights bring no audio encoder: put audio_encoder.pt into the folder beside the checkpoint."
            )
        speech = check_speech(self.config, controls.speech, controls.count)
        sampling = sampling_of(self.config, options)
        identity = identity_frame(source, self.config.image_size).to(self.device)
        rows = embeddings(self.modules["audio_encoder"], self.config, speech, controls.count, self.device)
        sounds = (torch.stack(rows) for rows in neighbours(rows, self.config.audio_reach))
        return self._frames(identity, sounds, controls.count, sampling, options)

    def _frames(
        self, identity: Tensor, sounds: Iterator[Tensor], count: int, sampling: Sampling, options: Options
    ) -> Iterator[np.ndarray]:
        chain = self._chain(sampling)
        kept = self.config.keep_noise if options.keep_noise is None else options.keep_noise
        noises = _noises(identity.shape, chain, count, options, kept)
        motion = self._motion_frames(identity, options)
        hold = ColourHold(identity, options.hold_colour if options.guard else 0.0)
        together, number = 1 if self.config.motion_frames else options.batch, 0
        while parts := list(islice(zip(sounds, noises), together)):
            audio, noise = torch.stack([a for a, _ in parts]), torch.cat([n for _, n in parts], 1).to(self.device)
            noise = self.config.noise_scale * noise
            shown = motion.before(number).expand(len(parts), -1, -1, -1)
            frames, chain = self._drawn(chain, sampling, (shown, identity.expand(len(parts), -1, -1, -1), audio, noise))
            for frame in frames.split(1):
                frame = hold(frame) if options.guard and options.hold_colour else frame
                motion.add(frame)
                yield to_frames(frame, options.upstream)[0]
            number += len(parts)

    def _motion_frames(self, identity: Tensor, options: Options) -> MotionFrames:
        config, guard = self.config, options.guard
        return MotionFrames(
            identity,
            config.motion_frames,
            config.grey_motion,
            options.anchor_every if guard else 0,
            config.motion_coarse,
            config.motion_noise if guard else 0.0,
            options.seed,
            config.leash if guard else 0.0,
        )

    def _drawn(
        self, chain: FrameChain, sampling: Sampling, given: tuple[Tensor, ...]
    ) -> tuple[Tensor, FrameChain]:  # fmt: skip
        """Frames, and the chain that drew them; half precision that breaks them is left for a wider type."""
        frames = chain(*given)
        while not bool(torch.isfinite(frames).all()):
            if self.dtype == torch.float32:
                raise WeightsError("The frames are not finite in float32: the weights are damaged or untrained.")
            before, self.dtype = self.dtype, torch.bfloat16 if self.dtype == torch.float16 else torch.float32
            warnings.warn(f"{before} gave broken frames; going on in {self.dtype}.", stacklevel=2)
            chain = self._chain(sampling)
            frames = chain(*given)
        return frames, chain

    def _chain(self, sampling: Sampling) -> FrameChain:
        unet = self._unet if self.dtype == torch.float32 else with_layers_in(self._unet, self.dtype)
        chain = FrameChain(unet, sampling, self.device, self._precision)
        chain.captures = chain.captures and self._capture
        if self._compile:
            chain.compile()
        return chain

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)


def with_layers_in(unet: UNet, dtype: torch.dtype) -> UNet:
    """The net with weights of its convolutions and linear layers in ``dtype``; all else is shared with ``unet``.

    Autocast would cast them to the same numbers in every step of every frame, about 8 % of the time on a CPU.
    """
    layers = [m for m in unet.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)]
    kept: dict[int, Any] = {id(tensor): tensor for tensor in (*unet.parameters(), *unet.buffers())}
    cast = {id(p): nn.Parameter(p.detach().to(dtype), False) for m in layers for p in m.parameters(recurse=False)}
    return copy.deepcopy(unet, kept | cast)


def _noises(shape: torch.Size, chain: FrameChain, count: int, options: Options, kept: float) -> Iterator[Tensor]:
    """For each frame its noise (1 or steps, 1, 3, S, S), drawn on the CPU; ``kept``: its correlation with the noise of
    the frame before.

    ``upstream``: all starts first, then what the sampler adds, in the order of the published sampler, all fresh.
    """
    generator = torch.Generator().manual_seed(options.seed)
    more = chain.steps if chain.noisy else 0
    if not options.upstream:
        noise = torch.randn((1 + more, *shape), generator=generator)
        for _ in range(count):
            yield noise
            noise = kept * noise + math.sqrt(1 - kept**2) * torch.randn(noise.shape, generator=generator)
        return
    starts = torch.randn((shape[0], count, *shape[1:]), generator=generator)
    for number in range(count):
        rest = torch.randn((more, *shape), generator=generator)
        yield torch.cat([starts[None, :, number], rest])
