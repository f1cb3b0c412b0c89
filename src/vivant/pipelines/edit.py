"""Edit: a still changed by sliders."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from vivant.core.errors import ConfigError
from vivant.core.registry import DEFAULT_METHOD, get_method
from vivant.pipelines.animation import Animation
from vivant.pipelines.inputs import Media, as_clip, check_output, name_of
from vivant.pipelines.load import Pipeline, load
from vivant.pipelines.options import build_options, check_acting
from vivant.pipelines.sources import still_portrait

if TYPE_CHECKING:
    from vivant.pipelines.animate import Request


def edit(
    source: Media,
    output: str | os.PathLike[str] | None = None,
    *,
    sliders: Mapping[str, Any] | None = None,
    strength: Mapping[str, float] | None = None,
    face: str | int = "largest",
    method: str = DEFAULT_METHOD,
    weights: str | os.PathLike[str] | None = None,
    preset: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    seed: int = 0,
    lora: Sequence[str] = (),
    backend: str = "torch",
    crop_only: bool = False,
    match_color: bool = False,
    overwrite: bool = True,
    **options: Any,
) -> Animation:
    """Change a still by sliders, for example ``sliders={"smile": 1.0, "yaw": 10}``; a result of one frame.

    The other arguments are those of :func:`vivant.animate`.

    Raises:
        VivantError: bad input; the message is one sentence that says what to do.
    """
    from vivant.pipelines.animate import Request

    if output is not None:
        check_output(output, overwrite, (source,))
    spec = get_method(method)
    resolved = build_options(spec, options, sliders, strength, seed)
    check_acting(spec, resolved, ())  # before anything is loaded
    pipe = load(method, weights, preset, device, dtype, seed, lora, backend)
    request = Request(source, None, resolved, face, crop_only=crop_only, match_color=match_color)
    result = edited(pipe, request)
    if output is not None:
        result.save(output, overwrite=overwrite)
    return result


def edited(pipe: Pipeline, request: Request) -> Animation:
    """The edit of a request without a driver, as an animation of one frame."""
    from vivant.pipelines.animate import describe

    begin = time.perf_counter()
    frame, warnings = edit_still(
        pipe, request.source, request.options, request.face, request.crop_only, request.match_color
    )
    return Animation(
        render=lambda: iter([frame]),
        fps=Fraction(25),
        size=(frame.shape[0], frame.shape[1]),
        count=1,
        warnings=warnings,
        request=describe(pipe, request),
        seconds=time.perf_counter() - begin,
    )


class Editor:
    """A still that is changed again and again: read, faces found and cut once."""

    def __init__(
        self, pipe: Pipeline, source: Media, face: str | int = "largest", match_color: bool = False, finder: Any = None
    ) -> None:
        """``finder``: finds the faces, the pipeline's own if None.

        Raises:
            ConfigError: the source is a video, or the method has no sliders.
            FaceError: no usable face.
        """
        name = name_of(source, "source")
        if not pipe.spec.capabilities.sliders:
            raise ConfigError(f"The method '{pipe.spec.name}' has no sliders: give it something that drives.")
        clip = as_clip(source, "source")
        if clip.count != 1:
            raise ConfigError(f"Sliders alone change a still, and {name} is a video: add a driver (-d).")
        self._generator = pipe.generator
        self._portrait = still_portrait(finder or pipe.finder, clip, pipe.config, face, name)
        self._portrait.match_color = match_color

    @property
    def warnings(self) -> list[str]:
        """What a person should know, for example of faces left out."""
        return self._portrait.warnings

    def picture(self, options: Any, crop_only: bool = False) -> np.ndarray:
        """The edited picture (H, W, 3) uint8 RGB at the source's size, or the squares alone."""
        streams = [iter([self._generator.edit(crop, options)]) for crop in self._portrait.crops]
        frames = self._portrait.cropped(streams) if crop_only else self._portrait.pasted(streams)
        return next(iter(frames))


def edit_still(
    pipe: Pipeline,
    source: Media,
    options: Any,
    face: str | int = "largest",
    crop_only: bool = False,
    match_color: bool = False,
) -> tuple[np.ndarray, list[str]]:
    """The edited picture (H, W, 3) uint8 RGB at the source's size (or the squares alone), and warnings.

    Raises:
        ConfigError: as :class:`Editor`, or an option acts on an input, of which an edit has none.
        FaceError: as :class:`Editor`.
    """
    check_acting(pipe.spec, options, ())
    editor = Editor(pipe, source, face, match_color)
    return editor.picture(options, crop_only), editor.warnings
