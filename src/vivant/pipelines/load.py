"""A method in memory: its modules, weights, device and number type, ready for many portraits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.core.spec import MethodSpec
from vivant.pipelines.devices import pick_device, pick_dtype
from vivant.pipelines.options import build_options, check_seed, unknown
from vivant.weights.catalogue import pass_gate

if TYPE_CHECKING:
    from vivant.pipelines.animation import Animation
    from vivant.pipelines.inputs import Media

BACKENDS = ("torch", "onnx")


@dataclass
class Pipeline:
    """One loaded method. ``generator``: the method's Generator; ``weights_info``: what its weights module
    reported."""

    spec: MethodSpec
    preset: str
    config: Any
    generator: Any
    weights_info: Any
    device: str
    dtype: str
    seed: int = 0
    backend: str = "torch"
    _finder: Any = field(default=None, repr=False)

    @property
    def finder(self) -> Any:
        """The face finder, made on first use and kept."""
        if self._finder is None:
            from vivant.perception.faces import FaceFinder

            self._finder = FaceFinder()
        return self._finder

    def options(
        self,
        values: Mapping[str, Any] | None = None,
        sliders: Mapping[str, Any] | None = None,
        strength: Mapping[str, float] | None = None,
    ) -> Any:
        """The method's Options, checked; raises ConfigError on an unknown name or a value out of range."""
        return build_options(self.spec, values, sliders, strength, self.seed)

    def animate(
        self,
        source: Media,
        driving: Media | None = None,
        *,
        audio: Any = None,
        text: str | None = None,
        voice: str = "",
        language: str = "",
        keypoints: Any = None,
        encoders: Mapping[str, str] | None = None,
        face: str | int = "largest",
        driving_face: str | int = "largest",
        fps: float | str | Fraction | None = None,
        sliders: Mapping[str, Any] | None = None,
        strength: Mapping[str, float] | None = None,
        crop_only: bool = False,
        side_by_side: bool = False,
        match_color: bool = False,
        progress: bool = False,
        reference: str | int = "first",
        steady_eyes: bool = False,
        **values: Any,
    ) -> Animation:
        """Animate ``source`` by what drives it; see :func:`vivant.animate` for the arguments."""
        from vivant.pipelines.animate import Request, require_control, run
        from vivant.pipelines.say import said, saying_of

        options = self.options(values, sliders, strength)
        request = Request(source, driving, options, face, driving_face, fps, crop_only, side_by_side)
        request.match_color, request.progress = match_color, progress
        request.reference, request.steady_eyes = reference, steady_eyes
        request.saying = saying_of(text, voice, language)
        request.audio = said(request.saying, audio, self.seed)
        request.keypoints, request.encoders = keypoints, encoders
        require_control(self.spec, request, bool(sliders))
        return run(self, request)

    def edit(
        self,
        source: Media,
        *,
        face: str | int = "largest",
        sliders: Mapping[str, Any] | None = None,
        crop_only: bool = False,
        **values: Any,
    ) -> np.ndarray:
        """A still changed by sliders, (H, W, 3) uint8 RGB at its own size; see :func:`vivant.edit`."""
        from vivant.pipelines.edit import edit_still

        return edit_still(self, source, self.options(values, sliders), face, crop_only)[0]

    def stream(
        self,
        source: Media,
        driving: Any = None,
        *,
        audio: Any = None,
        live: bool = False,
        rate: int = 16_000,
        face: str | int = "largest",
        sliders: Mapping[str, Any] | None = None,
        strength: Mapping[str, float] | None = None,
        crop_only: bool = False,
        **values: Any,
    ) -> Iterator[np.ndarray]:
        """Frames as what drives comes, looking only back: for cameras, microphones and live use.

        ``driving``: a path, a Clip or any iterable of (H, W, 3) uint8 RGB frames. ``audio``: for methods that hear, a
        path, an Audio or any iterable of blocks of samples (n,) float in -1..1 at ``rate``; with ``live`` they come in
        their own time, and pictures that would be late are left out. Yields (H, W, 3) uint8 RGB.
        """
        from vivant.pipelines.stream import stream

        options = self.options(values, sliders, strength)
        if audio is not None:
            from vivant.pipelines.speak_live import speak_live

            if driving is not None:
                raise ConfigError("A stream follows a driver or a sound, and both are given: leave one out.")
            return speak_live(self, source, audio, options, face, crop_only, live, rate)
        if driving is None:
            raise ConfigError("Nothing drives the stream: give a driver or a sound.")
        return stream(self, source, driving, options, face, crop_only)


def load(
    method: str = DEFAULT_METHOD,
    weights: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    lora: Sequence[str] = (),
    backend: str = "torch",
) -> Pipeline:
    """Load a method.

    ``weights``: a file or folder of weights, or the name of a preset; None takes the preset's own.
    ``preset``: one of the method's presets, None is its default. ``device``: "auto", "cpu", "cuda", "cuda:1",
    "mps". ``dtype``: "auto", "fp32", "fp16", "bf16". ``seed``: sets torch's random numbers, which also fill
    the nets of the preset "tiny". ``lora``: low-rank additions, files or folders, each with ``:STRENGTH`` behind it if
    it is not to count fully. ``backend``: "torch", or "onnx" for nets that ``vivant export`` wrote into
    the folder ``weights``, on the CPU.

    Raises:
        ConfigError: unknown method, preset, device, number type or backend, or a seed out of range.
        WeightsError: the weights are missing, damaged or of another model.
    """
    spec, seed = get_method(method), check_seed(seed)
    path, asked = weights, preset
    if preset is None and isinstance(weights, str) and weights in spec.presets:
        preset, path = weights, None
    preset = preset or spec.default_preset
    if preset not in spec.part("config").PRESETS:
        raise unknown(f"preset of {spec.name}", preset, spec.presets)
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    if backend == "onnx":
        if lora:
            raise ConfigError("Low-rank additions do not go with the backend onnx: leave --lora out.")
        return _load_onnx(spec, path, asked, device, dtype, seed)
    chosen = pick_device(device)
    kind = pick_dtype(dtype, chosen)
    import torch

    torch.manual_seed(seed)
    weights_of = spec.part("weights")
    if path is None and preset.startswith("released"):  # before anything is downloaded
        pass_gate(f"{spec.name} ({preset})", weights_of.LICENCE)
    modules, config, info = weights_of.load_modules(preset, path, seed=seed)
    pass_gate(f"{spec.name} ({info.name})", info.licence)
    from vivant.controls.smoothing import OneEuroFilter
    from vivant.weights.lora import add_lora, lora_hashes, read_choices

    for choice, strength in read_choices(lora):
        add_lora(modules, choice, strength)
        info = replace(info, files={**info.files, **lora_hashes(choice)})

    modules = spec.part("model").optimize_for_inference(modules)
    make = spec.part("generate").Generator
    painted: dict[str, Any] = {}
    if spec.painter:
        painter = load(spec.painter, preset=config.painter_preset, device=device, dtype=dtype, seed=seed)
        painted["painter"] = painter.generator
        info = replace(info, files={**info.files, **painter.weights_info.files})
    try:
        generator = make(modules, config, device=chosen, dtype=kind, causal=OneEuroFilter, **painted)
    except torch.cuda.OutOfMemoryError as error:
        raise ConfigError(
            f"The GPU's memory does not hold {spec.name} ({info.name}): free it, or use --dtype fp16 or bf16, a smaller"
            " --preset, or --device cpu."
        ) from error
    return Pipeline(spec, preset, config, generator, info, chosen, str(kind).removeprefix("torch."), seed)


def _load_onnx(
    spec: MethodSpec, folder: str | os.PathLike[str] | None, asked: str | None, device: str, dtype: str, seed: int
) -> Pipeline:
    """A method whose nets onnxruntime runs.

    Raises:
        ConfigError: another device than the CPU, another number type than fp32, no export, or one of another preset.
    """
    import torch

    from vivant.pipelines.export import load_exported

    if device not in ("auto", "cpu"):
        raise ConfigError(f"The backend onnx runs on the CPU, not on '{device}': leave --device out.")
    if dtype not in ("auto", "fp32", "float32"):
        raise ConfigError(f"The backend onnx computes in fp32, not in {dtype}: leave --dtype out.")
    torch.manual_seed(seed)
    modules, config, info, preset = load_exported(spec, folder)
    if asked not in (None, preset):
        raise ConfigError(
            f"{folder} holds the preset '{preset}', not '{asked}': export that one, or leave --preset out."
        )
    pass_gate(f"{spec.name} ({info.name})", info.licence)
    from vivant.controls.smoothing import OneEuroFilter

    make = spec.part("generate").Generator
    generator = make(modules, config, device="cpu", dtype=torch.float32, causal=OneEuroFilter)
    return Pipeline(spec, preset, config, generator, info, "cpu", "float32", seed, "onnx")
