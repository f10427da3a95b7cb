"""The splits that own data name themselves, completed where they lack one."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item
from geofm_eval.data.labels import FOLDS, Indices
from geofm_eval.data.units import Names, assign_folds
from geofm_eval.errors import DataError

log = logging.getLogger(__name__)

UNNAMED = "the data name no split for it"
"""Reason for leaving out a sample of data that name the splits of other training samples."""


@dataclass(frozen=True)
class Given:
    """Split of every sample ('' if it is left out), how missing splits were made, and ids that are left out."""

    splits: list[str]
    rule: dict[str, str | float | int]
    dropped: dict[str, tuple[str, ...]]


def given_splits(
    task: TaskSpec, given: Mapping[str, str], items: Sequence[Item], strata: Indices, units: Names | None
) -> Given:
    """Return the data's own splits.

    - Without train, samples without a split are for training; otherwise they are left out and counted.
    - Without test, the samples of val are for testing.
    - Without val, a quarter of the training samples is for validation, whole units of them.

    Raises:
        DataError: a split has another name, or train, or both val and test have no sample.
    """
    _check_names(task, given)
    splits = [given.get(item.id, "") for item in items]
    rule: dict[str, str | float | int] = {}
    if "train" not in splits:
        rule["train"] = "samples without a split"
        splits = [split or "train" for split in splits]
    left_out = tuple(item.id for item, split in zip(items, splits, strict=True) if not split)
    if "test" not in splits and "val" in splits:
        rule["test"] = "the data's val"
        splits = ["test" if split == "val" else split for split in splits]
    for name in ("train", "test"):
        if name not in splits:
            raise DataError(
                f"task '{task.slug}': the data name {', '.join(sorted(set(given.values())))} as splits, and no sample "
                f"is left for {name}. Name train and test in the data, or set split to group, blocks or random"
            )
    if "val" not in splits:
        rule["val"] = f"a quarter of train, {'by class' if units is None else 'whole groups'}"
        splits = _with_val(task, splits, strata, units)
    for name, how in rule.items():
        log.warning("%s: the data name no split %s; taken for it: %s", task.slug, name, how)
    return Given(splits, rule, {UNNAMED: left_out} if left_out else {})


def _check_names(task: TaskSpec, given: Mapping[str, str]) -> None:
    unknown = sorted({split for split in given.values() if split not in NAMES})
    if unknown:
        raise DataError(
            f"task '{task.slug}': the data name a split '{unknown[0]}'; expected {', '.join(NAMES)}. Rename it in the "
            "data, or set split to group, blocks or random"
        )


def _with_val(task: TaskSpec, splits: Sequence[str], strata: Indices, units: Names | None) -> list[str]:
    train = np.flatnonzero(np.array(splits) == "train")
    own = None if units is None else units[train]
    count = len(train) if own is None else len(np.unique(own))
    if count < 2:
        raise DataError(
            f"task '{task.slug}': the data name no split val, and their {len(train)} training samples cannot be "
            "divided, because they are one group or one sample. Name samples for val in the data"
        )
    folds = assign_folds(strata[train], min(FOLDS - 1, count), ("validation of own data", task.seed), own)
    found = list(splits)
    for position in train[folds == 0]:
        found[position] = "val"
    return found
