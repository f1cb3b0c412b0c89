"""One photograph becomes a rig."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vivant.core.errors import ConfigError, FaceError
from vivant.rig.anatomy import FACE_END, OVAL, anatomy, smoothstep
from vivant.rig.eyes import Eye, make_eyes
from vivant.rig.fit import HeadFit, fit_head
from vivant.rig.glasses import Glasses, find_glasses
from vivant.rig.head import HeadModel
from vivant.rig.layers import Layers, take_apart
from vivant.rig.light import Light, estimate_light, vertex_normals
from vivant.rig.motion import RigMotion
from vivant.rig.mouth import Mouth, make_mouth
from vivant.rig.render import Rendered, Renderer
from vivant.rig.shape import Shape, exact_shape, stiff_skin
from vivant.rig.sheet import Sheet, make_sheet
from vivant.rig.sides import Sides, limit_sides

_WINDOW_CM = 27.0


class RigRejected(FaceError):  # noqa: N818 - the word that callers use
    """A still that cannot become a good rig; ``str(error)`` says why."""


@dataclass(frozen=True)
class Window:
    """The square part of the still that is shown: ``left``, ``top`` and ``side`` in pixels, 0 is the picture's edge."""

    left: float
    top: float
    side: float


@dataclass(frozen=True)
class Skin:
    """How the face samples the still. ``pixels``: (V, 2) float32 texture coordinates. ``mirrored``: (FACE_END, 2) those
    of the vertex on the other side, ``mirror``: (FACE_END,) how far they are used. ``up``: (2,) unit vector in the
    still that points up along the face."""

    pixels: np.ndarray
    mirrored: np.ndarray
    mirror: np.ndarray
    up: np.ndarray


@dataclass(frozen=True)
class PhotoRig:
    """A photograph that can move.

    ``image``: (S, S, 3) float32 RGB 0..255. ``window``: what :meth:`render` shows. ``fit``: the fitted head with its
    residual in cm. The other fields are the parts that the modules of this room make.
    """

    image: np.ndarray
    window: Window
    fit: HeadFit
    shape: Shape
    skin: Skin
    sides: Sides
    sheet: Sheet
    layers: Layers
    eyes: tuple[Eye, Eye]
    mouth: Mouth
    light: Light
    glasses: Glasses

    @classmethod
    def build(
        cls,
        image: np.ndarray,
        landmarks: np.ndarray,
        matte: np.ndarray | None = None,
        window: str | Window = "auto",
        hold_border: bool = False,
    ) -> PhotoRig:
        """Make a rig.

        Args:
            image: (H, W, 3) uint8 RGB that shows head and shoulders; only the square round the face is used.
            landmarks: (478, 3) of the face mesh in its pixels.
            matte: (H, W) float in 0..1, how far each pixel belongs to the person; without it the background moves, too.
            window: "auto" shows 27 cm around the face, so that what is invented at the still's borders stays outside;
                "all" the whole still; or a Window.
            hold_border: keep all edges of the still unmoved, so that the frames can be pasted back into a picture.

        Raises:
            RigRejected: the head cannot be fitted at all.
            ConfigError: arrays of the wrong kind.
        """
        _check(image, landmarks, matte)
        image, landmarks, matte = _square(image, landmarks, matte)
        side = len(image)
        centre = np.full(2, (side - 1) / 2)
        fit = fit_head(landmarks, centre)
        if not np.isfinite(fit.residual) or fit.residual > 1.0:
            raise RigRejected(
                f"The head model does not fit this face (residual {fit.residual:.2f} cm): use another still."
            )
        colours = image.astype(np.float32)
        glasses = find_glasses(colours, landmarks)
        shape = exact_shape(fit, landmarks, centre, stiff_skin() if glasses.worn else None)
        sides = limit_sides(shape, landmarks, side)
        return cls(
            image=colours,
            window=_window(window, landmarks, shape, side),
            fit=fit,
            shape=shape,
            skin=_skin(shape),
            sides=sides,
            sheet=make_sheet(shape, sides, side, hold_border),
            layers=take_apart(colours, landmarks, matte),
            eyes=make_eyes(colours, landmarks, shape),
            mouth=make_mouth(colours, landmarks, shape),
            light=estimate_light(colours, landmarks, shape),
            glasses=glasses,
        )

    def render(
        self,
        motion: RigMotion,
        size: int = 256,
        supersample: int = 2,
        background: np.ndarray | None = None,
        device: str = "auto",
        batch: int | None = None,
        sway: float = 1.0,
    ) -> Iterator[Rendered]:
        """The frames of ``motion``.

        Args:
            motion: F frames relative to the still; frames without motion are the still itself.
            size: side of the frames in pixels.
            supersample: draw at this multiple of ``size`` and average.
            background: (size, size, 3) uint8 to put behind the person instead of the still's own.
            device: "auto" draws on a CUDA device where there is one, else on the CPU.
            batch: frames drawn at once; None takes 1 on the CPU and up to 16 on a GPU, as many as memory is meant for.
            sway: how much the shoulders follow the head and breathe; 0 keeps them still.

        Raises:
            ConfigError: a size or background that does not fit.
        """
        yield from Renderer(self, size, supersample, background, device, sway).frames(motion, batch)


def _check(image: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or min(image.shape[:2]) < 64:
        raise ConfigError(f"A rig is built from an RGB picture of at least 64 px, not from {image.shape}: convert it.")
    if landmarks.shape != (478, 3) or not np.isfinite(landmarks).all():
        raise ConfigError(f"A rig needs (478, 3) finite landmarks, not {landmarks.shape}: use vivant.perception.")
    if matte is not None and matte.shape != image.shape[:2]:
        raise ConfigError(f"The matte {matte.shape} is not of the picture {image.shape}: make it from the same one.")


def _square(
    image: np.ndarray, landmarks: np.ndarray, matte: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The largest square around the face, and what belongs to it."""
    size = np.array(image.shape[1::-1])
    side = int(size.min())
    left, top = np.clip(np.round(landmarks[list(OVAL), :2].mean(0) - side / 2), 0, size - side).astype(int)
    cut = slice(top, top + side), slice(left, left + side)
    moved = landmarks - np.array([left, top, 0], landmarks.dtype)
    return image[cut], moved, None if matte is None else matte[cut]


def _window(wanted: str | Window, landmarks: np.ndarray, shape: Shape, side: int) -> Window:
    if isinstance(wanted, Window):
        return wanted
    if wanted == "all":
        return Window(0.0, 0.0, float(side))
    if wanted != "auto":
        raise ConfigError(f"There is no window '{wanted}': use 'auto', 'all' or a Window.")
    middle = landmarks[list(OVAL), :2].mean(0) + np.array([0.5, 0.5 + 0.02 * side])
    shown = float(np.clip(_WINDOW_CM * shape.placement.pixels_per_cm, 0.55 * side, 0.88 * side))
    left, top = np.clip(middle - shown / 2, 0.03 * side, 0.97 * side - shown)
    return Window(float(left), float(top), shown)


def _skin(shape: Shape) -> Skin:
    body, rotation = anatomy(), shape.placement.rotation
    up = np.array([rotation[0, 1], -rotation[1, 1]])
    up /= np.linalg.norm(up)
    pixels = shape.pixels.copy()
    # the inner sides of the lips are hidden in the still: they continue the red outwards from the rim
    for side, edge in ((1, body.upper_inside), (-1, body.lower_inside)):
        reach = np.clip(edge.distance, 0, 0.6) * 0.7 * shape.placement.pixels_per_cm
        pixels[edge.skin] = shape.pixels[edge.rim][edge.nearest] + side * up * reach[:, None]
    facing = vertex_normals(shape.seen[: body.skull_triangles.max() + 1], 0)[:FACE_END, 2]
    across = np.abs(HeadModel.load().neutral[:FACE_END, 0])
    mirror = smoothstep(0.25, 0.05, facing) * smoothstep(0.2, 1.0, body.oval[:FACE_END])
    mirror *= (across > 4.2) & (facing[body.mirror] > 0.3)
    return Skin(pixels.astype(np.float32), shape.pixels[body.mirror], mirror.astype(np.float32), up.astype(np.float32))
