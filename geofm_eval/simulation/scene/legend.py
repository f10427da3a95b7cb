"""Names and codes of what a landscape shows: kinds of scenes, land cover, and what is seen on the sea."""

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
"""Kinds of crop: one colour, eight calendars."""

LAND = ("water", "bare", "grass", *CROPS, "broadleaf", "conifer", "heath", "road", "building", "paved")
"""Land cover; a scene's ``land`` holds positions in it."""

CODE = {name: position for position, name in enumerate(LAND)}
"""Position of every land cover in LAND."""

MARINE = (
    "none",
    "marine debris",
    "dense sargassum",
    "sparse floating algae",
    "natural organic material",
    "ship",
    "oil spill",
    "marine water",
    "sediment-laden water",
    "foam",
    "turbid water",
    "shallow water",
    "waves and wakes",
    "oil platform",
    "jellyfish",
    "sea snot",
)
"""What is seen on the sea, in the order of MADOS (1 to 15); 0 is land. Open water is ``marine water``."""
