"""Windows: square crops of chips that a model takes at once, and how they cover chips."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.pixels import RawImage
from geofm_eval.errors import ContractError

Array = NDArray[Any]

WIDEST = 224
"""Pixels per side of a window for models that take any size: the size of most other models, which fits into memory."""


@dataclass(frozen=True)
class Window:
    """A square of ``size`` pixels whose upper left pixel is (top, left)."""

    top: int
    left: int
    size: int

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns; slices end at the edge of the chip."""
        return slice(self.top, self.top + self.size), slice(self.left, self.left + self.size)


def window_size(image_size: int | None, chips: Sequence[tuple[int, int]]) -> int:
    """Return the side of the windows of a model on a task.

    A model of fixed size gets windows of that many pixels or, if all chips are smaller, whole chips, enlarged. Other
    models get windows of at most ``WIDEST`` pixels. A chip that is smaller than the window is padded with pixels
    without data.

    Args:
        image_size: pixels per side that the model takes; None for any.
        chips: (height, width) of the chips of the training split.

    Raises:
        ContractError: there is no chip.
    """
    if not chips:
        raise ContractError(
            "found no training chip, expected at least one to cut windows from; check the training split"
        )
    largest = max(max(shape) for shape in chips)
    return min(image_size or WIDEST, largest)


def covering(height: int, width: int, size: int) -> list[Window]:
    """Return the fewest windows that cover a chip, evenly spread, row by row; they may overlap."""
    rows, columns = (_starts(length, size) for length in (height, width))
    return [Window(top, left, size) for top, left in product(rows, columns)]


def _starts(length: int, size: int) -> list[int]:
    count = max(1, -(-length // size))
    return [int(start) for start in np.linspace(0, max(length - size, 0), count).round()]


def random_window(shape: Sequence[int], size: int, rng: np.random.Generator) -> Window:
    """Draw a window of a chip (height, width)."""
    top, left = (int(rng.integers(0, max(length - size, 0) + 1)) for length in shape)
    return Window(top, left, size)


def window_around(place: Iterable[int], shape: Sequence[int], size: int) -> Window:
    """Return the window of a chip (height, width) with a pixel (row, column) as near its centre as the edges allow."""
    top, left = (
        int(np.clip(pixel - size // 2, 0, max(length - size, 0))) for pixel, length in zip(place, shape, strict=True)
    )
    return Window(top, left, size)


def cut(image: RawImage, window: Window) -> RawImage:
    """Cut a window out of an image; pixels beyond the edge are without data."""
    rows, columns = window.area
    missing = _missing(image.valid.shape[-2:], window)
    pixels = _padded(image.pixels[..., rows, columns], missing, np.nan)
    return RawImage(pixels, _padded(image.valid[..., rows, columns], missing, False), image.dates)


def cut_target(target: Array, window: Window, task: TaskSpec) -> Array:
    """Cut a window out of a dense target (height, width); pixels beyond the edge have no label."""
    fill = np.nan if task.numeric else task.ignore
    return _padded(target[window.area], _missing(target.shape, window), fill)


def _missing(shape: Sequence[int], window: Window) -> tuple[int, int]:
    """Rows and columns of a window beyond the edge of a chip."""
    height, width = shape
    return max(window.top + window.size - height, 0), max(window.left + window.size - width, 0)


def _padded(values: Array, missing: tuple[int, int], fill: float) -> Array:
    if not any(missing):
        return values
    edges = [(0, 0)] * (values.ndim - 2) + [(0, missing[0]), (0, missing[1])]
    return np.pad(values, edges, constant_values=fill)


def flipped(image: RawImage, target: Array, axes: tuple[int, ...]) -> tuple[RawImage, Array]:
    """Mirror an image and its target along some of the last two axes (-2: top to bottom, -1: left to right)."""
    if not axes:
        return image, target
    pixels, valid, turned = (np.ascontiguousarray(np.flip(part, axes)) for part in (image.pixels, image.valid, target))
    return RawImage(pixels, valid, image.dates), turned
