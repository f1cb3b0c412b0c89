"""What people do for a second or ten: stand and gesture, wave, walk, dance, exercise, turn around. Smooth, in plans.

A plan (:class:`vivant.data.figures.posing.Plan`) says where hips, hands and feet are. Times are in seconds; everything
is a function of the generator, so that the same seed moves the same.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vivant.data.figures.body import Shape, body_model
from vivant.data.figures.curves import Random, between, smooth_step, turned, wander
from vivant.data.figures.posing import Plan

# places of the wrist in arm lengths from the shoulder: outwards, up, forward
HANDS = {
    "down": (0.22, -0.95, 0.08), "out": (0.5, -0.8, 0.1), "hip": (0.12, -0.62, -0.02), "belly": (-0.12, -0.55, 0.4),
    "chest": (-0.3, -0.22, 0.42), "front": (0.05, -0.12, 0.85), "offer": (0.2, -0.45, 0.65), "side": (0.95, -0.1, 0.1),
    "raised": (0.45, 0.5, 0.35), "up": (0.2, 0.95, 0.1), "head": (-0.02, 0.42, 0.12), "chin": (-0.28, 0.1, 0.42),
    "cross": (-0.45, -0.35, 0.38), "back": (0.15, -0.75, -0.35), "point": (0.35, 0.1, 0.85), "flex": (0.55, 0.25, 0.1),
}  # fmt: skip
KINDS = {"stand": 0.22, "wave": 0.12, "walk": 0.2, "dance": 0.26, "exercise": 0.1, "turn": 0.1}


def draw_motion(rng: Random, shape: Shape, frames: int, fps: float, kind: str | None = None) -> tuple[Plan, str]:
    """A random plan of ``frames`` frames and the word for it, one of :data:`KINDS`."""
    names = list(KINDS)
    kind = kind or str(rng.choice(names, p=np.array(list(KINDS.values())) / sum(KINDS.values())))
    time = rng.uniform(2, 20) + np.arange(frames) / fps
    plan = _standing(rng, shape, time)
    _ACTS[kind](rng, shape, plan, time)
    _liven(rng, plan, time)
    return plan, kind


def _standing(rng: Random, shape: Shape, time: np.ndarray) -> Plan:
    """Feet on the floor, knees a little bent, arms down, turned more or less to the camera."""
    frames, joint = len(time), body_model().joint

    def nothing(*columns: int) -> np.ndarray:
        return np.zeros((frames, *columns))

    plan = Plan(
        nothing(3), nothing(), nothing(3), nothing(3), nothing(3), nothing(2, 3), nothing(2), nothing(2), nothing(2),
        nothing(2, 3), nothing(2), nothing(2), nothing(2, 5), nothing(2),
    )  # fmt: skip
    facing = rng.normal(0, 0.4) if rng.random() < 0.85 else rng.uniform(-np.pi, np.pi)
    plan.heading[:] = facing
    wide = rng.uniform(0.55, 1.0)
    for side in range(2):
        foot = shape.joints[joint[f"foot.{'LR'[side]}"]]
        aside = np.array([foot[0] * wide, 0.0, foot[2]])
        plan.feet[:, side] = turned(aside, facing)
        plan.foot_yaw[:, side] = facing + (1 if side == 0 else -1) * rng.uniform(-0.05, 0.25)
    plan.hips[:] = shape.joints[0] - [0, _hang(shape, wide) + rng.uniform(0.004, 0.02), 0]
    plan.hands[:] = HANDS["down"]
    plan.hands += rng.normal(0, 0.03, (1, 2, 3))
    plan.curl[:] = rng.uniform(0.1, 0.5, (1, 2, 5))
    plan.pronation[:] = rng.normal(0.5, 0.3, (1, 2))
    return plan


def _hang(shape: Shape, wide: float) -> float:
    """How much lower the hips must be for the legs to reach feet that stand ``wide``."""
    joint = body_model().joint
    hip, foot = shape.joints[joint["upperleg01.L"]], shape.joints[joint["foot.L"]]
    leg = np.linalg.norm(foot - hip)
    return (
        float(
            (hip[1] - foot[1]) - np.sqrt(max(leg**2 - (foot[0] * wide - hip[0]) ** 2 - (foot[2] - hip[2]) ** 2, 0.01))
        )
        + 0.004
    )


def _gestures(
    rng: Random, plan: Plan, time: np.ndarray, pace: float, names: tuple[str, ...], alike: float = 0.3
) -> None:
    """Hands from place to place, every ``pace`` seconds or so; ``alike``: share of moves that both hands make."""
    knots = (
        time[0]
        - rng.uniform(0, pace)
        + np.cumsum(np.concatenate([[0], rng.uniform(0.6, 1.5, int(np.ptp(time) / pace * 2) + 4) * pace]))
    )
    both = rng.random(len(knots)) < alike
    picks = rng.integers(0, len(names), (len(knots), 2))
    picks[both, 1] = picks[both, 0]
    places = np.array([HANDS[name] for name in names])[picks] + rng.normal(0, 0.07, (len(knots), 2, 3))
    plan.hands[:] = between(time, knots, places, rng.uniform(0.5, 0.9))
    plan.curl[:] = np.clip(
        between(time, knots, rng.uniform(0, 0.8, (len(knots), 2, 1)) + rng.normal(0, 0.08, (len(knots), 2, 5))), 0, 1
    )
    plan.pronation[:] = between(time, knots, rng.normal(0.5, 0.6, (len(knots), 2)))
    plan.flex[:] = between(time, knots, rng.normal(0, 0.3, (len(knots), 2)))
    plan.swivel[:] = between(time, knots, rng.normal(0, 0.25, (len(knots), 2)))


def _sway(rng: Random, plan: Plan, time: np.ndarray, amount: float) -> None:
    """Weight from foot to foot, hips and spine with it."""
    move = wander(rng, time, 1.2, amount, (2,))
    plan.hips[:, 0] += move[:, 0]
    plan.hips[:, 2] += 0.5 * move[:, 1]
    plan.hips[:, 1] -= np.abs(move[:, 0]) * 0.25
    plan.tilt[:, 1] += 1.2 * move[:, 0]
    plan.spine[:, 1] -= 1.5 * move[:, 0]


def _stand(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    names = ("down", "down", "hip", "belly", "chest", "offer", "cross", "out", "chin", "point", "back")
    _gestures(rng, plan, time, rng.uniform(0.5, 1.4), names)
    _sway(rng, plan, time, rng.uniform(0.01, 0.03))


def _wave(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    """One hand or both wave; the other rests."""
    _sway(rng, plan, time, 0.015)
    rate, phase = rng.uniform(1.2, 2.6), rng.uniform(0, 2 * np.pi)
    side = int(rng.integers(2))
    for hand in (0, 1) if rng.random() < 0.25 else (side,):
        swing = np.sin(2 * np.pi * rate * time + phase + np.pi * hand * rng.integers(2))
        place = np.array(HANDS["raised" if rng.random() < 0.7 else "up"]) + rng.normal(0, 0.06, 3)
        plan.hands[:, hand] = place + swing[:, None] * np.array([0.16, -0.03, 0.0])
        plan.flex[:, hand] = 0.0
        plan.pronation[:, hand] = rng.normal(-0.2, 0.2)
        plan.curl[:, hand] = rng.uniform(0, 0.2)
    if rng.random() < 0.5:
        plan.hands[:, 1 - side] = np.array(HANDS[str(rng.choice(["hip", "belly", "out"]))])


def _walk(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    """Steps along the heading or on the spot; the feet stand still while they carry."""
    leg = shape.joints[0][1]
    rate, spot = rng.uniform(0.7, 1.15), rng.random() < 0.4  # strides a second
    stride = 0.0 if spot else rng.uniform(0.75, 1.35) * leg
    lift = rng.uniform(0.08, 0.25) if spot else rng.uniform(0.05, 0.1)
    heading = plan.heading[0] + wander(rng, time, 3.0, 0.1)
    plan.heading[:] = heading
    phase = rate * time
    travelled = (phase - phase.mean()) * stride
    ahead = turned(np.array([0.0, 0.0, 1.0]), heading)
    track = np.cumsum(ahead * np.gradient(travelled)[:, None], axis=0)
    track -= track[len(track) // 2]
    joint = body_model().joint
    for side in range(2):
        foot = shape.joints[joint[f"foot.{'LR'[side]}"]]
        cycle = (phase + 0.5 * side) % 1.0
        swing = np.clip((cycle - 0.6) / 0.4, 0, 1)  # the last two fifths of a stride the foot is in the air
        reach = np.where(cycle < 0.6, 0.3 - cycle, -0.3 + 0.6 * smooth_step(swing)) * stride
        up = np.sin(np.pi * swing) ** 2 * lift
        base = turned(np.array([foot[0] * 0.6, 0.0, foot[2]]), heading)
        plan.feet[:, side] = track + base + ahead * reach[:, None] + np.array([0, 1, 0]) * up[:, None]
        plan.foot_yaw[:, side] = heading
        push = np.clip((cycle - 0.45) / 0.15, 0, 1) * (cycle < 0.6) + (cycle >= 0.6) * (1 - smooth_step(swing * 1.4))
        plan.foot_pitch[:, side] = 0.45 * push * (0.5 if spot else 1.0)
        plan.feet[:, side, 1] += 0.09 * np.sin(plan.foot_pitch[:, side])
        arm = -np.sin(2 * np.pi * (phase + 0.5 * side) + 0.9) * rng.uniform(0.7, 1.0) * (0.25 if spot else 0.35)
        plan.hands[:, side] = np.stack([np.full(len(time), 0.2), -0.93 + 0.25 * np.maximum(arm, 0), 0.1 - arm], -1)
    plan.hips[:, [0, 2]] = track[:, [0, 2]] + plan.hips[:, [0, 2]]
    plan.hips[:, 1] -= 0.02 + 0.04 * stride + 0.018 * np.cos(4 * np.pi * phase)
    plan.tilt[:, 2] = 0.12 * np.sin(2 * np.pi * phase)
    plan.spine[:, 2] = -0.25 * np.sin(2 * np.pi * phase)
    plan.spine[:, 0] = rng.uniform(0, 0.1)


def _dance(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    """Knees, hips, arms and head on a beat; one foot or the other steps aside."""
    beat = time * rng.uniform(1.3, 2.4) + rng.uniform(0, 1)
    bounce = 0.5 - 0.5 * np.cos(2 * np.pi * beat)
    half = np.sin(np.pi * beat)
    depth, swing = rng.uniform(0.01, 0.09), rng.uniform(0.02, 0.09)
    plan.hips[:, 1] -= depth * bounce + 0.02
    plan.hips[:, 0] += swing * half
    plan.tilt[:, 1] += rng.uniform(0, 2.0) * swing * half
    plan.tilt[:, 2] += rng.uniform(-0.35, 0.35) * half
    plan.spine[:, 2] -= rng.uniform(0.2, 1.2) * plan.tilt[:, 2]
    plan.spine[:, 1] -= rng.uniform(0.5, 2.0) * swing * half
    plan.head[:, 0] += rng.uniform(0, 0.2) * (bounce - 0.5)
    plan.head[:, 1] += rng.uniform(-0.15, 0.15) * half
    if rng.random() < 0.6:
        _side_steps(rng, plan, beat)
    counts = np.arange(int(beat[0]) - 1, int(beat[-1]) + 3).astype(float)
    names = ("down", "out", "chest", "front", "side", "raised", "up", "head", "flex", "hip", "offer", "belly", "point")
    picks = rng.integers(0, len(names), (2, 2))[np.arange(len(counts)) % 2]  # two moves that come again and again
    if rng.random() < 0.5:
        picks = rng.integers(0, len(names), (len(counts), 2))
    if rng.random() < 0.4:
        picks[:, 1] = picks[:, 0]
    places = np.array([HANDS[name] for name in names])[picks] + rng.normal(0, 0.05, (len(counts), 2, 3))
    plan.hands[:] = between(beat, counts, places, rng.uniform(0.6, 1.0))
    plan.pronation[:] = between(beat, counts, rng.normal(0.4, 0.6, (len(counts), 2)))
    plan.curl[:] = np.clip(between(beat, counts, rng.uniform(0, 0.9, (len(counts), 2, 1)) * np.ones((1, 1, 5))), 0, 1)


def _side_steps(rng: Random, plan: Plan, beat: np.ndarray) -> None:
    """Each foot in turn steps out and comes back, or marches on the spot."""
    aside, lift = rng.uniform(0.0, 0.22), rng.uniform(0.03, 0.12)
    for side in range(2):
        cycle = (beat / 2 + 0.5 * side) % 1.0
        way = np.sin(np.pi * np.clip(cycle * 2, 0, 1)) ** 2
        out = turned(np.array([aside * (1 if side == 0 else -1), 0.0, 0.0]), plan.heading)
        plan.feet[:, side] += out * smooth_step(np.sin(np.pi * cycle))[:, None]
        plan.feet[:, side, 1] += lift * way * (np.abs(np.cos(np.pi * cycle)) > 0.2)


def _exercise(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    """Squats, or arms and legs that open and close."""
    turn = 2 * np.pi * rng.uniform(0.5, 1.1) * time + rng.uniform(0, 6)
    down = 0.5 - 0.5 * np.cos(turn)
    if rng.random() < 0.5:  # squats, hands in front
        depth = rng.uniform(0.15, 0.38)
        plan.hips[:, 1] -= depth * down
        plan.hips += turned(np.array([0.0, 0.0, -0.45 * depth]), plan.heading) * down[:, None]
        plan.tilt[:, 0] = 0.9 * depth * down
        plan.spine[:, 0] = 0.9 * depth * down
        rest, front = np.array(HANDS["down"]), np.array(HANDS[str(rng.choice(["front", "chest", "hip"]))])
        plan.hands[:] = rest + down[:, None, None] * (front - rest)
        return
    angle = np.radians(15 + rng.uniform(90, 150) * down)
    reach = np.stack([np.sin(angle), -np.cos(angle), np.full(len(time), 0.1)], -1) * 0.97
    plan.hands[:] = reach[:, None]
    for side in range(2):
        out = turned(np.array([(0.2 if side == 0 else -0.2), 0.0, 0.0]), plan.heading)
        plan.feet[:, side] += out * down[:, None]
    plan.hips[:, 1] -= 0.045 * down


def _turn(rng: Random, shape: Shape, plan: Plan, time: np.ndarray) -> None:
    """A turn on the spot in small steps, arms as they like."""
    _gestures(rng, plan, time, rng.uniform(0.8, 1.6), ("down", "down", "out", "hip", "belly", "offer"))
    start = plan.heading[0]
    amount = rng.choice([-1, 1]) * rng.uniform(0.8, 2 * np.pi)
    span = max(np.ptp(time), 0.1)
    plan.heading[:] = start + amount * smooth_step((time - time[0]) / span * 1.1 - 0.05)
    rate = np.round(max(np.abs(amount) / 0.7, 1)) / span
    for side in range(2):
        foot = turned(plan.feet[0, side], -start)
        beat = rate * (time - time[0]) + 0.5 * side
        count, share = np.floor(beat), smooth_step((beat % 1.0) / 0.6)
        held = np.interp((count + share - 0.5 * side) / max(rate, 1e-6), time - time[0], plan.heading)
        plan.feet[:, side] = turned(foot, held)
        plan.feet[:, side, 1] += 0.05 * np.sin(np.pi * np.clip((beat % 1.0) / 0.6, 0, 1)) ** 2
        plan.foot_yaw[:, side] = held
    plan.hips[:, 1] -= 0.02


def _liven(rng: Random, plan: Plan, time: np.ndarray) -> None:
    """Breath, tremble, a head that looks around, eyes, blinks, a mouth that sometimes speaks or smiles."""
    plan.spine[:, 0] += 0.02 * np.sin(2 * np.pi * 0.3 * time) + wander(rng, time, 1.5, 0.03)
    plan.head += wander(rng, time, 0.9, 0.1, (3,)) * [0.8, 0.6, 1.6]
    plan.head[:, 0] += 0.05
    plan.hands += wander(rng, time, 0.6, 0.02, (2, 3))
    plan.eyes[:] = wander(rng, time, 0.7, 0.12, (2,)) * [1.0, 0.5]
    blink = np.clip(1 - np.abs((time + rng.uniform(0, 3)) % rng.uniform(2, 4) - 0.1) / 0.1, 0, 1)
    smile, talk = rng.uniform(0, 0.8) * (rng.random() < 0.6), rng.random() < 0.3
    mouth = np.clip(wander(rng, time, 0.12, 0.25) + 0.15, 0, 0.6) if talk else np.zeros(len(time))
    plan.actions.update(
        eyeBlinkLeft=blink, eyeBlinkRight=blink, mouthSmileLeft=np.full(len(time), smile),
        mouthSmileRight=np.full(len(time), smile), jawOpen=mouth,
        browInnerUp=np.clip(wander(rng, time, 0.8, 0.2), 0, 1),
    )  # fmt: skip


_ACTS: dict[str, Callable[[Random, Shape, Plan, np.ndarray], None]] = {
    "stand": _stand, "wave": _wave, "walk": _walk, "dance": _dance, "exercise": _exercise, "turn": _turn,
}  # fmt: skip
