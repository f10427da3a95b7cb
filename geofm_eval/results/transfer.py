"""The transferable tap: chosen per model on all other tasks, scored on the one that was left out."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.memo import once
from geofm_eval.records import Record, Score
from geofm_eval.results.comparison import LAST, Comparison, Subject, comparisons
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import Run
from geofm_eval.results.scope import excluded_task
from geofm_eval.results.taps import ChosenTap, best_of, candidates, sign
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import choose

FEWEST_TASKS = 3
"""Tasks of a model that a table needs; with fewer, a single other task would choose the tap."""


@dataclass(frozen=True)
class Transfer:
    """One model on the task that was left out: ``tap`` is chosen on the ``others``, ``own`` by validation on this task.

    ``over_own`` and ``over_final`` are paired differences of test scores; None if ``final`` was not measured.
    """

    comparison: Comparison
    subject: Subject
    fraction: str
    tap: str
    others: tuple[str, ...]
    own: ChosenTap
    over_own: Difference
    over_final: Difference | None

    @property
    def score(self) -> Score:
        """Test score of the transferable tap."""
        return self.subject.taps[self.tap].scores[self.fraction]

    @property
    def task(self) -> str:
        """Slug of the task that was left out."""
        return self.comparison.record.case.task


@dataclass(frozen=True)
class TapTransfers:
    """All models of one family of probes (:func:`family_of`), evidence class and recipe, by model and task."""

    slug: str
    family: str
    rows: tuple[Transfer, ...]


@dataclass(frozen=True)
class _Measured:
    """Validation scores of one model on one task by tap, shallow to deep; greater is better."""

    comparison: Comparison
    subject: Subject
    taps: tuple[ChosenTap, ...]

    @property
    def scores(self) -> dict[str, float]:
        return {one.tap: sign(one.score) * one.val_score for one in self.taps}

    @property
    def task(self) -> str:
        return self.comparison.record.case.task

    @property
    def items(self) -> set[str]:
        return set(self.subject.record.provenance.items_sha256.values())


def family_of(record: Record) -> str:
    """``linear`` (logistic regression and ridge, pooled features or tokens), or ``knn``; poolings such as cls apart."""
    probe, pooling = record.case.adaptation.split("_")[0], record.provenance.pooling
    family = "linear" if probe == "ridge" else probe
    return family if pooling in ("mean", "tokens", None) else f"{family}_{pooling}"


@once
def transfers(run: Run, catalog: Catalog) -> list[TapTransfers]:
    """Choose every model's tap on all other tasks, and score it on the one that was left out.

    The tap is the one with the highest mean of standardised validation scores, with the largest label fraction of each
    task: less their mean over the taps, divided by their standard deviation over the taps. Ranks would weigh a
    difference of one validation item as much as one of ten points. Other tasks are those without an item in common with
    the one that is left out; tasks that share items count as one together, so that a data set with many targets does
    not decide alone. Control targets and variants of tasks are left out altogether.

    Returns:
        One per family of probes, evidence class and recipe in which some model has ``FEWEST_TASKS`` tasks.
    """
    groups: defaultdict[tuple[str, str, str], dict[str, list[_Measured]]] = defaultdict(dict)
    for one in _measured(run, catalog):
        record = one.subject.record
        recipe = json.dumps(record.provenance.recipe, sort_keys=True)
        key = (family_of(record), str(record.evidence), recipe)
        groups[key].setdefault(one.subject.model, []).append(one)
    found = []
    numbers: defaultdict[str, int] = defaultdict(int)
    for (family, evidence, _), models in sorted(groups.items()):
        rows = tuple(row for own in models.values() for row in _of_model(own, run.pairs))
        if rows:
            slug = f"transferable-{family}-{evidence}"
            numbers[slug] += 1
            found.append(TapTransfers(slug if numbers[slug] == 1 else f"{slug}-{numbers[slug]}", family, rows))
    return found


def _measured(run: Run, catalog: Catalog) -> Iterator[_Measured]:
    tasks = {record.case.task for record in run.scored}
    for comparison in comparisons(run)[0]:
        if excluded_task(comparison.record.case.task, tasks, catalog):
            continue
        for subject in comparison.subjects:
            taps = candidates(subject, comparison.full)
            if len(taps) > 1 and not subject.missing:
                yield _Measured(comparison, subject, taps)


def _of_model(tasks: Sequence[_Measured], pairs: Pairs) -> Iterator[Transfer]:
    if len({one.task for one in tasks}) < FEWEST_TASKS:
        return
    for left_out in tasks:
        others = [one for one in tasks if one.task != left_out.task and not one.items & left_out.items]
        if len(others) >= FEWEST_TASKS - 1:
            tap = transferable_tap([[one.scores for one in own] for own in _data_sets(others)], list(left_out.scores))
            if tap is not None:
                yield _transfer(left_out, tap, others, pairs)


def _data_sets(tasks: Sequence[_Measured]) -> list[list[_Measured]]:
    groups: list[list[_Measured]] = []
    for one in tasks:
        shared = [group for group in groups if any(one.items & other.items for other in group)]
        joined = [one, *(other for group in shared for other in group)]
        groups = [*(group for group in groups if group not in shared), joined]
    return groups


def transferable_tap(data_sets: Sequence[Sequence[Mapping[str, float]]], taps: Sequence[str]) -> str | None:
    """The tap with the highest mean of standardised validation scores; of equals the shallowest.

    Args:
        data_sets: per data set, per task, validation scores by tap, greater is better.
        taps: what may be chosen, shallow to deep.

    Returns:
        None where the tasks have no two taps in common.
    """
    common = [tap for tap in taps if all(tap in one for tasks in data_sets for one in tasks)]
    if len(common) < 2:
        return None
    means = []
    for tasks in data_sets:
        values = np.array([[one[tap] for tap in common] for one in tasks])
        spread = values.std(axis=1, keepdims=True)
        centred = values - values.mean(axis=1, keepdims=True)
        means.append(np.divide(centred, spread, out=np.zeros_like(values), where=spread > 0).mean(0))
    return common[choose(np.mean(means, axis=0))]


def _transfer(one: _Measured, tap: str, others: Sequence[_Measured], pairs: Pairs) -> Transfer:
    own, fraction = best_of(one.taps), one.comparison.full
    names = tuple(sorted(other.task for other in others))
    over_own = _difference(one.subject, tap, own.tap, fraction, pairs)
    known = one.subject.score(LAST, fraction) is not None
    over_final = _difference(one.subject, tap, LAST, fraction, pairs) if known else None
    return Transfer(one.comparison, one.subject, fraction, tap, names, own, over_own, over_final)


def _difference(subject: Subject, tap: str, base: str, fraction: str, pairs: Pairs) -> Difference:
    first, second = subject.taps[tap], subject.taps[base]
    # A committed reference keeps the outcomes of few taps: that is no reason to complain of each of the others.
    if tap != base and any(record.outcomes_sha256 is None for record in (first, second)):
        return Difference(first.scores[fraction].value - second.scores[fraction].value)
    return pairs.difference(first, second, fraction)
