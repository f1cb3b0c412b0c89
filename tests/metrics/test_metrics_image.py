from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vivant.core.errors import MediaError
from vivant.metrics.image import PSNR_CAP, capped_psnr, l1, psnr, ssim


def noisy(image: np.ndarray, amount: int) -> np.ndarray:
    noise = np.random.default_rng(0).integers(-amount, amount + 1, image.shape)
    return np.clip(image.astype(int) + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("amount", [3, 30])
def test_psnr_and_ssim_agree_with_scikit_image(picture: np.ndarray, amount: int) -> None:
    other = noisy(picture, amount)
    wanted = structural_similarity(
        picture, other, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    assert ssim(other, picture) == pytest.approx(wanted, abs=1e-9)
    assert psnr(other, picture) == pytest.approx(peak_signal_noise_ratio(picture, other), abs=1e-9)


def test_closed_forms() -> None:
    black, grey = np.zeros((16, 16, 3), np.uint8), np.full((16, 16, 3), 51, np.uint8)
    assert l1(black, grey) == pytest.approx(0.2)
    assert psnr(black, grey) == pytest.approx(20 * np.log10(5))
    c1 = (0.01 * 255) ** 2
    assert ssim(black, grey) == pytest.approx(c1 / (51**2 + c1))
    assert psnr(grey / 255, black / 255) == pytest.approx(psnr(grey, black))


def test_identical_pictures(picture: np.ndarray) -> None:
    assert l1(picture, picture) == 0
    assert ssim(picture, picture) == pytest.approx(1)
    assert psnr(picture, picture) == float("inf")
    assert capped_psnr(picture, picture) == PSNR_CAP


def test_blur_lowers_psnr_and_ssim(picture: np.ndarray) -> None:
    weak, strong = (cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (0.6, 2.0))
    assert psnr(strong, picture) < psnr(weak, picture)
    assert ssim(strong, picture) < ssim(weak, picture) < 1
    assert l1(strong, picture) > l1(weak, picture)


def test_pictures_that_do_not_compare() -> None:
    with pytest.raises(MediaError, match="sizes"):
        psnr(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(MediaError, match="types"):
        l1(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 3), np.float32))
    with pytest.raises(MediaError, match="11 pixels"):
        ssim(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8, 3), np.uint8))
