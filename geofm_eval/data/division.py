"""Division of own data into splits: as the data say, by group, by spatial block, or at random within classes."""

import itertools
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.blocks import Points, blocks_of, place
from geofm_eval.data.completed_splits import Apart, all_classes_in_train, given_folds, given_splits
from geofm_eval.data.items import Item, Listing, Pool
from geofm_eval.data.labels import FOLDS, Indices, strata_of
from geofm_eval.data.split import ALL
from geofm_eval.data.units import Names, assign_folds, joined, overlapping, overlapping_pairs
from geofm_eval.errors import ContractError, DataError

log = logging.getLogger(__name__)

FEW_SAMPLES, FEW_PER_CLASS = 1000, 100
"""Below either number of labelled samples, one test split is too small: the data are cross-validated."""

FEWEST_SAMPLES = FOLDS
FEWEST_UNITS = 3
"""Units that train, val and test, or the inner folds of a training part, need at least."""

Rule = dict[str, str | float | int]


@dataclass(frozen=True)
class _Division:
    """Samples sorted by id, with the unit that each belongs to (None if all are independent), and the rule."""

    items: tuple[Item, ...]
    units: Names | None
    rule: Rule

    @property
    def grouped(self) -> tuple[Item, ...]:
        """Samples with their units as groups, so that intervals and inner folds treat units as a whole."""
        names = [None] * len(self.items) if self.units is None else self.units.tolist()
        pairs = zip(self.items, names, strict=True)
        return tuple(item if item.group == name else replace(item, group=name) for item, name in pairs)


def divided(task: TaskSpec, pool: Pool) -> Listing:
    """Divide the samples of own data into splits or folds.

    The result depends on ids, labels, places and the task's seed, but not on the order of the samples. Whatever the
    rule, samples with overlapping footprints stay together. Only the data's own splits and folds are left as they are.

    Args:
        task: settings ``split``, ``block_m`` and ``protocol``.
        pool: labelled samples.

    Raises:
        DataError: a sample is listed twice, or there are too few samples, classes or units.
        ContractError: the task asks for a division that the data do not allow.
    """
    items = tuple(sorted(pool.items, key=lambda item: item.id))
    _check(task, items)
    strata = _strata(task, items)
    if _takes_folds(task, pool):
        return _as_folds(task, pool, items, strata)
    if pool.folds:
        log.warning("%s: the folds that the data name are not used, because of the task's entry or splits", task.slug)
    if pool.given and (task.split == "given" or (task.split == "auto" and task.protocol != "folds")):
        return _as_given(task, pool, items, strata)
    if task.split == "given":
        raise ContractError(
            f"task '{task.slug}': split is 'given', but the data name no splits. Add a column split or folders train, "
            "val and test, or remove the setting"
        )
    if pool.given:
        log.warning("%s: split and protocol of the task's entry replace the splits of the data", task.slug)
    division = _divide(task, items, strata)
    if division.units is not None and len(np.unique(division.units)) < FEWEST_UNITS:
        _refuse_units(task, division)
    return _listing(task, pool, division, strata)


def _takes_folds(task: TaskSpec, pool: Pool) -> bool:
    """Whether the data are tested in the folds that they name; their own splits come first."""
    if not pool.folds or task.dense or task.split not in ("auto", "given"):
        return False
    return task.protocol == "folds" or (task.protocol == "auto" and not pool.given)


def cross_validated(task: TaskSpec, items: Sequence[Item]) -> bool:
    """Return whether own data without splits of their own are divided into folds instead of splits.

    Raises:
        ContractError: folds are asked for on a task with one label per pixel.
    """
    if task.dense and task.protocol == "folds":
        raise ContractError(
            f"task '{task.slug}': protocol is 'folds', but tasks with one label per pixel are measured on one test "
            "split. Remove the setting"
        )
    if task.dense or task.protocol != "auto":
        return task.protocol == "folds"
    labels = [item.label for item in items if item.label is not None and item.label == item.label]
    rarest = min(np.unique(labels, return_counts=True)[1], default=0) if task.classes else FEW_PER_CLASS
    return len(labels) < FEW_SAMPLES or int(rarest) < FEW_PER_CLASS


def _check(task: TaskSpec, items: Sequence[Item]) -> None:
    for item, following in itertools.pairwise(items):
        if item.id == following.id:
            raise DataError(f"{item.path}: sample '{item.id}' is listed more than once; ids must be unique")
    if len(items) < FEWEST_SAMPLES:
        raise DataError(
            f"task '{task.slug}': found {len(items)} labelled samples in {task.root}; at least {FEWEST_SAMPLES} are "
            "needed to train and test on different ones. Add labelled samples"
        )
    labels = {item.label for item in items}
    if task.kind == "classification" and len(labels) == 1:
        name = task.classes[int(next(iter(labels)) or 0)]
        raise DataError(
            f"task '{task.slug}': all {len(items)} samples are of class '{name}'; a classification needs at least two "
            "classes. Add samples of other classes, or check the label column"
        )


def _strata(task: TaskSpec, items: Sequence[Item]) -> Indices:
    """Class or bin of the target of every sample; -1 for a target that is not a number, 0 for dense tasks."""
    labels = np.array([0 if item.label is None else item.label for item in items], dtype=np.float64)
    if task.kind != "regression":
        return labels.astype(np.int64)
    found = np.full(len(items), -1, dtype=np.int64)
    known = np.isfinite(labels)
    found[known] = strata_of(labels[known])
    return found


def _divide(task: TaskSpec, items: tuple[Item, ...], strata: Indices) -> _Division:
    groups, points = _groups(task, items), _points(task, items)
    by = task.split
    if by == "auto":
        by = "group" if groups is not None else "blocks" if points is not None else "random"
    alike = _alike(items)
    if by == "random":
        if groups is not None:
            log.warning("%s: split = 'random' ignores the groups of the samples: scores are too good", task.slug)
        return _Division(items, alike, {"by": "random"})
    known = groups if by == "group" else points
    if known is None:
        what = "group" if by == "group" else "longitude and latitude"
        raise ContractError(
            f"task '{task.slug}': split is '{by}', but not every sample has a {what}. Complete the data, or choose "
            "another split"
        )
    if by == "group":
        assert groups is not None
        names, rule = groups, Rule({"by": "group", "groups": len(np.unique(groups))})
    else:
        assert points is not None
        names, rule = _blocks(task, items, points, strata)
    others = [naming for naming in (groups, alike) if naming is not None and naming is not names]
    return _Division(items, joined(names, *others), rule)


def _alike(items: Sequence[Item]) -> Names | None:
    """Units of samples with overlapping images, or at the same coordinates if nothing is known of their extent."""
    points = [None if item.box is not None else item.lonlat for item in items]
    places = [item.id if at is None else f"at {at[0]:.6f} {at[1]:.6f}" for item, at in zip(items, points, strict=True)]
    overlaps = overlapping(items)
    if overlaps is None and len(set(places)) == len(places):
        return None
    names = np.array(places)
    found = names if overlaps is None else joined(overlaps, names)
    return found if len(np.unique(found)) < len(items) else None


def _blocks(task: TaskSpec, items: Sequence[Item], points: Points, strata: Indices) -> tuple[Names, Rule]:
    blocks = blocks_of(task, items, points, strata)
    rule: Rule = {"by": "blocks", "block_m": blocks.side_m, "from": blocks.source}
    rule["blocks"] = len(np.unique(blocks.names))
    if blocks.side_m < blocks.wanted_m:
        rule["wanted_m"] = blocks.wanted_m
        log.warning(
            "%s: blocks of %g m would be too few, so they are %g m wide: scores may be slightly too good",
            task.slug,
            blocks.wanted_m,
            blocks.side_m,
        )
    return blocks.names, rule


def _groups(task: TaskSpec, items: Sequence[Item]) -> Names | None:
    found = [item.group for item in items if item.group is not None]
    return np.array(found) if _complete(task, len(found), len(items), "group") else None


def _points(task: TaskSpec, items: Sequence[Item]) -> Points | None:
    found = [at for item in items if (at := place(item)) is not None]
    return np.array(found) if _complete(task, len(found), len(items), "place") else None


def _complete(task: TaskSpec, known: int, count: int, what: str) -> bool:
    if 0 < known < count:
        log.warning("%s: %d of %d samples have no %s, so it is not used", task.slug, count - known, count, what)
    return known == count


def _refuse_units(task: TaskSpec, division: _Division) -> None:
    assert division.units is not None
    count, by = len(np.unique(division.units)), division.rule["by"]
    what = {"group": "group", "blocks": "spatial block", "random": "cluster of overlapping images"}[str(by)]
    raise DataError(
        f"task '{task.slug}': the {len(division.items)} samples form {count} {what}{'' if count == 1 else 's'} (with "
        f"overlapping images kept together); at least {FEWEST_UNITS} are needed. Add others, or set another split "
        "(group, blocks, random) in the task's entry"
    )


def _listing(task: TaskSpec, pool: Pool, division: _Division, strata: Indices) -> Listing:
    units, items = division.units, division.grouped
    count = len(items) if units is None else len(np.unique(units))
    folds = assign_folds(strata, min(FOLDS, count), ("division", task.seed), units)
    dropped = dict(pool.dropped)
    if cross_validated(task, items):
        of = {item.id: int(fold) for item, fold in zip(items, folds, strict=True)}
        named = [f"fold {fold}" for fold in folds]
        _tell(task, division.rule, named, strata)
        left_out = {ALL: dropped} if dropped else {}
        return Listing(
            pool.root, {ALL: items}, "own", pool.load, pool.load_target, left_out, folds=of, rule=division.rule
        )
    splits = holdout(folds, strata, units)
    _tell(task, division.rule, splits.tolist(), strata)
    return _of_splits(pool, items, splits, dropped, division.rule)


def _of_splits(
    pool: Pool,
    items: Sequence[Item],
    splits: Names,
    dropped: Mapping[str, tuple[str, ...]],
    rule: Rule,
) -> Listing:
    parts = {
        name: tuple(item for item, own in zip(items, splits, strict=True) if own == name)
        for name in ("train", "val", "test")
    }
    left_out = {"train": dict(dropped)} if dropped else {}
    return Listing(pool.root, parts, "own", pool.load, pool.load_target, left_out, rule=rule)


def holdout(folds: Indices, strata: Indices, units: Names | None) -> Names:
    """Return the split of every sample from its fold: one fold is test, one is val, the others are train.

    A class without training samples gets its smallest unit, if that does not empty a split.
    """
    return all_classes_in_train(np.array(["test", "val", "train", "train", "train"])[folds], strata, units)


def _as_given(task: TaskSpec, pool: Pool, items: tuple[Item, ...], strata: Indices) -> Listing:
    if task.protocol == "folds":
        raise ContractError(
            f"task '{task.slug}': protocol is 'folds', but split is 'given'. Cross-validation does not use the data's "
            "own splits: remove one of the two settings"
        )
    apart = Apart(_groups(task, items), _points(task, items), overlapping(items))
    given = given_splits(task, pool.given, items, strata, apart)
    kept = np.array([split != "" for split in given.splits])
    _tell_overlaps(task, items, given.splits)
    rule: Rule = {"by": "given", **given.rule}
    splits = np.array(given.splits)[kept]
    _tell(task, rule, splits.tolist(), strata[kept])
    some = [item for item, own in zip(items, kept, strict=True) if own]
    dropped = {**pool.dropped, **given.dropped}
    return _of_splits(pool, some, splits, dropped, rule)


def _as_folds(task: TaskSpec, pool: Pool, items: tuple[Item, ...], strata: Indices) -> Listing:
    folds = given_folds(task, pool.folds, items)
    rule: Rule = {"by": "given", "folds": len(set(folds.values()))}
    named = [f"fold {folds[item.id]}" for item in items]
    _tell_overlaps(task, items, named)
    _tell(task, rule, named, strata)
    dropped = {ALL: pool.dropped} if pool.dropped else {}
    return Listing(pool.root, {ALL: items}, "own", pool.load, pool.load_target, dropped, folds=folds, rule=rule)


def _tell_overlaps(task: TaskSpec, items: Sequence[Item], parts: Sequence[str]) -> None:
    """Log how many images overlap one in another split or fold ('' for samples that are left out)."""
    pairs = overlapping_pairs(items).tolist()
    across = sum(parts[a] != parts[b] and parts[a] != "" and parts[b] != "" for a, b in pairs)
    if across:
        log.warning("%s: %d pairs of overlapping images are in different splits of the data", task.slug, across)


def _tell(task: TaskSpec, rule: Mapping[str, object], parts: Sequence[str], strata: Indices) -> None:
    """Log how the data were divided, and classes that are missing in a part."""
    how = ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in rule.items()
    )
    names, sizes = np.unique(parts, return_counts=True)
    log.info("%s: divided %s: %s", task.slug, how, ", ".join(f"{n} {c}" for n, c in zip(names, sizes, strict=True)))
    if task.kind != "classification":
        return
    of = np.array(parts)
    for part in names:
        absent = np.setdiff1d(np.unique(strata), strata[of == part])
        if len(absent):
            log.warning("%s: no sample of %s is in %s", task.slug, ", ".join(task.classes[k] for k in absent), part)
