"""A virtual camera on this machine: what is shown live appears as a camera in video calls (extra ``camera``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from vivant.core.errors import MediaError, MissingExtraError


class VirtualCamera:
    """Opened with the first picture, whose size it keeps; later pictures of another size are refused.

    Linux needs the kernel module v4l2loopback, Windows and macOS the virtual camera of OBS.
    """

    def __init__(self, fps: float = 20.0) -> None:
        """Raises MissingExtraError when pyvirtualcam is not installed."""
        try:
            import pyvirtualcam
        except ImportError:
            raise MissingExtraError("pyvirtualcam", "camera", "A virtual camera") from None
        self._make, self._fps = pyvirtualcam.Camera, fps
        self._camera: Any = None

    def send(self, picture: np.ndarray) -> None:
        """Show (H, W, 3) uint8 RGB.

        Raises:
            MediaError: this machine has no virtual camera device, or the size changed.
        """
        height, width = picture.shape[:2]
        if self._camera is None:
            try:
                self._camera = self._make(width=width, height=height, fps=self._fps)
            except RuntimeError as error:
                raise MediaError(
                    f"No virtual camera can be opened ({str(error).strip().splitlines()[0]}): load v4l2loopback on "
                    "Linux, or install OBS."
                ) from error
        if (self._camera.height, self._camera.width) != (height, width):
            raise MediaError(
                f"The virtual camera shows {self._camera.width}x{self._camera.height} px, not {width}x{height}: "
                "stop it before the size changes."
            )
        self._camera.send(np.ascontiguousarray(picture))

    def close(self) -> None:
        """Give the device back."""
        if self._camera is not None:
            self._camera.close()
            self._camera = None
