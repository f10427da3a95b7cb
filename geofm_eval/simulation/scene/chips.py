"""Chips by kind of land; a chip depends only on its number, not on how many are simulated."""

from collections.abc import Iterator

import numpy as np

from geofm_eval.errors import ContractError
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.painters import EUROSAT_PAINTERS
from geofm_eval.simulation.scene.palette import TEMPERATE, Palette
from geofm_eval.simulation.scene.rendering import render

CHIP_DRAWS = 1
"""Part of every chip's seed; changing it changes all chips."""

BLOCK = 32
"""Number of chips simulated together: few enough for the processor's cache, enough to amortise the calls."""


def simulate(kind: str, n: int, seed: int = 0, palette: Palette = TEMPERATE, size: int = 64) -> Array:
    """Simulate the first n chips of one kind of land.

    Args:
        kind: a class of EuroSAT, for example ``River``.
        n: number of chips; chip i is the same for every n.
        seed: another seed gives other chips.
        palette: colours and textures.
        size: pixels of 10 m per side.

    Returns:
        (n, 13, size, size) float32 digital numbers (L1C reflectance x 10,000), bands in order of wavelength.

    Raises:
        ContractError: the kind is unknown.
    """
    empty = np.empty((0, 13, size, size), dtype=np.float32)
    return np.concatenate([empty, *simulate_blocks(kind, n, seed, palette, size)])


def simulate_blocks(kind: str, n: int, seed: int = 0, palette: Palette = TEMPERATE, size: int = 64) -> Iterator[Array]:
    """Simulate like :func:`simulate`, in blocks, so that memory does not grow with n."""
    if kind not in EUROSAT_PAINTERS:
        raise ContractError(f"kind of land '{kind}' is unknown; expected one of {', '.join(EUROSAT_PAINTERS)}")
    for start in range(0, n, BLOCK):
        yield _block(kind, start // BLOCK, seed, palette, size)[: n - start]


def _block(kind: str, number: int, seed: int, palette: Palette, size: int) -> Array:
    rng = generator("scene", CHIP_DRAWS, kind, palette.name, size, seed, number)
    canvas = Canvas(BLOCK, size)
    EUROSAT_PAINTERS[kind](rng, canvas, SceneSetting.draw(rng, BLOCK))
    return render(canvas, palette, rng)
