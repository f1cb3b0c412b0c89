"""Which triangle is in front at each pixel, and what it carries there.

Two equal implementations: a loop over triangles compiled by numba on the CPU, and tensor operations (a scatter of
depths) on a GPU, which also serve on the CPU where numba is not installed. Interpolation is linear in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import ModuleType

import torch
from torch import Tensor

_TINY_AREA = 1e-9
_EDGE = 1e-5  # barycentric slack, so that no pixel falls between neighbours
_LAST = 0x7FFFFFFF
_CANDIDATES = 8_000_000  # pixels of bounding boxes looked at in one go by the tensor implementation: about 1.5 GB


@dataclass(frozen=True)
class Fragments:
    """What is seen. ``triangle``: (B, H, W) int32, row of ``triangles`` or -1. ``weights``: (B, H, W, 2) float32, of
    the triangle's first two corners. ``triangles``: (T, 3) int32."""

    triangle: Tensor
    weights: Tensor
    triangles: Tensor

    def cut(self, rows: slice, columns: slice) -> Fragments:
        """A part of the picture."""
        part = self.triangle[:, rows, columns].contiguous(), self.weights[:, rows, columns].contiguous()
        return Fragments(*part, self.triangles)

    def interpolate(self, values: Tensor) -> Tensor:
        """(B, K, H, W) of vertex values (B or 1, V, K), 0 where nothing is seen."""
        compiled = _compiled(values)
        if compiled is not None:
            return self._interpolate_compiled(compiled, values)
        batch, height, width = self.triangle.shape
        out = values.new_zeros((batch, height, width, values.shape[2]))
        seen = (self.triangle >= 0).nonzero(as_tuple=True)
        corners = self.triangles[self.triangle[seen].long()].long()
        frame = seen[0] if len(values) > 1 else torch.zeros_like(seen[0])
        first, second = self.weights[seen].unbind(-1)
        a, b, c = (values[frame, corners[:, k]] for k in range(3))
        out[seen] = a * first[:, None] + b * second[:, None] + c * (1 - first - second)[:, None]
        return out.movedim(3, 1)

    def _interpolate_compiled(self, compiled: ModuleType, values: Tensor) -> Tensor:
        batch, height, width = self.triangle.shape
        out = torch.zeros((batch, values.shape[2], height, width))
        for k in range(batch):
            carried = values[k if len(values) > 1 else 0].contiguous().numpy()
            compiled.interpolate(
                self.triangle[k].numpy(), self.weights[k].numpy(), self.triangles.numpy(), carried, out[k].numpy()
            )
        return out


def rasterize(points: Tensor, depth: Tensor, triangles: Tensor, height: int, width: int) -> Fragments:
    """Draw triangles (T, 3) int32 of vertices at ``points`` (B, V, 2) pixels.

    ``depth``: (B, V), larger is nearer; of equal ones the first triangle wins. All float32, on one device.
    """
    compiled = _compiled(points)
    batch = len(points)
    triangle = torch.full((batch, height, width), -1, dtype=torch.int32, device=points.device)
    weights = points.new_zeros((batch, height, width, 2))
    if compiled is not None:
        for b in range(batch):
            nearest = torch.full((height, width), -1e9)  # finite: the loop is compiled with fast maths
            compiled.draw(
                points[b].contiguous().numpy(), depth[b].contiguous().numpy(), triangles.numpy(), nearest.numpy(),
                triangle[b].numpy(), weights[b].numpy(),
            )  # fmt: skip
    else:
        _draw(points, depth, triangles, triangle, weights)
    return Fragments(triangle, weights, triangles)


def _compiled(tensor: Tensor) -> ModuleType | None:
    return _compiled_module() if tensor.device.type == "cpu" else None


@cache
def _compiled_module() -> ModuleType | None:
    try:
        from vivant.rig import raster_compiled
    except ImportError:  # numba belongs to the extra "rig": without it the tensor implementation does the work
        return None
    return raster_compiled


def _draw(points: Tensor, depth: Tensor, triangles: Tensor, triangle: Tensor, weights: Tensor) -> None:
    """By tensor operations: every pixel of every triangle's bounding box is a candidate, the nearest one wins.

    Triangles of all frames are numbered one after another, frame by frame, and so are the pixels.
    """
    batch, height, width = triangle.shape
    rows = triangles.long()
    corners = points[:, rows].flatten(0, 1)  # (B T, 3, 2)
    heights = depth[:, rows].flatten(0, 1)
    low, extent, count = _boxes(corners, height, width)
    order = torch.arange(len(corners), device=points.device)
    least = torch.iinfo(torch.int64).min
    winner = torch.full((batch * height * width,), least, dtype=torch.int64, device=points.device)
    for part in _parts(count):
        index = torch.repeat_interleave(order[part], count[part])
        before = torch.repeat_interleave(count[part].cumsum(0) - count[part], count[part])
        local = torch.arange(len(index), device=points.device) - before
        y = torch.div(local, extent[index, 0], rounding_mode="floor")
        x = low[index, 0] + local - y * extent[index, 0]
        y = low[index, 1] + y
        w0, w1 = _weights(corners[index], x, y)
        w2 = 1 - w0 - w1
        z = (torch.stack([w0, w1, w2], 1) * heights[index]).sum(1)
        inside = (w0 >= -_EDGE) & (w1 >= -_EDGE) & (w2 >= -_EDGE)
        frame = torch.div(index, len(rows), rounding_mode="floor")
        key = (_ordered(z) << 32) + (_LAST - index)
        winner.scatter_reduce_(0, ((frame * height + y) * width + x)[inside], key[inside], "amax")
    place = (winner > least).nonzero()[:, 0]
    index = _LAST - (winner[place] & 0xFFFFFFFF)
    w0, w1 = _weights(corners[index], place % width, torch.div(place, width, rounding_mode="floor") % height)
    triangle.view(-1)[place] = (index % len(rows)).int()
    weights.view(-1, 2)[place] = torch.stack([w0, w1], 1)


def _boxes(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """First pixel (N, 2) and size (N, 2) of each triangle's box in the picture, and how many pixels (N,) it has."""
    low = corners.amin(1).ceil().clamp_min(0).long()
    high = corners.amax(1).floor().long()
    high = torch.minimum(high, high.new_tensor([width - 1, height - 1]))
    extent = (high - low + 1).clamp_min(0)
    return low, extent, extent[:, 0] * extent[:, 1] * (_area(corners).abs() >= _TINY_AREA)


def _parts(count: Tensor) -> list[slice]:
    """Ranges of triangles with a bounded number of candidate pixels."""
    if int(count.sum()) <= _CANDIDATES:
        return [slice(None)]
    ends = torch.searchsorted(
        count.cumsum(0), torch.arange(_CANDIDATES, int(count.sum()) + _CANDIDATES, _CANDIDATES, device=count.device)
    )
    edges = [0, *ends.clamp_max(len(count)).tolist(), len(count)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _area(corners: Tensor) -> Tensor:
    a, b, c = corners.unbind(1)
    return (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (c[:, 0] - a[:, 0]) * (b[:, 1] - a[:, 1])


def _weights(corners: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric weights of the first two corners at pixels x, y (N,)."""
    a, b, c = (corner - torch.stack([x, y], 1) for corner in corners.unbind(1))
    area = _area(corners)
    first = (b[:, 0] * c[:, 1] - c[:, 0] * b[:, 1]) / area
    return first, (c[:, 0] * a[:, 1] - a[:, 0] * c[:, 1]) / area


def _ordered(z: Tensor) -> Tensor:
    """int64 in the order of float32 numbers."""
    bits = z.contiguous().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
