"""What there is to load: every preset of every method with its licence, size, and whether it is here already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from vivant.core.errors import ConfigError
from vivant.core.registry import all_methods, get_method
from vivant.core.spec import MethodSpec

BYTES_A_NUMBER = 4
"""Published checkpoints hold float32."""


@dataclass(frozen=True)
class Offer:
    """One preset. ``place``: "bundled", "random", "not bundled here", or where published weights come from;
    ``licence``: of the weights, empty for random ones."""

    method: str
    preset: str
    place: str
    licence: str = ""

    @property
    def ready(self) -> bool:
        """Whether it loads without a network and shows something sensible."""
        return self.place == "bundled"

    @property
    def published(self) -> bool:
        """Whether the weights are fetched from where their authors put them."""
        return self.place not in ("bundled", "random", "not bundled here")


def offers(spec: MethodSpec) -> Iterator[Offer]:
    """The presets of a method, in its order."""
    from vivant.weights.assets import assets_info

    weights = spec.part("weights")
    bundled, shipped = getattr(weights, "BUNDLED", {}), assets_info()
    for preset in spec.presets:
        if preset in bundled:
            row = shipped.get(bundled[preset])
            known = (row.licence,) if row else ()
            yield Offer(spec.name, preset, "bundled" if row else "not bundled here", *known)
        elif preset.startswith("released"):
            yield Offer(spec.name, preset, weights.HUB, weights.LICENCE)
        else:
            yield Offer(spec.name, preset, "random")


def is_ready(spec: MethodSpec, preset: str | None = None) -> bool:
    """Whether the default preset, or the given one, loads offline with trained weights."""
    asked = preset or spec.default_preset
    return any(offer.ready for offer in offers(spec) if offer.preset == asked)


def ready_methods(capability: str) -> list[str]:
    """Names of the methods that can do ``capability`` ("audio", "driving", ...), those with bundled weights first."""
    able = [spec for spec in all_methods().values() if getattr(spec.capabilities, capability)]
    return [spec.name for spec in sorted(able, key=lambda spec: not is_ready(spec))]


@cache
def size_bytes(method: str, preset: str) -> tuple[int, bool]:
    """Size of the weights in bytes, and whether it is exact: a bundled file's own, else what the parameters take as
    float32."""
    from vivant.weights.assets import asset

    spec = get_method(method)
    offer = next((offer for offer in offers(spec) if offer.preset == preset), None)
    if offer is None:
        raise ConfigError(f"There is no preset '{preset}' of {method}: {', '.join(spec.presets)}.")
    if offer.ready:
        return asset(spec.part("weights").BUNDLED[preset]).stat().st_size, True
    import torch

    with torch.device("meta"):
        modules = spec.part("model").build_modules(spec.part("config").PRESETS[preset])
    return BYTES_A_NUMBER * sum(value.numel() for m in modules.values() for value in m.state_dict().values()), False
