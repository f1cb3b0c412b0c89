"""The nets at work: faces observed, frames painted; half precision where it holds."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from vivant.core.errors import WeightsError
from vivant.core.face import FaceCrop
from vivant.methods.live_portrait.config import Config
from vivant.methods.live_portrait.motion import Motion
from vivant.methods.live_portrait.prepare import (
    Features,
    Square,
    crop_ratios,
    expand_features,
    image_batch,
    motion_of,
    take_rows,
    to_reference,
    with_seen_shape,
)
from vivant.methods.live_portrait.turns import turns_of
from vivant.nn.side_by_side import SideBySide


@dataclass
class Portrait:
    """B source faces: image (B, 3, S, S), motion and features; features are renewed when the precision changes."""

    image: Tensor
    motion: Motion
    features: Features


class Painter:
    """Observes and paints with the modules of one configuration, which lie on ``device``. ``dtype``: precision of
    appearance, warp and decoder; it grows for good when a picture breaks."""

    def __init__(
        self, modules: Mapping[str, nn.Module], config: Config, device: torch.device, dtype: torch.dtype
    ) -> None:
        self.modules, self.config, self.device, self.dtype = modules, config, device, dtype
        self._side_by_side = SideBySide(device)
        self._turns = turns_of(config)

    @torch.inference_mode()
    def portrait(self, crops: Sequence[FaceCrop]) -> Portrait:
        """B source faces."""
        image, motion = self._seen(crops)
        return Portrait(image, motion, self._appearance(image))

    @torch.inference_mode()
    def observe(self, crops: Sequence[FaceCrop], squares: Sequence[Square], reference: Square) -> Motion:
        """The motion of B driving crops that lie in ``squares``, in the coordinates of ``reference``, on the painter's
        device."""
        _, motion = self._seen(crops)
        return to_reference(motion, squares, reference)

    def _seen(self, crops: Sequence[FaceCrop]) -> tuple[Tensor, Motion]:
        """Pictures (B, 3, S, S) of faces, and their motion in coordinates of their own squares."""
        image = image_batch(crops, self.config.input_size).to(self.device)
        eyes, lip = (ratio.to(self.device) for ratio in crop_ratios(crops))
        motion = motion_of(self._side_by_side(self.modules["motion_extractor"], image), eyes, lip)
        if self._turns is not None:
            motion = self._turns.seen(motion, np.stack([crop.landmarks for crop in crops]))
        return image, with_seen_shape(motion, crops, self.config.space)

    def _appearance(self, image: Tensor) -> Features:
        with self._precision():
            return self.modules["appearance_feature_extractor"](image)

    @torch.inference_mode()
    def render(self, portrait: Portrait, keypoints: Tensor) -> np.ndarray:
        """(B, K, 3) keypoints -> (B, O, O, 3) uint8; a picture that half precision breaks is computed again."""
        picture = self._decode(portrait, keypoints)
        while not bool(torch.isfinite(picture).all()):
            self._raise_precision()
            portrait.features = self._appearance(portrait.image)
            picture = self._decode(portrait, keypoints)
        pixels = (picture.clamp(0, 1) * 255 + 0.5).to(torch.uint8)
        return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()

    def _decode(self, portrait: Portrait, keypoints: Tensor) -> Tensor:
        rows = torch.arange(len(keypoints))
        return self._side_by_side(partial(self._decode_rows, portrait, keypoints), rows)

    def _decode_rows(self, portrait: Portrait, keypoints: Tensor, rows: Tensor) -> Tensor:
        """Neighbouring ``rows`` of (B, K, 3) keypoints, of one source or of B."""
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        keypoints, x_s = keypoints[part], portrait.motion.keypoints()
        several = len(x_s) > 1
        features = take_rows(portrait.features, part) if several else expand_features(portrait.features, len(rows))
        with self._precision():
            x_s = x_s[part] if several else x_s.expand_as(keypoints)
            warped = self.modules["warping_module"](features, x_s, keypoints)
            return self.modules["spade_generator"](warped["out"]).float()

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _raise_precision(self) -> None:
        """Go on in bfloat16 where the device has it, else float32; warns each time it changes, at most twice."""
        if self.dtype == torch.float32:
            raise WeightsError("The model's picture is not finite in float32: its weights are damaged or untrained.")
        cuda = self.device.type == "cuda"
        wide = self.dtype == torch.float16 and (torch.cuda.is_bf16_supported() if cuda else self.device.type == "cpu")
        before, self.dtype = self.dtype, torch.bfloat16 if wide else torch.float32
        warnings.warn(f"{before} gave broken pictures on this device; going on in {self.dtype}.", stacklevel=2)
