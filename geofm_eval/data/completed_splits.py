"""The splits and folds that own data name themselves; a split that they lack is made."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.blocks import Points, blocks_of
from geofm_eval.data.items import NAMES, Item
from geofm_eval.data.labels import FOLDS, Indices
from geofm_eval.data.units import Names, assign_folds, joined
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


@dataclass(frozen=True)
class Apart:
    """What keeps training and validation samples apart.

    Args:
        groups: (n,) group of every sample; None unless all have one.
        points: (n, 2) places in degrees; None unless all are known.
        overlapping: (n,) cluster of overlapping images of every sample; None if none overlap.
    """

    groups: Names | None
    points: Points | None
    overlapping: Names | None


def given_splits(
    task: TaskSpec, given: Mapping[str, str], items: Sequence[Item], strata: Indices, apart: Apart
) -> Given:
    """Return the data's own splits.

    - Without train, samples without a split are for training; otherwise they are left out and counted.
    - Without test, the samples of val are for testing.
    - Without val, about a quarter of the training samples is for validation: whole groups if all samples have one,
      else whole spatial blocks of the training samples if all have a place, else samples within classes. Overlapping
      images stay together. Penalty and tap are then chosen on samples as far from training as in a division by blocks,
      and not on neighbours of training samples, which would favour overfitting where test is another region.

    Args:
        task: provides slug, seed and size of blocks.
        given: split by id.
        items: samples.
        strata: (n,) classes or quantile bins of the target.
        apart: what must not be divided between train and val.

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
        train = np.flatnonzero(np.array(splits) == "train")
        units, rule["val"] = _units(task, items, strata, train, apart)
        splits = _with_val(task, splits, strata, train, units)
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


def _units(
    task: TaskSpec, items: Sequence[Item], strata: Indices, train: Indices, apart: Apart
) -> tuple[Names | None, str]:
    """Units of the training samples that stay together, and the rule for val in words."""
    groups, alike = (None if names is None else names[train] for names in (apart.groups, apart.overlapping))
    blocks, how = None, "by class" if groups is None and alike is None else "whole groups"
    if groups is None and apart.points is not None:
        found = blocks_of(task, [items[k] for k in train], apart.points[train], strata[train])
        if len(np.unique(found.names)) > 1:
            blocks, how = found.names, f"whole blocks of {found.side_m:g} m"
    namings = [names for names in (groups, blocks, alike) if names is not None]
    return joined(*namings) if namings else None, f"a quarter of train, {how}"


def _with_val(task: TaskSpec, splits: Sequence[str], strata: Indices, train: Indices, units: Names | None) -> list[str]:
    count = len(train) if units is None else len(np.unique(units))
    if count < 2:
        raise DataError(
            f"task '{task.slug}': the data name no split val, and their {len(train)} training samples cannot be "
            "divided, because they are one group or one sample. Name samples for val in the data"
        )
    folds = assign_folds(strata[train], min(FOLDS - 1, count), ("validation of own data", task.seed), units)
    own = all_classes_in_train(np.where(folds == 0, "val", "train"), strata[train], units)
    found = np.array(splits, dtype="<U5")
    found[train] = own
    return [str(split) for split in found]


def all_classes_in_train(splits: Names, strata: Indices, units: Names | None) -> Names:
    """Return splits in which a class without training samples has its smallest unit there, if no split is emptied.

    Args:
        splits: (n,) split of every sample.
        strata: (n,) class, or quantile bin of the target.
        units: (n,) unit that stays together; None if all samples are independent.
    """
    found = splits.copy()
    member = np.arange(len(found)) if units is None else np.unique(units, return_inverse=True)[1]
    for stratum in np.setdiff1d(np.unique(strata), strata[found == "train"]):
        sizes = np.bincount(member)
        own = np.unique(member[strata == stratum])
        unit = own[np.argmin(sizes[own])]
        source = found[member == unit][0]
        if (found == source).sum() > sizes[unit]:
            found[member == unit] = "train"
    return found
