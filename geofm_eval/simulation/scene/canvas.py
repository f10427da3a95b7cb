"""The canvas of a scene: proportions of materials, heights, and the setting of place and season."""

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from geofm_eval.simulation.scene.fields import Array, per_chip, uniform
from geofm_eval.simulation.scene.palette import MATERIALS

INDEX = {name: position for position, name in enumerate(MATERIALS)}
"""Position of every material along the second axis of a cover map."""


@dataclass(frozen=True)
class SceneSetting:
    """Properties of place and season, drawn in the same way for all classes.

    One value per chip, (n,) float32. Because the distribution is the same for all classes, the mean colour of a chip
    reveals the season and the soil, but hardly the class.

    Args:
        green: mean proportion of open ground that is green.
        contrast: variation of that proportion within the chip.
        crop: proportion of crop (as opposed to grass) in green ground.
        soil: proportion of bare soil (as opposed to dry grass) in ground that is not green.
        conifer: proportion of conifers among trees.
        metal: proportion of bright metal roofs among roofs.
        relief: strength of the terrain, 0 (flat) to 1.
    """

    green: Array
    contrast: Array
    crop: Array
    soil: Array
    conifer: Array
    metal: Array
    relief: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, n: int) -> Self:
        """Draw n settings."""
        return cls(
            green=uniform(rng, 0.1, 0.9, n),
            contrast=np.exp(uniform(rng, -1.8, -0.3, n)),
            crop=uniform(rng, 0, 1, n),
            soil=uniform(rng, 0, 1, n),
            conifer=uniform(rng, 0, 1, n),
            metal=uniform(rng, 0, 0.7, n),
            relief=uniform(rng, 0, 1, n),
        )

    def take(self, chosen: npt.NDArray[np.bool_]) -> Self:
        """Return the settings of the chosen chips."""
        return type(self)(**{field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(self)})


class Canvas:
    """Land of n chips, painted from the ground up: later layers cover earlier ones.

    Attributes:
        cover: (n, materials, size, size) proportion of every material; sums to 1 in each pixel.
        height: (n, size, size) height of objects and terrain, in pixels (10 m).
    """

    def __init__(self, n: int, size: int) -> None:
        self.cover: Array = np.zeros((n, len(MATERIALS), size, size), dtype=np.float32)
        self.height: Array = np.zeros((n, size, size), dtype=np.float32)

    @property
    def n(self) -> int:
        """Number of chips."""
        return len(self.cover)

    @property
    def size(self) -> int:
        """Pixels per side."""
        return int(self.cover.shape[-1])

    def ground(self, setting: SceneSetting, green: Array) -> None:
        """Cover everything with open ground.

        Args:
            setting: determines vegetation and bare ground.
            green: (n, size, size) proportion that is green; values outside 0..1 are clipped.
        """
        grown = np.clip(green, 0, 1)
        bare = 1 - grown
        self.cover[:] = 0
        crop, soil = per_chip(setting.crop), per_chip(setting.soil)
        for name, share in (
            ("crop", grown * crop),
            ("grass", grown * (1 - crop)),
            ("soil", bare * soil),
            ("dry_grass", bare * (1 - soil)),
        ):
            self.cover[:, INDEX[name]] = share

    def lay(self, share: Array, height: float | Array = 0.0, **mixture: float | Array) -> None:
        """Lay a material, or a mixture of materials, over part of the land.

        Args:
            share: (n, size, size) proportion of every pixel that is covered, 0..1.
            height: height of the layer in pixels (10 m); replaces the previous height.
            mixture: proportion of each material by name, numbers or (n, size, size); should sum to 1.
        """
        self.cover *= (1 - share)[:, None]
        for name, part in mixture.items():
            self.cover[:, INDEX[name]] += share * part
        self.height += share * (height - self.height)

    def lay_trees(self, setting: SceneSetting, share: Array, height: float | Array) -> None:
        """Lay conifers and broadleaved trees in the mixture of the setting."""
        conifer = per_chip(setting.conifer)
        self.lay(share, height, conifer=conifer, broadleaf=1 - conifer)

    def blend(self, chosen: npt.NDArray[np.bool_], part: "Canvas", share: Array) -> None:
        """Lay the land of a smaller canvas over some chips.

        Args:
            chosen: (n,) bool, which chips.
            part: canvas with as many chips as are chosen.
            share: (chosen, size, size) proportion of every pixel that the other land covers.
        """
        # Chip by chip, because the cover of a chip fits into the processor's cache and that of a block does not.
        for position, chip in enumerate(np.flatnonzero(chosen)):
            self.cover[chip] += share[position] * (part.cover[position] - self.cover[chip])
            self.height[chip] += share[position] * (part.height[position] - self.height[chip])

    def put(self, chosen: npt.NDArray[np.bool_], part: "Canvas") -> None:
        """Copy the land of some chips from a smaller canvas."""
        self.cover[chosen] = part.cover
        self.height[chosen] = part.height
