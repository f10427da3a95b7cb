"""Which cases of two runs may be compared: the same case, on the same data, under the same protocol."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from geofm_eval.records import Record, record_path
from geofm_eval.report.comparison import identity
from geofm_eval.report.run import PROBE, SEGMENT, TUNE, RunContent

SCORED = (PROBE, SEGMENT, TUNE)
"""Kinds of cases that have scores; drift, similarity and timings are no better or worse."""

CaseKey = tuple[str, str]
"""Kind and id: a tuned case and that of its drift have one id."""


@dataclass(frozen=True)
class Refusal:
    """A case whose records must not be compared.

    Args:
        case: kind and id.
        differing: what differs, with the old and the new value.
    """

    case: CaseKey
    differing: dict[str, tuple[str, str]]


@dataclass(frozen=True)
class Matches:
    """The cases of two runs.

    Args:
        pairs: old and new record of every case that may be compared.
        refused: cases that both have under other conditions.
        broken: cases that had scores and have none now, because they failed or stopped with an error, or their record
            is damaged, with the reason.
        unscored: cases without scores in the old run, or that the new run planned and did not measure, with the reason.
        only_old: cases that the new run did not select.
        only_new: cases that the old run does not have.
        not_compared: number of records of other kinds, by kind.
    """

    pairs: dict[CaseKey, tuple[Record, Record]]
    refused: tuple[Refusal, ...]
    broken: dict[CaseKey, str]
    unscored: dict[CaseKey, str]
    only_old: tuple[CaseKey, ...]
    only_new: tuple[CaseKey, ...]
    not_compared: dict[str, int]


def match(old: RunContent, new: RunContent) -> Matches:
    """Match the cases of two runs by kind and id."""
    before, after = _scored(old), _scored(new)
    without_before, without_after = _gaps(old), _gaps(new)
    pairs, refused = {}, []
    for key in sorted(before.keys() & after.keys()):
        differing = differences(before[key], after[key])
        if differing:
            refused.append(Refusal(key, differing))
        else:
            pairs[key] = before[key], after[key]
    damaged = _damaged(before, new)
    ended = {(r.case.kind, r.case.id) for r in new.records if r.outcome.status in ("failed", "error")} | damaged.keys()
    lost = {key: without_after[key] for key in sorted(before.keys() & without_after.keys())} | damaged
    unscored = {key: reason for key, reason in lost.items() if key not in ended}
    unscored |= {key: f"in the baseline {without_before[key]}" for key in sorted(after.keys() & without_before.keys())}
    others = Counter(r.case.kind for content in (old, new) for r in content.records if r.case.kind not in SCORED)
    return Matches(
        pairs,
        tuple(refused),
        {key: reason for key, reason in lost.items() if key in ended},
        unscored,
        tuple(sorted(before.keys() - after.keys() - lost.keys())),
        tuple(sorted(after.keys() - before.keys() - without_before.keys())),
        dict(sorted(others.items())),
    )


def _damaged(before: Iterable[CaseKey], new: RunContent) -> dict[CaseKey, str]:
    """Cases of the old run whose record is in the new one and cannot be read: a worse score may hide in it."""
    known = {(record.case.kind, record.case.id) for record in new.records}
    gone = [key for key in sorted(before) if key not in known and record_path(new.folder, *key).exists()]
    return dict.fromkeys(gone, "its record cannot be read: see the problems")


def differences(old: Record, new: Record) -> dict[str, tuple[str, str]]:
    """What keeps two records of a case from being compared, with both values in short; empty where nothing does."""
    first, second = conditions(old), conditions(new)
    names = [name for name in {**first, **second} if first.get(name) != second.get(name)]
    found = {name: _shown(first.get(name, ""), second.get(name, "")) for name in names}
    if _more_seeds(old, new):
        found.pop("seeds", None)
    return found


def conditions(record: Record) -> dict[str, str]:
    """What must be equal for two records of a case to be compared: data, recipe, draws, schedule of the trainings."""
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


def _more_seeds(old: Record, new: Record) -> bool:
    """Whether one was trained with all seeds of the other and some more, as a case that is confirmed is."""
    if old.training is None or new.training is None:
        return False
    first, second = ({one.seed for one in training.seeds} for training in (old.training, new.training))
    return first <= second or second <= first


def _scored(content: RunContent) -> dict[CaseKey, Record]:
    records = (r for r in content.scored if r.scores and r.case.kind in SCORED)
    return {(record.case.kind, record.case.id): record for record in records}


def _gaps(content: RunContent) -> dict[CaseKey, str]:
    return {(kind, case_id): reason for kind in SCORED for case_id, reason in content.gaps(kind).items()}


def _shown(old: str, new: str) -> tuple[str, str]:
    """Two values in short: of objects the fields that differ, of hashes the first digits."""
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
