"""From a plan (where hips, hands and feet are) to a rotation of every joint, by two-bone inverse kinematics.

Axes as in ``body.py``: x to the person's left, y up, z forward. All rotations are for column vectors. Sides: 0 left, 1
right. Axis letters: F frames, J joints.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vivant.core.rotations import about
from vivant.data.figures.body import Shape, body_model

SIDES = ("L", "R")
_SPINE = ("spine05", "spine04", "spine03", "spine02", "spine01")
_NECK = ("neck01", "neck02", "neck03", "head")
_STRAIGHT = 0.998  # of full reach; a limb stretched further would snap


@dataclass
class Plan:
    """What a person does over F frames.

    ``hips``: (F, 3) place of the hips in metres, the floor at y = 0; x, z are of the room. ``heading``: (F,) radians,
    positive turns to the person's left. ``tilt``: (F, 3) hips about x (forward bend), z (side) and y, radians.
    ``spine``, ``head``: (F, 3) bend forward, to the left side, turn to the left, of the whole spine or neck. ``hands``:
    (F, 2, 3) where the wrists are, from the shoulder, in arm lengths, in the chest's axes, x outwards on both sides.
    ``swivel``: (F, 2) turn of the elbow about the line from shoulder to wrist; ``pronation``: (F, 2) turn of the palm;
    ``flex``: (F, 2) bend of the wrist. ``feet``: (F, 2, 3) ankles in the room, relative to where they stand at rest.
    ``foot_yaw``: (F, 2), ``foot_pitch``: (F, 2) toes down. ``curl``: (F, 2, 5) fingers from stretched 0 to fist 1.
    ``eyes``: (F, 2) turn left and down. ``actions``: name -> (F,) of the face. Angles in radians.
    """

    hips: np.ndarray
    heading: np.ndarray
    tilt: np.ndarray
    spine: np.ndarray
    head: np.ndarray
    hands: np.ndarray
    swivel: np.ndarray
    pronation: np.ndarray
    flex: np.ndarray
    feet: np.ndarray
    foot_yaw: np.ndarray
    foot_pitch: np.ndarray
    curl: np.ndarray
    eyes: np.ndarray
    actions: dict[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.hips)


def around(axes: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """(..., 3, 3) rotation about unit vectors (..., 3) (Rodrigues)."""
    cross = np.zeros((*np.broadcast_shapes(axes.shape[:-1], np.shape(angle)), 3, 3))
    x, y, z = axes[..., 0], axes[..., 1], axes[..., 2]
    cross[..., 0, 1], cross[..., 0, 2], cross[..., 1, 2] = -z, y, -x
    cross[..., 1, 0], cross[..., 2, 0], cross[..., 2, 1] = z, -y, x
    sine, cosine = np.sin(angle)[..., None, None], np.cos(angle)[..., None, None]
    return np.eye(3) + sine * cross + (1 - cosine) * (cross @ cross)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) of length one."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


class _Chain:
    """Joints set one after another: ``turned`` (F, J, 3, 3) and ``placed`` (F, J, 3) in the room."""

    def __init__(self, shape: Shape, frames: int) -> None:
        self.model, self.rest = body_model(), shape.joints
        count = len(self.rest)
        self.local = np.tile(np.eye(3), (frames, count, 1, 1))
        self.turned, self.placed = self.local.copy(), np.zeros((frames, count, 3))

    def set(self, joint: int, local: np.ndarray | None = None, turned: np.ndarray | None = None) -> None:
        """Place a joint whose parent is placed, by its rotation against the parent or by that in the room."""
        parent = self.model.parents[joint]
        above = self.turned[:, parent]
        if turned is not None:
            local = np.swapaxes(above, -1, -2) @ turned
        if local is not None:
            self.local[:, joint] = local
        self.turned[:, joint] = above @ self.local[:, joint]
        self.placed[:, joint] = self.placed[:, parent] + above @ (self.rest[joint] - self.rest[parent])


def solve(shape: Shape, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
    """(F, J, 3, 3) rotation of each joint against its parent, and (F, 3) the place of the first joint."""
    chain, joint = _Chain(shape, len(plan)), body_model().joint
    heading = about(1, plan.heading)
    hips = heading @ about(1, plan.tilt[:, 2]) @ about(0, plan.tilt[:, 0]) @ about(2, -plan.tilt[:, 1])
    chain.local[:, 0] = chain.turned[:, 0] = hips
    chain.placed[:, 0] = plan.hips
    for name in ("pelvis.L", "pelvis.R"):
        chain.set(joint[name])
    _spread(chain, [joint[name] for name in _SPINE], plan.spine)
    for side in range(2):
        _leg(chain, shape, plan, side)
        _arm(chain, plan, side)
    _spread(chain, [joint[name] for name in _NECK], plan.head)
    for name in ("eye.L", "eye.R"):
        chain.set(joint[name], about(1, plan.eyes[:, 0]) @ about(0, plan.eyes[:, 1]))
    return chain.local, plan.hips


def _spread(chain: _Chain, joints: list[int], bend: np.ndarray) -> None:
    """Bend (F, 3) forward, to the left, turn to the left, in equal parts over several joints."""
    part = bend / len(joints)
    turn = about(1, part[:, 2]) @ about(0, part[:, 0]) @ about(2, -part[:, 1])
    for joint in joints:
        chain.set(joint, turn)


def _two_bones(
    start: np.ndarray, goal: np.ndarray, pole: np.ndarray, lengths: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions (F, 3) of the upper and the lower bone from ``start`` to ``goal`` (F, 3), and the hinge's axis.

    The middle joint lies towards ``pole`` (F, 3)."""
    across = goal - start
    upper, lower = lengths
    far = np.clip(np.linalg.norm(across, axis=-1), abs(upper - lower) + 0.02, _STRAIGHT * (upper + lower))
    along = unit(across)
    aside = unit(pole - (pole * along).sum(-1, keepdims=True) * along)
    cosine = np.clip((upper**2 + far**2 - lower**2) / (2 * upper * far), -1, 1)
    sine = np.sqrt(1 - cosine**2)
    first = cosine[:, None] * along + sine[:, None] * aside
    second = unit(far[:, None] * along - upper * first)
    return first, second, np.cross(aside, along)


def _frame(along: np.ndarray, hinge: np.ndarray) -> np.ndarray:
    """(..., 3, 3) with columns: a direction, the hinge made square to it, their product."""
    hinge = unit(hinge - (hinge * along).sum(-1, keepdims=True) * along)
    return np.stack([along, hinge, np.cross(along, hinge)], -1)


def _limb(
    chain: _Chain, names: tuple[str, str, str], goal: np.ndarray, pole: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations in the room (F, 3, 3) of the upper and the lower bone so that the third joint comes to ``goal``."""
    joint = body_model().joint
    top, middle, end = (chain.rest[joint[name]] for name in names)
    above, below = middle - top, end - middle
    lengths = float(np.linalg.norm(above)), float(np.linalg.norm(below))
    hinge = np.cross(unit(above), unit(below))
    parent = body_model().parents[joint[names[0]]]
    start = chain.placed[:, parent] + chain.turned[:, parent] @ (top - chain.rest[parent])
    first, second, axis = _two_bones(start, goal, pole, lengths)
    upper = _frame(first, axis) @ _frame(unit(above), hinge).T
    lower = _frame(second, axis) @ _frame(unit(below), hinge).T
    return upper, lower


def _leg(chain: _Chain, shape: Shape, plan: Plan, side: int) -> None:
    name, joint = SIDES[side], body_model().joint
    rest = shape.joints[joint[f"foot.{name}"]]
    heading = about(1, plan.heading)
    goal = plan.feet[:, side] + np.array([0, rest[1], 0])
    yaw = about(1, plan.foot_yaw[:, side])
    outwards = np.array([0.25 if side == 0 else -0.25, 0.0, 1.0])
    pole = 0.5 * (heading @ outwards) + 0.5 * (yaw @ outwards)
    upper, lower = _limb(chain, (f"upperleg01.{name}", f"lowerleg01.{name}", f"foot.{name}"), goal, pole)
    chain.set(joint[f"upperleg01.{name}"], turned=upper)
    chain.set(joint[f"upperleg02.{name}"])
    chain.set(joint[f"lowerleg01.{name}"], turned=lower)
    chain.set(joint[f"lowerleg02.{name}"])
    chain.set(joint[f"foot.{name}"], turned=yaw @ about(0, plan.foot_pitch[:, side]))


def _arm(chain: _Chain, plan: Plan, side: int) -> None:
    name, joint = SIDES[side], body_model().joint
    mirror = np.array([1.0 if side == 0 else -1.0, 1.0, 1.0])
    chest = chain.turned[:, joint["spine01"]]
    reach = _reach(chain.rest, name)
    wish = plan.hands[:, side] * mirror * reach
    raised = np.clip(unit(wish)[:, 1] + 0.1, 0, 1)  # an arm lifted above the shoulder lifts the shoulder
    lift = about(2, mirror[0] * 0.45 * raised)
    chain.set(joint[f"clavicle.{name}"], lift)
    chain.set(joint[f"shoulder01.{name}"])
    elbow = joint[f"upperarm01.{name}"]
    parent = body_model().parents[elbow]
    shoulder = chain.placed[:, parent] + chain.turned[:, parent] @ (chain.rest[elbow] - chain.rest[parent])
    goal = shoulder + (chest @ wish[..., None])[..., 0]
    along = unit(wish)
    # the elbow hangs down and back; above the head it points outwards
    pole = np.array([0.45, -1.0, -0.75]) * mirror * np.ones_like(wish)
    pole[:, 0] += mirror[0] * 1.2 * np.clip(along[:, 1], 0, 1)
    pole = (around(along, mirror[0] * plan.swivel[:, side]) @ pole[..., None])[..., 0]
    upper, lower = _limb(
        chain, (f"upperarm01.{name}", f"lowerarm01.{name}", f"wrist.{name}"), goal, (chest @ pole[..., None])[..., 0]
    )
    chain.set(elbow, turned=upper)
    chain.set(joint[f"upperarm02.{name}"])
    chain.set(joint[f"lowerarm01.{name}"], turned=lower)
    bone = unit(chain.rest[joint[f"wrist.{name}"]] - chain.rest[joint[f"lowerarm01.{name}"]])
    half = around(bone, mirror[0] * plan.pronation[:, side] / 2)
    chain.set(joint[f"lowerarm02.{name}"], half)
    flex_axis = np.cross(bone, _palm(chain.rest, name))
    chain.set(joint[f"wrist.{name}"], half @ around(unit(flex_axis), plan.flex[:, side]))
    _fingers(chain, plan.curl[:, side], name)


def _reach(rest: np.ndarray, name: str) -> float:
    """Length of the stretched arm from shoulder to wrist."""
    joint = body_model().joint
    bones = [rest[joint[f"{part}.{name}"]] for part in ("upperarm01", "lowerarm01", "wrist")]
    return float(np.linalg.norm(bones[1] - bones[0]) + np.linalg.norm(bones[2] - bones[1]))


def _palm(rest: np.ndarray, name: str) -> np.ndarray:
    """(3,) direction in which the palm looks at rest."""
    joint = body_model().joint
    wrist, index, little = (rest[joint[f"{part}.{name}"]] for part in ("wrist", "finger2-1", "finger5-1"))
    normal = unit(np.cross(index - wrist, little - wrist))
    return normal if name == "L" else -normal


def _fingers(chain: _Chain, curl: np.ndarray, name: str) -> None:
    """Curl (F, 5) each finger about axes square to it and to the palm."""
    joint = body_model().joint
    palm = _palm(chain.rest, name)
    for finger in range(5):
        bones = [joint[f"finger{finger + 1}-{part}.{name}"] for part in (1, 2, 3)]
        along = unit(chain.rest[bones[1]] - chain.rest[bones[0]])
        axis = unit(np.cross(along, palm))
        most = (0.35, 0.7, 0.9) if finger == 0 else (1.35, 1.6, 1.0)
        for bone, angle in zip(bones, most):
            chain.set(bone, around(axis, angle * curl[:, finger]))
