import cv2
import numpy as np


class Generator:
    def __init__(self, modules, config, device="cpu", dtype=None, causal=None):
        self.config = config

    def generate(self, source, controls, options):
        """Red: loudness. Green: whether the driver shows a face. Blue: where the nose is. Seed: the first pixel."""
        driving = iter(controls.driving) if controls.driving is not None else None
        side = self.config.output_size
        for index in range(controls.count):
            frame = cv2.resize(source.image, (side, side)) // 4
            if controls.speech is not None:
                loud = controls.speech.features["mel"][index : index + 1].mean() + 1.5
                frame[..., 0] = np.clip(100 * loud * options.strength_loudness, 0, 255)
            if driving is not None:
                frame[..., 1] = 0 if next(driving) is None else 200
            if controls.keypoints is not None:
                frame[..., 2] = np.clip(128 + 100 * controls.keypoints[index, 2, 0], 0, 255)
            frame[0, 0] = options.seed
            yield frame
