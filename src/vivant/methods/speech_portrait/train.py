"""How it learns: flow matching on windows of motion, some of their frames known, the sound sometimes unheard.

Terms, on what the velocity points to: ``mouth`` and ``rest`` are the squared error of the velocity over the numbers of
lips and chin and over all others; ``gap`` that of the openings of the lips; ``change`` that of the difference of
neighbouring frames, which keeps motion from trembling. Axis letters: B batch, N frames, C numbers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor, nn

from vivant.core.errors import ConfigError
from vivant.core.face_motion import CHIN, LIP_PAIRS, LIPS, MOVED, mirrored_rows
from vivant.core.speech import SPEECH_FEATURES
from vivant.diffusion.flow import end_of_path, integrate, logit_normal_times, on_path
from vivant.methods.speech_portrait.config import STYLES, Config
from vivant.methods.speech_portrait.model import Condition, MotionNet
from vivant.methods.speech_portrait.prepare import Template
from vivant.training.protocol import Batch
from vivant.training.stage import Stage

SAMPLES = "vivant.data.face_motions:FaceMotions"
_ANY = STYLES.index("any")
_SETTINGS = {
    "deaf": 0.15, "faceless": 0.25, "any_style": 0.15, "fresh": 0.25, "tremble": 0.08, "hiss": 0.15, "short": 0.2,
}  # fmt: skip
"""Chances that the sound, the face's shape or the style is not told, that no frame is known; spread of the noise on
known frames and on the sound; chance that the end of a window is missing."""
_SPREADS = (0.02, 4.0)
"""Floor of a number's spread, and how many spreads a number may lie off before it is held."""

STAGES: dict[str, Stage] = {
    "speak": Stage(
        name="speak", trains=("motion",), steps=2500, batch=128, learning_rate=1e-3, warmup=500,
        betas=(0.9, 0.98), weight_decay=0.05, clip_norm=1.0, ema_decay=0.9995,
        loss_weights={"mouth": 1.0, "rest": 0.5, "gap": 0.5, "change": 2.0}, settings=dict(_SETTINGS),
    )
}  # fmt: skip


def initialise(modules: dict[str, nn.Module], config: Config, samples: Any) -> None:
    """What the data says of itself: means and spreads of all numbers, what is kept of the sound, the template."""
    from vivant.methods.speech_portrait.weights import set_template

    net = modules["motion"]
    assert isinstance(net, MotionNet)
    rows = samples.numbers.float().cpu()
    rows = torch.cat([rows, _mirror(rows, *_order(rows.device))])
    buffers = {
        "number_mean": rows.mean(0),
        "number_spread": rows.std(0).clamp_min(_SPREADS[0] / 4),
        "shape_mean": torch.from_numpy(samples.arrays["shapes"]).float().mean(0),
        "shape_spread": torch.from_numpy(samples.arrays["shapes"]).float().std(0).clamp_min(_SPREADS[0]),
        "heard_mean": torch.from_numpy(samples.arrays["heard_mean"]).float(),
        "heard_basis": torch.from_numpy(samples.arrays["heard_basis"]).float()[:, : config.heard],
    }
    for name, value in buffers.items():
        net.get_buffer(name).copy_(value)
    rigid = (torch.from_numpy(samples.arrays[name]) for name in ("rigid_rows", "rigid_points"))
    set_template(net, Template(*rigid))


class Objective:
    """The aim of the stage; see :class:`vivant.training.protocol.Objective`."""

    def __init__(self, modules: dict[str, nn.Module], config: Config, stage: Stage, device: torch.device) -> None:
        net = modules["motion"]
        assert isinstance(net, MotionNet)
        self.modules, self.config, self.stage, self.device = modules, config, stage, device
        self.net, self.critics = net, dict[str, nn.Module]()
        self._settings = stage.settings_over(_SETTINGS)
        self._order, self._sign = _order(device)
        mouth = torch.zeros(len(self._sign), dtype=torch.bool)
        for point in (*LIPS, CHIN):
            row = 2 * MOVED.index(point)
            mouth[row : row + 2] = True
        self._mouth, self._rest = (rows.nonzero()[:, 0].to(device) for rows in (mouth, ~mouth))
        pairs = [[2 * MOVED.index(p) + 1 for p in side] for side in zip(*LIP_PAIRS)]
        self._upper, self._lower = (torch.tensor(rows, device=device) for rows in pairs)

    def augment(self, raw: Batch, generator: Generator | None) -> Batch:
        """Normalised rows, mirrored by chance, with noise, times, known frames and what is not told."""
        net, say, device = self.net, self._settings, self.device
        count, length = raw["numbers"].shape[:2]

        def chance(share: float) -> Tensor:
            return torch.rand(count, generator=generator, device=device) < share

        def normal(like: Tensor) -> Tensor:
            return torch.randn(like.shape, generator=generator, device=device)

        flip = chance(0.5)
        numbers = torch.where(flip[:, None, None], _mirror(raw["numbers"], self._order, self._sign), raw["numbers"])
        clean = net.normalised(numbers).clamp(-_SPREADS[1], _SPREADS[1])
        sound = self._kept(raw["sound"])
        sound = sound + say["hiss"] * normal(sound)
        place = torch.arange(length, device=device)
        first = (torch.rand(count, generator=generator, device=device) * (self.config.prefix + 1)).long()
        first = torch.where(chance(say["fresh"]), torch.zeros_like(first), first.clamp_max(length - 4))
        ends = length - (torch.rand(count, generator=generator, device=device) * (length - first - 4)).long()
        ends = torch.where(chance(say["short"]), ends, torch.full_like(ends, length))
        told = net.shape(raw["shape"])
        told = told + 0.1 * normal(told)
        told = torch.where((chance(say["faceless"]) | flip)[:, None], torch.zeros_like(told), told)
        return {
            "clean": clean,
            "noise": normal(clean),
            "t": logit_normal_times(count, generator, device),
            "before": clean + say["tremble"] * normal(clean),
            "known": (place < first[:, None]).float(),
            "there": place < ends[:, None],
            "sound": sound,
            "voiced": raw["voiced"],
            "shape": told,
            "style": torch.where(chance(say["any_style"]), torch.full_like(raw["style"], _ANY), raw["style"]),
            "deaf": chance(say["deaf"]).float(),
        }

    def _kept(self, sound: Tensor) -> Tensor:
        """Of each step of the sound (B, N, T H') the first H numbers, as many as the preset hears."""
        steps, _ = SPEECH_FEATURES[self.config.encoder]
        parts = sound.unflatten(2, (steps, -1))
        if parts.shape[-1] < self.config.heard:
            raise ConfigError(
                f"The data keeps {parts.shape[-1]} numbers of a step of sound, the preset hears {self.config.heard}: "
                "pack it again."
            )
        return parts[..., : self.config.heard].flatten(2)

    def losses(self, batch: Batch, adversarial: bool) -> tuple[Batch, Batch]:
        """Weighted terms of one step."""
        clean, noise, t = batch["clean"], batch["noise"], batch["t"]
        noisy = on_path(clean, noise, t)
        velocity = self.net(noisy, t, _condition(batch)).float()
        new = (batch["there"] & (batch["known"] < 0.5)).float()
        told = end_of_path(noisy, velocity, t)
        told = torch.where(batch["known"][..., None] > 0.5, clean, told)
        error = (velocity - (clean - noise)).square()
        both = new[:, 1:] * batch["there"][:, :-1].float()
        changes = (told.diff(dim=1) - clean.diff(dim=1)).square()
        gaps = (self._gaps(told) - self._gaps(clean)).square()
        terms = {
            "mouth": _mean(error.index_select(2, self._mouth), new),
            "rest": _mean(error.index_select(2, self._rest), new),
            "gap": _mean(gaps, new),
            "change": _mean(changes, both),
        }
        weights = self.stage.loss_weights
        return {name: weights[name] * value for name, value in terms.items() if weights.get(name, 0) > 0}, {}

    def _gaps(self, rows: Tensor) -> Tensor:
        """Openings of the lips (B, N, 3) of normalised rows, divided by the mean spread of the lower lip."""
        spread = self.net.get_buffer("number_spread")
        low, up = rows.index_select(2, self._lower), rows.index_select(2, self._upper)
        below, above = (spread.index_select(0, side) for side in (self._lower, self._upper))
        return (low * below - up * above) / below.mean()

    def critic_losses(self, batch: Batch, aux: Batch) -> Batch:
        """There are no critics."""
        return {}

    def sheet(self, batch: Batch, modules: dict[str, nn.Module]) -> Tensor:
        """One row: over the time of each window, the opening of the lips as it was (white) and as drawn (orange), below
        them yaw, likewise."""
        net = modules["motion"]
        assert isinstance(net, MotionNet)
        condition = _condition(batch)
        drawn = integrate(lambda x, t: net(x, t, condition).float(), batch["noise"], self.config.steps)
        drawn = torch.where(batch["known"][..., None] > 0.5, batch["clean"], drawn)
        curves = [(self._gaps(rows)[..., 0], rows[..., -5]) for rows in (batch["clean"], drawn)]
        return _plotted(curves)


def _condition(batch: Batch) -> Condition:
    return Condition(
        batch["sound"], batch["voiced"], batch["before"], batch["known"], batch["shape"], batch["style"],
        batch["deaf"], batch["there"],
    )  # fmt: skip


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Mean over the frames with weight (B, N) and over all numbers of values (B, N, C)."""
    return (values.mean(-1) * weight).sum() / weight.sum().clamp_min(1)


def _order(device: torch.device) -> tuple[Tensor, Tensor]:
    order, sign = mirrored_rows()
    return torch.from_numpy(order).to(device), torch.from_numpy(sign).to(device)


def _mirror(rows: Tensor, order: Tensor, sign: Tensor) -> Tensor:
    """Rows (..., C) of the flipped picture."""
    return rows.index_select(-1, order) * sign


def _plotted(curves: list[tuple[Tensor, Tensor]]) -> Tensor:
    """(B, 3, 96, 2 N) in 0..1 of pairs of curves (B, N)."""
    first = curves[0][0]
    picture = torch.zeros(len(first), 3, 96, 2 * first.shape[1], device=first.device)
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.5, 0.1]], device=first.device)
    for number, pair in enumerate(curves):
        for half, curve in enumerate(pair):
            height = (24 - 6 * curve.clamp(-3.5, 3.5)).round().long() + 48 * half
            for column in (0, 1):
                spot = height[:, None, None, :].expand(-1, 3, 1, -1)
                view = picture[:, :, :, column::2]
                view.scatter_(2, spot, colours[number][None, :, None, None].expand_as(spot))
    return picture
