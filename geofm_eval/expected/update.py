"""New ranges from finished runs: which cases are used, their ranges, and the changes to existing ranges."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from geofm_eval.catalog import coding_of, is_neuco
from geofm_eval.errors import DataError
from geofm_eval.expected import rules
from geofm_eval.expected.admissible import Admitted, as_text
from geofm_eval.expected.judging import failed_by_range
from geofm_eval.expected.ranges import X86_64, Key, Origin, Range, Ranges
from geofm_eval.expected.subject import (
    architecture_of,
    basis_of,
    decisions_of,
    differences,
    has_scores,
    key_of,
    seeds_of,
)
from geofm_eval.plurals import counted
from geofm_eval.records import Record, Score

FIRST = "set from finished runs"
"""Default reason of a new range."""

Scored = tuple[str, Key]
"""Task and key of a range."""

Solve = Callable[[Sequence[Record]], Mapping[str, Mapping[str, Mapping[str, Admitted]]]]
"""Scores of admissible choices by task, tap and label fraction, for probe records on the same features; see
``measure.admitted``."""


@dataclass(frozen=True)
class SourceRecords:
    """Records of all runs by task and key, and why other cases are left out."""

    groups: Mapping[Scored, tuple[Record, ...]]
    refused: Mapping[str, str]


@dataclass(frozen=True)
class Change:
    """Change of one range; ``old`` is None for a new one."""

    task: str
    key: Key
    old: Range | None
    new: Range

    @property
    def changed(self) -> bool:
        """Whether anything but the origin differs; if not, the old range is kept."""
        return self.old is None or replace(self.old, origin=self.new.origin) != self.new

    @property
    def looser(self) -> bool:
        """Whether the new range admits a score that the old one did not."""
        return self.old is not None and (self.new.lo < self.old.lo or self.new.hi > self.old.hi)

    @property
    def effect(self) -> float | None:
        """Difference of the means in old standard deviations; None if there is none."""
        if self.old is None or not self.old.sd:
            return None
        return (self.new.mean - self.old.mean) / self.old.sd


def take(runs: Sequence[Sequence[Record]], tasks: Sequence[str] = ()) -> SourceRecords:
    """Select what ranges can be set from: cases with scores that passed, or failed only because of their old range.

    Args:
        runs: records of every run.
        tasks: task slugs; empty takes all.

    Raises:
        DataError: records of one case differ in weights, data, recipe or training, or no case is left.
    """
    groups: dict[Scored, list[Record]] = {}
    refused: dict[str, str] = {}
    for record in itertools.chain.from_iterable(runs):
        if tasks and record.case.task not in tasks:
            continue
        outcome = record.outcome
        if outcome.status != "passed" and not failed_by_range(outcome):
            refused[f"{record.case.kind} {record.case.id} of run '{record.run.name}'"] = (
                f"{outcome.status}: {outcome.reason}"
            )
        elif is_neuco(record.case.adaptation):
            refused[f"{record.case.kind} {record.case.id}"] = "NeuCo-Bench's probe is not solved to its optimum"
        elif coding_of(record.case.adaptation) != "float32":
            refused[f"{record.case.kind} {record.case.id}"] = "coded features are not judged by ranges"
        elif has_scores(record):
            for fraction in record.scores:
                groups.setdefault((record.case.task, key_of(record, fraction)), []).append(record)
    for (task, key), own in groups.items():
        _check_alike(task, key, own)
    if not groups:
        left = "; ".join(f"{name}: {reason}" for name, reason in refused.items()) or "no case with scores"
        raise DataError(f"nothing to set ranges from: {left}; name runs with finished cases")
    return SourceRecords({name: tuple(own) for name, own in groups.items()}, refused)


def _check_alike(task: str, key: Key, own: Sequence[Record]) -> None:
    first = basis_of(own[0], key.fraction)
    for record in own[1:]:
        other = differences(basis_of(record, key.fraction), first)
        if other:
            raise DataError(
                f"{key.name} of {task}: runs '{own[0].run.name}' and '{record.run.name}' have different "
                f"{', '.join(other)}: set ranges from runs that agree in these"
            )


@dataclass(frozen=True)
class Proposal:
    """A change for every range that can be set, and why other cases have none."""

    changes: tuple[Change, ...]
    refused: Mapping[str, str]

    @property
    def looser(self) -> list[Change]:
        """Changes that admit a score that the old range did not."""
        return [change for change in self.changes if change.looser]


def propose(taken: SourceRecords, solve: Solve, old: Mapping[str, Ranges], why: str) -> Proposal:
    """Propose ranges, each with the old one; ``FIRST`` replaces a blank ``why``.

    Raises:
        DataError: a probe cannot be solved again.
    """
    probes = {name: own for name, own in taken.groups.items() if name[1].kind == "probe"}
    trained = {name: own for name, own in taken.groups.items() if name not in probes}
    seeds, refused = _trained(trained, why)
    found, unsound = _numeric(probes, solve, why)
    found |= seeds
    changes = (
        Change(task, key, old[task].ranges.get(key) if task in old else None, found[task, key])
        for task, key in sorted(found)
    )
    return Proposal(tuple(changes), {**taken.refused, **refused, **unsound})


def _origin(own: Sequence[Record], why: str) -> Origin:
    code = own[-1].provenance.code
    commit = code.get("commit")
    version = f"{code.get('version', 'unknown')}{f', commit {str(commit)[:12]}' if commit else ''}"
    names = tuple(sorted({record.run.name for record in own}))
    machines = tuple(sorted({name for record in own if (name := architecture_of(record))})) or (X86_64,)
    return Origin(names, why.strip() or FIRST, version, f"{datetime.now(UTC):%Y-%m-%d}", machines)


def _numeric(
    probes: Mapping[Scored, tuple[Record, ...]], solve: Solve, why: str
) -> tuple[dict[Scored, Range], dict[str, str]]:
    """Ranges of probes, and cases for which the rule fails; features are solved once for all their cases."""
    admitted: dict[Scored, list[Admitted]] = {name: [] for name in probes}
    for group in _same_features(probes.values()):
        for task, solved in solve(group).items():
            for name in {(task, key_of(one, f)) for one in group if one.case.task == task for f in one.scores}:
                admitted[name].append(solved[name[1].case.split("-")[2]][name[1].fraction])
    found: dict[Scored, Range] = {}
    refused: dict[str, str] = {}
    for (task, key), own in probes.items():
        made = _numeric_range(key, own, admitted[task, key], why)
        if outside := _outside(key, own, admitted[task, key], made):
            refused[f"{key.name} of {task}"] = outside
        else:
            found[task, key] = made
    return found, refused


def _same_features(groups: Iterable[Sequence[Record]]) -> list[list[Record]]:
    """Group probe records by what is solved together: features and adaptation."""
    found: dict[tuple[object, ...], dict[int, Record]] = {}
    for record in itertools.chain.from_iterable(groups):
        features = tuple(sorted(record.provenance.feature_keys.items()))
        device = key_of(record, next(iter(record.scores))).device
        name = (features, record.case.model, record.case.adaptation, str(record.provenance.recipe), device)
        found.setdefault(name, {})[id(record)] = record
    return [list(own.values()) for own in found.values()]


def _numeric_range(key: Key, own: Sequence[Record], admitted: Sequence[Admitted], why: str) -> Range:
    scores = [record.scores[key.fraction] for record in own]
    mean = float(np.mean([score.value for score in scores]))
    decision = rules.least_width(scores[0].metric, mean, decisions_of(own[0], scores[0]))
    low, high = rules.outward(min(one.low for one in admitted) - decision, max(one.high for one in admitted) + decision)
    first = admitted[0]
    return Range(
        lo=low,
        hi=high,
        mean=_rounded(mean),
        n=len(first.solves),
        rule="numeric",
        basis=basis_of(own[0], key.fraction),
        origin=_origin(own, why),
        choices=as_text(first.draws) if first.draws else None,
        gap=None if first.gap is None else _rounded(first.gap, 2),
    )


def _outside(key: Key, own: Sequence[Record], admitted: Sequence[Admitted], made: Range) -> str:
    """Why the rule fails for a case: a score of a run or of a solve with noise is outside; empty if none is.

    The ends follow from the solve without noise only, so the others test the rule.
    """
    runs = {f"run '{record.run.name}'": record.scores[key.fraction].value for record in own}
    solves = {name: value for one in admitted for name, value in one.solves.items()}
    for name, value in {**runs, **solves}.items():
        if not made.lo <= value <= made.hi:
            return (
                f"{name} scores {value:.7g}, outside the range of admissible penalties, "
                f"[{made.lo:.7g}, {made.hi:.7g}]: run the case again on this machine, and report it if this persists"
            )
    return ""


def _rounded(value: float, digits: int = 10) -> float:
    return float(f"{value:.{digits}g}")


@dataclass(frozen=True)
class _Seeds:
    own: tuple[Record, ...]
    score: Score
    values: tuple[float, ...]

    @property
    def variance(self) -> float:
        """Variance over the seeds, on the working scale."""
        scaled = [rules.to_scale(value, self.score.metric, self.score.n) for value in self.values]
        return float(np.var(scaled, ddof=1))


def _trained(trained: Mapping[Scored, tuple[Record, ...]], why: str) -> tuple[dict[Scored, Range], dict[str, str]]:
    """Ranges of trained cases, and cases with too few seeds; variances are pooled over a task and adaptation."""
    seeds = {name: _seeds(name[1], own) for name, own in trained.items()}
    families: dict[tuple[str, ...], list[Scored]] = {}
    for (task, key), own in seeds.items():
        if len(own.values) > 1:
            adaptation = key.case.split("-")[1]
            families.setdefault((task, key.kind, adaptation, key.device, key.dtype), []).append((task, key))
    single = "one seed has no standard deviation: train more with --seeds or --first-seed"
    refused = {f"{key.name} of {task}": single for (task, key), own in seeds.items() if len(own.values) < 2}
    found: dict[Scored, Range] = {}
    for names in families.values():
        siblings = [(seeds[name].variance, len(seeds[name].values) - 1) for name in names]
        for (task, key), (variance, freedom) in zip(names, siblings, strict=True):
            spread = rules.pooled(variance, freedom, siblings)
            if spread.freedom < rules.FEWEST_SEEDS - 1:
                refused[f"{key.name} of {task}"] = (
                    f"found {counted(freedom + 1, 'seed')} and {spread.freedom:.1f} pooled degrees of freedom, "
                    f"expected {rules.FEWEST_SEEDS} seeds, or {rules.FEWEST_SEEDS - 1} degrees of freedom pooled with "
                    "other models of this adaptation: train more with --first-seed"
                )
            else:
                found[task, key] = _seed_range(key, seeds[task, key], spread, why)
    return found, refused


def _seeds(key: Key, own: tuple[Record, ...]) -> _Seeds:
    """Scores by seed over all runs; if several runs trained a seed, the last one counts."""
    values: dict[int, float] = {}
    for record in own:
        values |= seeds_of(record)[key.fraction]
    return _Seeds(own, own[0].scores[key.fraction], tuple(values[seed] for seed in sorted(values)))


def _seed_range(key: Key, seeds: _Seeds, found: rules.Pooled, why: str) -> Range:
    count, score = len(seeds.values), seeds.score
    mean = _rounded(float(np.mean(seeds.values)))
    floor = _rounded(rules.least_width(score.metric, mean, decisions_of(seeds.own[0], score)))
    found = rules.Pooled(_rounded(found.spread), _rounded(found.freedom))
    low, high = rules.seed_range(mean, score.metric, score.n, found, count, floor)
    return Range(
        lo=low,
        hi=high,
        mean=mean,
        n=count,
        rule="seeds",
        basis=basis_of(seeds.own[0], key.fraction),
        origin=_origin(seeds.own, why),
        sd=_rounded(float(np.std(seeds.values, ddof=1)), 4),
        spread=found.spread,
        freedom=found.freedom,
        floor=floor,
    )


def merged(old: Mapping[str, Ranges], changes: Iterable[Change]) -> dict[str, Ranges]:
    """Return all ranges of the tasks with changes; other ranges stay, and unchanged ones keep their origin."""
    found: dict[str, dict[Key, Range]] = {}
    for change in changes:
        kept = dict(old[change.task].ranges) if change.task in old else {}
        own = found.setdefault(change.task, kept)
        if change.changed:
            own[change.key] = change.new
    return {task: Ranges(task, own) for task, own in found.items()}


def read_intact_records(run_dir: Path) -> list[Record]:
    """Read all records of a run, to set ranges from.

    Raises:
        DataError: there is no such run, or a record cannot be read; otherwise part of a run would be used unnoticed.
    """
    from geofm_eval.records import read_records, shown_problems

    records, problems = read_records(run_dir)
    if problems:
        raise DataError(f"{shown_problems(problems)}; ranges need records that are all readable")
    return records
