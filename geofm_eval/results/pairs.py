"""The tap that validation chooses, and differences of test scores with their paired intervals."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import DataError
from geofm_eval.memo import Memo
from geofm_eval.records import Outcomes, Record, read_outcomes, read_resamples
from geofm_eval.stats.counts import Term, contrast_interval
from geofm_eval.stats.difference import LEVEL, Difference
from geofm_eval.stats.folds import paired_folded_interval
from geofm_eval.stats.scores import Interval, paired_interval, paired_r2_interval, paired_shuffle_interval

MEAN_DECIMALS = 12
"""Decimals to which weighted means of ones and zeros are rounded, so that a mean of ones is 1."""

RecordKey = tuple[Path, str, str]
"""Folder of a run, kind and id of one of its cases."""

Pair = tuple[Record, Record, str]
"""Two records and the label fraction that they are compared at."""


class Pairs:
    """Paired differences between records of one run, or of two, item by item.

    A record whose outcomes are absent is no error: the difference then has no interval, and ``problems`` says why.

    Args:
        run_dir: folder of the run.
        other: folder that the second record of every pair lies in; None where both lie in ``run_dir``.
    """

    def __init__(self, run_dir: Path, other: Path | None = None) -> None:
        self._run_dir = run_dir
        self._other = run_dir if other is None else other
        self._outcomes: dict[RecordKey, Outcomes | None] = {}
        self._resamples: dict[RecordKey, dict[str, NDArray[np.float32]]] = {}
        self._shared: dict[str, NDArray[Any]] = {}
        self._problems: dict[str, None] = {}
        self._differences: dict[tuple[str, ...], Difference] = {}
        self.known = Memo()
        """What else was computed from outcomes, see :func:`geofm_eval.memo.once`."""

    @property
    def problems(self) -> list[str]:
        """One sentence per record whose outcomes could not be used."""
        return list(self._problems)

    def difference(self, a: Record, b: Record, fraction: str) -> Difference:
        """Test score of ``a`` minus that of ``b`` with its paired interval, in the metric's own unit.

        A record against itself differs by nothing, in any sample of items.
        """
        if a.case.id == b.case.id and self._run_dir == self._other:
            return Difference(0.0, 0.0, 0.0)
        key, back = ((*_named(one), *_named(other), fraction) for one, other in ((a, b), (b, a)))
        if back in self._differences and self._run_dir == self._other:
            return self._differences[back].times(-1)
        if key not in self._differences:
            self._differences[key] = self.mean_difference([(a, b, fraction)])
        return self._differences[key]

    def mean_difference(self, pairs: Sequence[Pair], weights: Sequence[float] | None = None) -> Difference:
        """Mean of ``a - b`` over pairs that were tested on the same items, in the metric's own unit.

        One interval varies the items, and the label draws or shuffles, for all pairs together: errors that pairs have
        in common stay in it. Training seeds have nothing in common and vary pair by pair.

        Args:
            pairs: at least one.
            weights: one per pair, of sum 1; None for equal ones.
        """
        shares = [1 / len(pairs)] * len(pairs) if weights is None else list(weights)
        value = sum(
            w * (a.scores[key].value - b.scores[key].value) for w, (a, b, key) in zip(shares, pairs, strict=True)
        )
        found = [(self._read(a, self._run_dir), self._read(b, self._other), key) for a, b, key in pairs]
        known = [(left, right, key) for left, right, key in found if left is not None and right is not None]
        if len(known) < len(pairs):
            return Difference(value)
        first = known[0][0], known[0][2]
        for (a, b, _), (left, right, key) in zip(pairs, known, strict=True):
            if not (_same_items((left, key), (right, key)) and _same_items(first, (left, key))):
                self._problems[f"{a.case.id} and {b.case.id} differ in samples or draws: no paired interval"] = None
                return Difference(value)
        # Shuffles share training samples, most of them at the largest label fraction.
        n_train = max(a.scores[key].n_train for a, _, key in pairs)
        return Difference.within(value, _paired(known, shares, pairs[0][0].scores[pairs[0][2]].metric, n_train))

    def same_outcomes(self, a: Record, b: Record, fraction: str) -> bool:
        """Whether all outcomes of the two are equal, in every draw."""
        left, right = self._read(a, self._run_dir), self._read(b, self._other)
        if left is None or right is None or not _same_items((left, fraction), (right, fraction)):
            return False
        first, second = _per_item(left, fraction), _per_item(right, fraction)
        return np.array_equal(first, second, equal_nan=left.target is not None)

    def outcomes(self, record: Record) -> Outcomes | None:
        """Per-item outcomes of a record; None where they cannot be read."""
        return self._read(record, self._run_dir)

    def hold(self, record: Record, outcomes: Outcomes) -> None:
        """Take the outcomes of a record that is in no file, because it was put together from others."""
        self._outcomes[self._run_dir, *_named(record)] = outcomes

    def counts(self, record: Record, fraction: str) -> NDArray[Any] | None:
        """Counts of a dense record's test images; None where they cannot be read."""
        outcomes = self.outcomes(record)
        return None if outcomes is None else outcomes.counts.get(fraction)

    def resamples(self, record: Record, fraction: str) -> NDArray[np.float64] | None:
        """(B,) validation score of a record on resampled validation items; None where there is none."""
        place = (self._run_dir, *_named(record))
        if place not in self._resamples:
            try:
                self._resamples[place] = read_resamples(self._run_dir, record)
            except DataError as error:
                self._resamples[place] = {}
                self._problems[f"{error} (until then, intervals take its tap as given)"] = None
        found = self._resamples[place].get(fraction)
        return None if found is None else found.astype(np.float64)

    def groups(self, record: Record) -> NDArray[Any] | None:
        """Group of every test item; None where there are none."""
        outcomes = self.outcomes(record)
        return None if outcomes is None else outcomes.groups

    def _read(self, record: Record, folder: Path) -> Outcomes | None:
        place = (folder, *_named(record))
        if place not in self._outcomes:
            self._outcomes[place] = self._read_once(record, folder)
        return self._outcomes[place]

    def _read_once(self, record: Record, folder: Path) -> Outcomes | None:
        try:
            found = read_outcomes(folder, record)
        except DataError as error:
            self._problems[f"{error} (until then, its differences have no interval)"] = None
            return None
        if found is None:
            self._problems[f"{record.case.id} has no per-sample outcomes: its differences have no interval"] = None
            return None
        ids = self._one_copy(found.ids)
        groups, target = (None if one is None else self._one_copy(one) for one in (found.groups, found.target))
        return replace(found, ids=ids, groups=groups, target=target)

    def _one_copy(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the first array with this content: repeated lists of items would take most of the memory."""
        name = f"{array.dtype.str} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
        return self._shared.setdefault(name, array)


def recorded_seed(record: Record) -> int:
    """Seed of what is drawn at random for a task, as its records hold it."""
    return int(str(record.provenance.seeds.get("task", 0)))


def _named(record: Record) -> tuple[str, str]:
    return record.case.kind, record.case.id


def _per_item(outcomes: Outcomes, fraction: str) -> NDArray[Any]:
    """Return (draws, n) outcomes at a label fraction; (draws, n, ...) counts of a dense task."""
    if outcomes.counts:
        return outcomes.counts[fraction]
    return outcomes.correct[fraction] if outcomes.target is None else outcomes.prediction[fraction]


def _same_items(one: tuple[Outcomes, str], other: tuple[Outcomes, str]) -> bool:
    (left, key), (right, other_key) = one, other
    first, second = _per_item(left, key), _per_item(right, other_key)
    if not _equal(left.ids, right.ids) or first.shape[1:] != second.shape[1:]:
        return False
    if (left.folds is None) != (right.folds is None):
        return False
    if left.counts and right.counts:
        return True  # the seeds of two networks vary each for itself, so that their numbers may differ
    if first.shape != second.shape or (left.target is None) != (right.target is None):
        return False
    if left.target is None or right.target is None:
        return True
    return _equal(left.target, right.target) and np.array_equal(np.isnan(first), np.isnan(second))


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one is other or np.array_equal(one, other)


def _paired(
    pairs: Sequence[tuple[Outcomes, Outcomes, str]], weights: Sequence[float], metric: str, n_train: int
) -> Interval | None:
    """Interval of the mean difference, from mean outcomes or squared errors per item where there are several pairs."""
    left = pairs[0][0]
    if left.counts:
        sides = [
            (side, own, key)
            for weight, (one, other, key) in zip(weights, pairs, strict=True)
            for side, own in ((weight, one), (-weight, other))
        ]
        terms = [Term(side, _per_item(own, key), metric) for side, own, key in sides]
        return contrast_interval(terms, left.groups, LEVEL)
    first = _mean_per_item([(one, key) for one, _, key in pairs], weights)
    second = _mean_per_item([(other, key) for _, other, key in pairs], weights)
    if left.folds is not None:
        return paired_folded_interval(first, second, left.target, left.groups, LEVEL)
    if left.target is None:
        return paired_interval(first, second, left.groups, LEVEL)
    if np.isnan(first).any():
        return paired_shuffle_interval(first, second, left.target, n_train, LEVEL)
    return paired_r2_interval(first, second, left.target, left.groups, LEVEL)


def _mean_per_item(outcomes: Sequence[tuple[Outcomes, str]], weights: Sequence[float]) -> NDArray[Any]:
    """Return (draws, n) outcomes whose score is the mean score of several."""
    target = outcomes[0][0].target
    if len(outcomes) == 1:
        return _per_item(*outcomes[0])
    if target is None:
        mean = np.tensordot(weights, [_per_item(*one).astype(np.float64) for one in outcomes], 1)
        return np.round(mean, MEAN_DECIMALS)
    # R2 is linear in squared errors: predictions that miss by their root mean square have the mean R2.
    squares = [np.square(_per_item(*one) - target) for one in outcomes]
    return np.asarray(target + np.sqrt(np.average(squares, axis=0, weights=weights)))
