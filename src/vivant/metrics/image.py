"""Likeness of two pictures, pixel by pixel: L1, PSNR, SSIM.

All take (H, W, 3) or (H, W) pictures of the same shape; uint8 is read as 0..255, floating point as 0..1.
"""

from __future__ import annotations

import numpy as np

from vivant.core.errors import MediaError

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
PSNR_CAP = 100.0
"""Decibels at which a series of PSNR values is clipped, because identical pictures have an infinite one."""


def _pair(image: np.ndarray, reference: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Both pictures as float64 and their data range (255 or 1)."""
    if image.shape != reference.shape:
        raise MediaError(
            f"Pictures of sizes {image.shape} and {reference.shape} cannot be compared: make them one size."
        )
    if image.dtype != reference.dtype:
        raise MediaError(
            f"Pictures of types {image.dtype} and {reference.dtype} cannot be compared: convert one first."
        )
    span = 255.0 if image.dtype == np.uint8 else 1.0
    return image.astype(np.float64), reference.astype(np.float64), span


def l1(image: np.ndarray, reference: np.ndarray) -> float:
    """Mean absolute difference over all pixels and channels, data range scaled to 1. Range 0..1, lower is
    better.
    """
    a, b, span = _pair(image, reference)
    return float(np.abs(a - b).mean() / span)


def psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels, higher is better, infinite for identical pictures.

    ``10 log10(range^2 / MSE)`` with the mean squared error over all pixels and RGB channels.
    """
    a, b, span = _pair(image, reference)
    error = float(np.square(a - b).mean())
    return float("inf") if error == 0 else float(10 * np.log10(span**2 / error))


def ssim(image: np.ndarray, reference: np.ndarray) -> float:
    """Structural similarity, range -1..1, higher is better, 1 for identical pictures.

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE TIP 13(4), 2004, equations 13 and 14: Gaussian window 11x11 with sigma 1.5, K1 = 0.01,
    K2 = 0.03, biased (weighted) covariance, mean over the pixels whose window lies fully inside. Variant:
    computed on each RGB channel at full resolution and averaged (the paper used luminance).

    Raises:
        MediaError: sizes or types differ, or a side is shorter than 11 pixels.
    """
    import cv2

    a, b, span = _pair(image, reference)
    if min(a.shape[:2]) < SSIM_WINDOW:
        raise MediaError(f"SSIM needs pictures of at least {SSIM_WINDOW} pixels a side; this one is {a.shape[:2]}.")

    def blur(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (SSIM_WINDOW, SSIM_WINDOW), SSIM_SIGMA)

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    value = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    value /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    edge = SSIM_WINDOW // 2
    return float(value[edge:-edge, edge:-edge].mean())


def capped_psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """:func:`psnr` clipped at ``PSNR_CAP`` so that it can be averaged over frames."""
    return min(psnr(image, reference), PSNR_CAP)
