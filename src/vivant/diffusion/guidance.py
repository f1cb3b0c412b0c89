"""Classifier-free guidance (Ho and Salimans 2022, arXiv:2207.12598)."""

from __future__ import annotations

from torch import Tensor

from vivant.core.errors import ConfigError
from vivant.diffusion.samplers import Moment, Predict


def guide(unconditional: Tensor, conditional: Tensor, scale: float, rescale: float = 0.0) -> Tensor:
    """Unconditional answer plus ``scale`` times the difference, (B, ...) in float32.

    ``rescale`` (0..1) moves the result's spread back to that of the conditional answer, against overexposure with zero
    terminal SNR (Lin et al. 2024, arXiv:2305.08891, equations 15 and 16).
    """
    free, asked = unconditional.float(), conditional.float()
    out = free + scale * (asked - free)
    if rescale:
        axes = tuple(range(1, out.ndim))
        factor = asked.std(axes, keepdim=True) / out.std(axes, keepdim=True).clamp_min(1e-8)
        out = out * (1 + rescale * (factor - 1))
    return out


def active(scale: float, span: tuple[float, float], moment: Moment) -> bool:
    """Whether guidance counts at this moment: the scale is not 1, and the progress lies in ``span``."""
    return scale != 1 and span[0] <= moment.progress < span[1]


def guided(
    conditional: Predict,
    unconditional: Predict,
    scale: float,
    span: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
) -> Predict:
    """A prediction that is guided while the progress lies in ``span``; outside it the unconditional net is not run.

    Guidance in a part of the schedule: Kynkaanniemi et al. 2024 (arXiv:2404.07724).

    Raises:
        ConfigError: the span is empty or leaves 0..1, or the scale is negative.
    """
    if not 0 <= span[0] <= span[1] <= 1 or scale < 0:
        raise ConfigError(f"Guidance of scale {scale} in the span {span} makes no sense: use 0 <= from <= to <= 1.")

    def predict(x: Tensor, moment: Moment) -> Tensor:
        asked = conditional(x, moment)
        if not active(scale, span, moment):
            return asked
        return guide(unconditional(x, moment), asked, scale, rescale)

    return predict
