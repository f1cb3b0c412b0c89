"""How much moves from frame to frame: optical-flow magnitude, frame-to-frame error, and flow against the true clip.

Pictures are scaled to 128x128 first, as in Diffused Heads' evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vivant.metrics.metric import INFINITE, Metric
from vivant.metrics.probes.base import Case, Collector, Findings, Lab
from vivant.metrics.view import Block, scaled

SIDE = 128
_FARNEBACK = "Farneback flow (pyramid 0.5, 7 levels, window 5, 15 iterations, poly 5, sigma 1.2) of grey 128x128 frames"
METRICS = (
    Metric("ofm", "optical-flow magnitude", "pixels of 128 a frame", (0, INFINITE), "as the truth",
           f"mean length of the {_FARNEBACK}", "Farneback 2003; Diffused Heads' OFM without its colouring", (),
           of_truth=True),
    Metric("ofm-published", "OFM as published", "", (0, 255), "as the truth",
           f"{_FARNEBACK}; each magnitude map is stretched to 0..255 and coloured by the JET map, and the mean of the "
           "colour values is taken: it says where motion is spread, not how strong it is",
           "Diffused Heads' evaluation code", (), of_truth=True, digits=2),
    Metric("f-mse", "F-MSE", "levels²", (0, INFINITE), "as the truth",
           "mean squared difference of neighbouring frames at 128x128, 0..255", "Diffused Heads, experiments", (),
           of_truth=True, digits=2),
    Metric("f-mse-published", "F-MSE as published", "", (0, 255), "as the truth",
           "as F-MSE, but difference and square wrap modulo 256", "Diffused Heads' evaluation code", (),
           of_truth=True, digits=2),
    Metric("flow-error", "tOF (flow error)", "pixels of 128 a frame", (0, INFINITE), "lower",
           f"mean length of the difference of the two clips' flows ({_FARNEBACK})", "Chu et al. 2020 (TecoGAN), tOF"),
)  # fmt: skip


def lacking(lab: Lab, names: Mapping[str, Metric]) -> dict[str, str]:
    """Nothing is ever missing."""
    return {}


def start(lab: Lab, names: Mapping[str, Metric], case: Case) -> Collector:
    """A collector for one clip."""
    return _Flow(case, any(name in names for name in ("ofm", "ofm-published", "flow-error")))


def farneback(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(H, W, 2) pixels: where each pixel of the grey picture ``before`` is in ``after``."""
    import cv2

    flow: np.ndarray = cv2.calcOpticalFlowFarneback(before, after, None, 0.5, 7, 5, 15, 5, 1.2, 0)  # type: ignore[call-overload]
    return flow


def coloured_mean(magnitude: np.ndarray) -> float:
    """Mean colour value of a magnitude map (H, W) that was stretched to 0..255 and coloured by JET."""
    import cv2

    stretched = cv2.normalize(magnitude, None, 0, 255, cv2.NORM_MINMAX)  # type: ignore[call-overload]
    return float(cv2.applyColorMap(stretched.astype(np.uint8), cv2.COLORMAP_JET).mean())


def step_error(before: np.ndarray, after: np.ndarray) -> float:
    """Mean squared difference of two uint8 pictures in levels²."""
    return float(np.square(after.astype(np.float64) - before).mean())


def wrapped_step_error(before: np.ndarray, after: np.ndarray) -> float:
    """As :func:`step_error` in 8-bit arithmetic, which wraps."""
    difference = after - before
    return float((difference * difference).mean())


class _Flow:
    def __init__(self, case: Case, flows: bool) -> None:
        self._case, self._flows = case, flows
        self._before: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        names = ("ofm", "ofm-published", "f-mse", "f-mse-published")
        self._rows = {role: {name: [float("nan")] for name in names} for role in case.judged()}
        self._errors = [float("nan")]

    def see(self, block: Block) -> None:
        import cv2

        for number in range(len(block)):
            flows = {}
            for role, rows in self._rows.items():
                picture = scaled((block.of(role) or [])[number], (SIDE, SIDE))
                now = picture, cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                before, self._before[role] = self._before.get(role), now
                if before is not None:
                    flows[role] = self._step(rows, before, now)
            if self._flows and len(flows) == 2:
                self._errors.append(float(np.linalg.norm(flows["made"] - flows["true"], axis=2).mean()))

    def _step(
        self,
        rows: dict[str, list[float]],
        before: tuple[np.ndarray, np.ndarray],
        now: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:
        rows["f-mse"].append(step_error(before[0], now[0]))
        rows["f-mse-published"].append(wrapped_step_error(before[0], now[0]))
        if not self._flows:
            return np.zeros((1, 1, 2))
        flow = farneback(before[1], now[1])
        magnitude = np.linalg.norm(flow, axis=2)
        rows["ofm"].append(float(magnitude.mean()))
        rows["ofm-published"].append(coloured_mean(magnitude))
        return flow

    def finish(self) -> Findings:
        found = Findings()
        for role, rows in self._rows.items():
            for name, values in rows.items():
                if len(values) > 1:
                    found.put(role, name, values)
        if len(self._errors) > 1:
            found.put("made", "flow-error", self._errors)
        return found
