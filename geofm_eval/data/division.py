"""Division of own data into splits: as the data say, by group, by spatial block, or at random within classes."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item, Listing, Pool
from geofm_eval.data.labels import strata_of
from geofm_eval.errors import ContractError, DataError
from geofm_eval.seeds import generator

SHARES = (0.6, 0.2, 0.2)
"""Proportion of the samples in train, val and test."""


def divided(task: TaskSpec, pool: Pool) -> Listing:
    """Divide the samples of own data into splits.

    Raises:
        DataError: a sample is listed twice.
        ContractError: the task asks for a division that the data do not allow.
    """
    _check_unique(pool)
    split = dict(pool.given) or _random(task, pool)
    items = {name: tuple(item for item in pool.items if split[item.id] == name) for name in NAMES}
    rule = {"by": "given" if pool.given else "random"}
    dropped = {"train": dict(pool.dropped)} if pool.dropped else {}
    return Listing(pool.root, items, "own", pool.load or _no_images(task), pool.load_target, dropped, rule=rule)


def _no_images(task: TaskSpec) -> Callable[[Item], npt.NDArray[Any]]:
    def load(item: Item) -> npt.NDArray[Any]:
        raise ContractError(
            f"task '{task.slug}' has no images (sample '{item.id}'): only models with architecture = 'table' can be "
            "measured on it. Add a column file with the path of each image to measure other models"
        )

    return load


def _check_unique(pool: Pool) -> None:
    seen: set[str] = set()
    for item in pool.items:
        if item.id in seen:
            raise DataError(f"{item.path}: sample '{item.id}' is listed more than once; ids must be unique")
        seen.add(item.id)


def _random(task: TaskSpec, pool: Pool) -> Mapping[str, str]:
    labels = np.array([0 if item.label is None else item.label for item in pool.items])
    strata = strata_of(labels if task.kind == "regression" else labels.astype(np.int64))
    found: dict[str, str] = {}
    for stratum in np.unique(strata):
        members = generator("division", task.seed, int(stratum)).permutation(np.flatnonzero(strata == stratum))
        ends = np.round(np.cumsum(SHARES) * len(members)).astype(int)
        for rank, member in enumerate(members):
            found[pool.items[member].id] = NAMES[int(np.searchsorted(ends, rank, side="right"))]
    return found
