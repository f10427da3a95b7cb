"""Arrangement primitives: frames of reference, cells (fields, lots), rows of plants, curves (roads, rivers), boxes.

All lengths are in pixels. Functions process n chips at once and return (n, size, size) arrays.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofm_eval.simulation.scene.fields import Array, per_chip, smooth_curve, smooth_field, uniform

_TABLE = 32
"""Rows and columns of the per-cell tables; cells repeat beyond this number, which exceeds the width of a chip."""


@dataclass(frozen=True)
class Frame:
    """Rotated, shifted coordinates of every pixel, so that nothing is aligned with the pixel grid.

    Args:
        u: (n, size, size) coordinate along the frame's first axis in pixels, 0 near the chip's centre.
        v: the same along the second axis.
    """

    u: Array
    v: Array


def frame(rng: np.random.Generator, n: int, size: int, warp: float = 0.0, shift: float = 8.0) -> Frame:
    """Draw a frame per chip.

    Args:
        rng: source of randomness.
        n: number of chips.
        size: pixels per side.
        warp: standard deviation in pixels by which smooth terrain bends the axes.
        shift: maximum distance in pixels along each axis between origin and chip centre.
    """
    angle = uniform(rng, 0, 2 * np.pi, n, 1, 1)
    centred = np.arange(size, dtype=np.float32) - np.float32((size - 1) / 2)
    x = centred[None, None, :] - uniform(rng, -shift, shift, n, 1, 1)
    y = centred[None, :, None] - uniform(rng, -shift, shift, n, 1, 1)
    u: Array = x * np.cos(angle) + y * np.sin(angle)
    v: Array = y * np.cos(angle) - x * np.sin(angle)
    if warp:
        u += warp * smooth_field(rng, n, size, size / 2)
        v += warp * smooth_field(rng, n, size, size / 2)
    return Frame(u, v)


@dataclass(frozen=True)
class Cells:
    """A tiling of the chip by irregular rectangles in rows, like fields along a lane or lots along a street.

    Args:
        key: (n, size, size) int64 number of the cell that contains a pixel.
        along: position in the cell along its row, in pixels from its start.
        across: position across the row, in pixels from its start.
        length: extent of the cell along the row, in pixels.
        width: extent of the cell across the row, in pixels.
    """

    key: npt.NDArray[np.int64]
    along: Array
    across: Array
    length: Array
    width: Array

    def value(self, table: Array) -> Array:
        """Broadcast a per-cell (n, 1024) table to the pixels."""
        return _gather(table, self.key)

    def draw(self, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> Array:
        """Draw one uniform number per cell, broadcast to its pixels."""
        return self.value(uniform(rng, low, high, len(self.key), _TABLE * _TABLE))

    @property
    def border(self) -> Array:
        """Distance in pixels to the nearest edge of the cell."""
        nearest_along = np.minimum(self.along, self.length - self.along)
        nearest_across = np.minimum(self.across, self.width - self.across)
        border: Array = np.minimum(nearest_along, nearest_across)
        return border


def cells(rng: np.random.Generator, place: Frame, length: Array, width: Array) -> Cells:
    """Tile a frame with rows of cells; rows are shifted against each other, and cell lengths differ between rows.

    Args:
        rng: source of randomness.
        place: frame of reference.
        length: (n,) typical extent along the rows in pixels.
        width: (n,) typical extent across the rows in pixels.
    """
    n = len(place.u)
    wave = per_chip(width) * np.float32(3.3)
    uneven = place.v + np.float32(0.35) * per_chip(width) * np.sin(
        2 * np.pi * place.v / wave + uniform(rng, 0, 2 * np.pi, n, 1, 1)
    )
    row, across = _split(uneven, np.broadcast_to(per_chip(width), place.v.shape))
    own_length = _gather(length[:, None] * uniform(rng, 0.65, 1.45, n, _TABLE), row)
    shifted = place.u + _gather(uniform(rng, 0, 200, n, _TABLE), row)
    column, along = _split(shifted, own_length)
    return Cells(row * _TABLE + column, along, across, own_length, np.broadcast_to(per_chip(width), place.v.shape))


def _split(position: Array, extent: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """Number of the interval that contains a position (modulo the table), and the distance from its start."""
    number = np.floor(position / extent)
    return number.astype(np.int64) % _TABLE, position - number * extent


def _gather(table: Array, index: npt.NDArray[np.int64]) -> Array:
    flat = np.take_along_axis(table, index.reshape(len(index), math.prod(index.shape[1:])), axis=1)
    return flat.reshape(index.shape)


def rows(place: Frame, angle: Array, period: Array) -> Array:
    """Rows of plants seen from above: a wave between 0 (between rows) and 1 (on a row).

    Args:
        place: frame of reference.
        angle: direction of the rows in radians, broadcastable to the pixels.
        period: distance between rows in pixels, likewise.
    """
    phase = (place.u * np.cos(angle) + place.v * np.sin(angle)) * (np.float32(2 * np.pi) / period)
    return np.float32(0.5) + np.float32(0.5) * np.cos(phase)


def distance_to_curve(rng: np.random.Generator, place: Frame, bend: Array, spacing: float) -> Array:
    """Signed distance in pixels to a smooth curve that crosses the chip along the frame's first axis.

    Args:
        rng: source of randomness.
        place: frame of reference.
        bend: (n,) standard deviation of the curve about a straight line, in pixels.
        spacing: distance between bends in pixels.
    """
    length = 2 * place.u.shape[-1] + 2
    course = bend[:, None] * smooth_curve(rng, len(bend), length, spacing)
    slope = np.gradient(course, axis=1).astype(np.float32)
    position = np.clip(place.u + np.float32(length / 2), 0, length - 1)
    index = position.astype(np.int64)
    gradient = _gather(slope, index)
    # The vertical distance times the cosine of the slope is the distance to the tangent.
    offset = place.v - _gather(course, index) - gradient * (position - index)
    distance: Array = (offset / np.sqrt(1 + gradient**2)).astype(np.float32)
    return distance


def inside_box(tiling: Cells, half_length: Array, half_width: Array) -> Array:
    """Signed distance in pixels to a box in the middle of every cell; positive inside."""
    margin_along = half_length - np.abs(tiling.along - tiling.length / 2)
    margin_across = half_width - np.abs(tiling.across - tiling.width / 2)
    inside: Array = np.minimum(margin_along, margin_across)
    return inside
