"""The splits and folds that own data name themselves; a split that they lack is made."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES, Item
from geofm_eval.data.labels import FOLDS, Indices
from geofm_eval.data.units import Names, assign_folds
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted

log = logging.getLogger(__name__)

MOST_FOLDS = 20
"""Folds that own data may name at most; every fold needs probes of its own."""

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


def given_folds(task: TaskSpec, named: Mapping[str, int], items: Sequence[Item]) -> dict[str, int]:
    """Return the data's own folds by id.

    Raises:
        DataError: a sample has no fold, a group is in several folds, or there is one fold or more than ``MOST_FOLDS``.
    """
    without = [item.id for item in items if item.id not in named]
    if without:
        raise DataError(
            f"task '{task.slug}': {len(without)} of {len(items)} samples have no fold, for example "
            f"'{without[0][:80]}'; expected one for every sample. Complete the column fold, or set split to group, "
            "blocks or random"
        )
    found = {item.id: named[item.id] for item in items}
    count = len(set(found.values()))
    if not 2 <= count <= MOST_FOLDS:
        raise DataError(
            f"task '{task.slug}': the data name {counted(count, 'fold')}, expected 2 to {MOST_FOLDS}. Change "
            "the column fold, or set split to group, blocks or random"
        )
    if not task.shared_groups:
        _check_groups(task, found, items)
    return found


def _check_groups(task: TaskSpec, folds: Mapping[str, int], items: Sequence[Item]) -> None:
    first: dict[str, int] = {}
    for item in items:
        if item.group is not None and first.setdefault(item.group, folds[item.id]) != folds[item.id]:
            raise DataError(
                f"task '{task.slug}': group '{item.group[:80]}' is in the folds {first[item.group]} and "
                f"{folds[item.id]}; keep it in one of them, or set shared_groups = true to accept it"
            )


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
