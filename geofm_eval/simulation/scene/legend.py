"""Names and codes of kinds of scenes, land cover and objects at sea."""

from typing import Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
"""int64 array; shapes are stated where it is used."""

BoolArray = npt.NDArray[np.bool_]
"""Boolean array; shapes are stated where it is used."""

SceneKind = Literal["flood", "crops", "burn", "marine", "smallfarms", "forest", "mixed"]
"""Kinds of landscapes."""

CROPS = tuple(f"crop_{letter}" for letter in "abcdefgh")
"""Kinds of crop, with the same colour and eight calendars."""

LAND = ("water", "bare", "grass", *CROPS, "broadleaf", "conifer", "heath", "road", "building", "paved")
"""Land cover classes; a scene's ``land`` holds positions in it."""

CODE = {name: position for position, name in enumerate(LAND)}
"""Position of every land cover class in LAND."""

MARINE = (
    "none", "marine debris", "dense sargassum", "sparse floating algae", "natural organic material", "ship",
    "oil spill", "marine water", "sediment-laden water", "foam", "turbid water", "shallow water", "waves and wakes",
    "oil platform", "jellyfish", "sea snot",
)  # fmt: skip
"""Classes at sea, in the order of MADOS (1 to 15); 0 is land. Open water is ``marine water``."""
