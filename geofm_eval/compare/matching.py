"""Match the cases of two runs: the same case, on the same data, under the same protocol."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from geofm_eval.records import Record
from geofm_eval.results.comparison import identity
from geofm_eval.results.run import PROBE, SEGMENT, TUNE, Run

SCORED = (PROBE, SEGMENT, TUNE)
"""Kinds of cases with scores; drift, similarity and timings have no better or worse."""

CaseKey = tuple[str, str]
"""Kind and id; a tuned case and the case of its drift share an id."""


@dataclass(frozen=True)
class Refusal:
    """A case whose records must not be compared; ``differing`` has the old and new values."""

    case: CaseKey
    differing: dict[str, tuple[str, str]]
    old: Record
    new: Record


@dataclass(frozen=True)
class Matches:
    """The cases of two runs.

    Args:
        pairs: old and new record of every comparable case.
        refused: cases with different conditions.
        broken: cases that lost their score because they failed, stopped with an error, or have a damaged record.
        unscored: cases that the new run planned but did not measure, or without a readable score in the old run.
        absent: cases that the new run left out although it selected their model and task: excluded by ``--layers``,
            ``--adaptations`` or ``-k``, or renamed.
        unselected: cases of the old run whose model or task the new run did not select.
        only_new: cases that the old run does not have.
        not_compared: number of records of other kinds, by kind.
    """

    pairs: dict[CaseKey, tuple[Record, Record]]
    refused: tuple[Refusal, ...]
    broken: dict[CaseKey, str]
    unscored: dict[CaseKey, str]
    absent: tuple[CaseKey, ...]
    unselected: tuple[CaseKey, ...]
    only_new: tuple[CaseKey, ...]
    not_compared: dict[str, int]


def match(old: Run, new: Run) -> Matches:
    """Match the cases of two runs by kind and id."""
    before, after = scored(old), scored(new)
    pairs, refused = {}, []
    for key in sorted(before.keys() & after.keys()):
        differing = differences(before[key], after[key])
        if differing:
            refused.append(Refusal(key, differing, before[key], after[key]))
        else:
            pairs[key] = before[key], after[key]
    broken, unmeasured = _lost(before, new)
    inside = CaseSelection.of(new)
    unreadable = "its record in the baseline cannot be read; see the problems"
    blank = {key: f"in the baseline {why}" for key, why in _gaps(old).items() if key in after and key not in before}
    blank |= {key: unreadable for key in _unreadable(old) if key in inside}
    gone = sorted(before.keys() - after.keys() - broken.keys() - unmeasured.keys())
    others = Counter(r.case.kind for run in (old, new) for r in run.records if r.case.kind not in SCORED)
    return Matches(
        pairs,
        tuple(refused),
        broken,
        {**unmeasured, **blank},
        tuple(key for key in gone if key in inside),
        tuple(key for key in gone if key not in inside),
        tuple(sorted(after.keys() - before.keys() - blank.keys())),
        dict(sorted(others.items())),
    )


@dataclass(frozen=True)
class CaseSelection:
    """Models and tasks that a run selected: those of its planned cases, or without a plan of records and skips."""

    models: frozenset[str]
    tasks: frozenset[str]

    @classmethod
    def of(cls, run: Run) -> "CaseSelection":
        """Read it from a run, without similarity and timings, which have no score."""
        planned = [case_id for kind, case_id in run.planned if kind in SCORED]
        recorded = [record.case.id for record in run.records if record.case.kind in SCORED]
        skipped = [] if run.planned else [skip.case_id for skip in run.skips]
        parts = [name.split("-") for name in (*planned, *recorded, *skipped) if name.count("-") == 3]
        return cls(frozenset(part[0] for part in parts), frozenset(part[1] for part in parts))

    def __contains__(self, key: CaseKey) -> bool:
        model, task, *_ = key[1].split("-")
        return model in self.models and task in self.tasks


def scored(run: Run) -> dict[CaseKey, Record]:
    """Records with scores, by kind and id."""
    records = (r for r in run.scored if r.scores and r.case.kind in SCORED)
    return {(record.case.kind, record.case.id): record for record in records}


def _lost(before: Mapping[CaseKey, Record], new: Run) -> tuple[dict[CaseKey, str], dict[CaseKey, str]]:
    """Cases of the old run without a score now: broken ones, and those that were not measured."""
    gaps = _gaps(new)
    damaged = {key: "its record cannot be read; see the problems" for key in _unreadable(new) if key in before}
    ended = {(r.case.kind, r.case.id) for r in new.records if r.outcome.status in ("failed", "error")}
    lost = {key: gaps[key] for key in sorted(before.keys() & gaps.keys())} | damaged
    broken = {key: why for key, why in lost.items() if key in ended or key in damaged}
    return broken, {key: why for key, why in lost.items() if key not in broken}


def _unreadable(run: Run) -> list[CaseKey]:
    """Cases with a record in the folder of the run that could not be read."""
    known = {(record.case.kind, record.case.id) for record in run.records}
    files = ((kind, path.stem) for kind in SCORED for path in sorted((run.folder / kind).glob("*.json")))
    return [key for key in files if key not in known and key[1].count("-") == 3]


def differences(old: Record, new: Record) -> dict[str, tuple[str, str]]:
    """Return the conditions in which two records of a case differ, with both values abbreviated."""
    first, second = conditions(old), conditions(new)
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    found = {name: _shown(first.get(name, ""), second.get(name, "")) for name in names}
    if _enough_seeds(old, new):
        found.pop("seeds", None)
    return found


def conditions(record: Record) -> dict[str, str]:
    """Return what must be equal for two records of a case to be compared: data, recipe, draws, training schedule."""
    source, training = record.provenance, record.training
    draws = {key: len(score.per_draw) for key, score in record.scores.items()}
    found = {
        **identity(record),
        "metric": ", ".join(sorted({score.metric for score in record.scores.values()})),
        "pooling": str(source.pooling),
        "dtype": str(source.dtype),
        "seed of draws": str(source.seeds.get("task")),
    }
    if training is None:
        return found | {"label fractions and draws": json.dumps(draws, sort_keys=True)}
    schedule = {
        "recipe": training.recipe,
        "lengthened": training.lengthened,
        "rates": training.rates,
        "window": training.window,
    }
    return found | {
        "label fraction": ", ".join(sorted(draws)),
        "schedule": json.dumps(schedule, sort_keys=True),
        "seeds": json.dumps([one.seed for one in training.seeds]),
    }


def _enough_seeds(old: Record, new: Record) -> bool:
    """Whether the new run trained every seed that the baseline was asked for; more seeds are allowed.

    A baseline that was trained again with fresh seeds, because its score was outside its expected range, was asked for
    those of its first attempt only. Fewer seeds are not comparable, because a lucky one could be picked.
    """
    if old.training is None or new.training is None:
        return False
    first, second = ([one.seed for one in training.seeds] for training in (old.training, new.training))
    asked = first if old.first_attempt is None else first[: old.first_attempt.seeds]
    return set(asked) <= set(second)


def _gaps(run: Run) -> dict[CaseKey, str]:
    return {(kind, case_id): reason for kind in SCORED for case_id, reason in run.gaps(kind).items()}


def _shown(old: str, new: str) -> tuple[str, str]:
    """Abbreviate two values: the fields of objects that differ, the first digits of hashes."""
    try:
        first, second = json.loads(old), json.loads(new)
    except ValueError:
        return old, new
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
        return _fields(first, names), _fields(second, names)
    return old, new


def _fields(content: Mapping[str, object], names: list[str]) -> str:
    return ", ".join(f"{name} {str(content.get(name, 'absent'))[:40]}" for name in names)
