"""Expressions that faces make: units of the head that move together, and units that exclude one another."""

from __future__ import annotations

import numpy as np

from vivant.rig.motion import EXPRESSION_NAMES, expression_rows

Random = np.random.Generator

# fmt: off
EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile": {"mouthSmile": 0.65, "cheekSquint": 0.35, "cheekRaiser": 0.3, "eyeSquint": 0.2, "mouthDimple": 0.2},
    "laugh": {"mouthSmile": 0.6, "jawOpen": 0.22, "cheekRaiser": 0.4, "cheekSquint": 0.4, "eyeSquint": 0.35,
              "mouthLowerDown": 0.2},
    "shut smile": {"mouthSmile": 0.5, "mouthPress": 0.4, "mouthDimple": 0.4},
    "surprise": {"browInnerUp": 0.8, "browOuterUp": 0.8, "eyeWide": 0.7, "jawOpen": 0.28},
    "fright": {"browInnerUp": 0.8, "browDown": 0.25, "eyeWide": 0.9, "mouthStretch": 0.6, "mouthLowerDown": 0.3,
               "jawOpen": 0.12},
    "anger": {"browDown": 0.9, "eyeSquint": 0.4, "noseSneer": 0.35, "mouthPress": 0.6},
    "fury": {"browDown": 0.9, "noseSneer": 0.6, "mouthUpperUp": 0.4, "mouthLowerDown": 0.5, "mouthStretch": 0.3},
    "disgust": {"noseSneer": 0.85, "mouthUpperUp": 0.4, "browDown": 0.5, "eyeSquint": 0.4, "mouthShrugLower": 0.25},
    "sorrow": {"browInnerUp": 0.85, "mouthFrown": 0.7, "mouthShrugLower": 0.35, "eyeSquint": 0.15},
    "pout": {"mouthShrugLower": 0.55, "mouthFrown": 0.4, "mouthPucker": 0.25},
    "doubt": {"mouthShrugLower": 0.4, "mouthShrugUpper": 0.3, "mouthFrown": 0.4, "browOuterUp": 0.5},
    "kiss": {"mouthPucker": 0.75},
    "oh": {"mouthFunnel": 0.6, "jawOpen": 0.22, "mouthPucker": 0.2},
    "ooh": {"mouthPucker": 0.5, "mouthFunnel": 0.35, "browInnerUp": 0.3},
    "ah": {"jawOpen": 0.45, "mouthLowerDown": 0.15},
    "yawn": {"jawOpen": 0.6, "mouthFunnel": 0.2, "eyeSquint": 0.5, "browDown": 0.3, "noseSneer": 0.2},
    "ee": {"mouthStretch": 0.55, "mouthLowerDown": 0.5, "mouthUpperUp": 0.35},
    "bared teeth": {"mouthUpperUp": 0.5, "mouthLowerDown": 0.6, "mouthSmile": 0.3},
    "lips in": {"mouthRollLower": 0.6, "mouthRollUpper": 0.6, "mouthPress": 0.2},
    "bitten lip": {"mouthRollLower": 0.7, "mouthUpperUp": 0.2},
    "puffed cheeks": {"cheekPuff": 0.7, "mouthPress": 0.4, "mouthPucker": 0.15},
    "pressed": {"mouthPress": 0.8, "mouthStretch": 0.2, "mouthDimple": 0.3},
    "frown": {"browDown": 0.8},
    "brows up": {"browInnerUp": 0.8, "browOuterUp": 0.8},
    "worried brows": {"browInnerUp": 0.9},
    "squint": {"eyeSquint": 0.85, "cheekSquint": 0.5, "browDown": 0.3},
    "wide eyes": {"eyeWide": 0.95},
    "sneer": {"noseSneer": 0.8, "mouthUpperUp": 0.25},
    "jaw out": {"jawForward": 0.6},
    "grimace": {"mouthStretch": 0.7, "mouthLowerDown": 0.4, "eyeSquint": 0.4, "browDown": 0.3},
}
"""Units of one expression at full strength; a name without a side moves both."""

ONE_SIDED: dict[str, dict[str, float]] = {
    "smirk": {"mouthSmile_L": 0.6, "mouthDimple_L": 0.3, "cheekSquint_L": 0.3, "mouthLeft": 0.15},
    "crooked mouth": {"mouthLeft": 0.55}, "crooked jaw": {"jawLeft": 0.55},
    "chewing": {"jawLeft": 0.35, "jawOpen": 0.12},
    "one brow": {"browOuterUp_L": 0.9, "browInnerUp_L": 0.3, "browDown_R": 0.4},
    "half sneer": {"noseSneer_L": 0.7, "mouthUpperUp_L": 0.45, "eyeSquint_L": 0.3},
    "half frown": {"mouthFrown_L": 0.6, "mouthLowerDown_L": 0.4}, "one cheek": {"cheekPuff_L": 0.7, "mouthRight": 0.2},
    "one eye squint": {"eyeSquint_L": 0.9, "cheekSquint_L": 0.6, "mouthSmile_L": 0.2},
    "half dimple": {"mouthDimple_L": 0.7, "mouthPress_L": 0.3}, "half stretch": {"mouthStretch_L": 0.7},
}
"""Expressions of the left side; drawn as often for the right."""
# fmt: on

MOUTH = tuple(row for row, name in enumerate(EXPRESSION_NAMES) if name.startswith(("mouth", "jaw", "cheekPuff")))
_HIGHEST = {"jawOpen": 0.62, "mouthSmile": 0.78, "mouthPucker": 0.8, "mouthFunnel": 0.68, "mouthUpperUp": 0.6}


def mirrored(name: str) -> str:
    """The unit of the other side: ``_L`` and ``_R``, ``mouthLeft`` and ``mouthRight`` change places."""
    for one, other in (("_L", "_R"), ("Left", "Right")):
        if name.endswith(one):
            return name.removesuffix(one) + other
        if name.endswith(other):
            return name.removesuffix(other) + one
    return name


def draw_expression(rng: Random, strength: float) -> tuple[str, np.ndarray]:
    """A name and (E,) units: an expression of a random kind and asymmetry, or now and then any single unit."""
    vector = np.zeros(len(EXPRESSION_NAMES), np.float32)
    kind = rng.random()
    if kind < 0.15:
        usable = [n for n in EXPRESSION_NAMES if not n.startswith(("eyeLook", "eyeBlink", "mouthClose", "jawOpen"))]
        name = str(rng.choice(usable))
        vector[list(expression_rows(name))] = rng.uniform(0.4, 0.8) * strength
        return name, vector
    table = ONE_SIDED if kind < 0.35 else EXPRESSIONS
    name = str(rng.choice(sorted(table)))
    other_side = table is ONE_SIDED and rng.random() < 0.5
    for unit, value in table[name].items():
        rows = expression_rows(mirrored(unit) if other_side else unit)
        for row in rows:
            vector[row] = value * strength * (1 + rng.uniform(-0.15, 0.15) * (len(rows) > 1))
    return name, vector


def plausible(expression: np.ndarray) -> np.ndarray:
    """(F, E) units without what no face does at once, such as a puckered smile or eyes wide in a blink."""
    units = expression.copy()

    def of(name: str) -> np.ndarray:
        return np.asarray(units[:, list(expression_rows(name))].max(1))

    def damp(name: str, factor: np.ndarray) -> None:
        for row in expression_rows(name):
            units[:, row] *= np.clip(factor, 0, 1)

    pucker, funnel, blink = (np.clip(of(n), 0, 1) for n in ("mouthPucker", "mouthFunnel", "eyeBlink"))
    for wide in ("mouthSmile", "mouthStretch", "mouthDimple"):
        damp(wide, (1 - 0.85 * pucker) * (1 - 0.6 * funnel))
    damp("mouthUpperUp", 1 - 0.7 * np.clip(of("mouthSmile"), 0, 1))  # else gums show
    damp("mouthFrown", 1 - 0.8 * np.clip(of("mouthSmile"), 0, 1))
    damp("eyeWide", 1 - blink)
    damp("eyeSquint", 1 - 0.7 * blink)
    damp("browDown", 1 - 0.7 * np.clip(of("browOuterUp"), 0, 1))
    for name, highest in _HIGHEST.items():
        for row in expression_rows(name):
            units[:, row] = np.minimum(units[:, row], highest)
    return units
