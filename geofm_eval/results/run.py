"""Contents of a run folder: records, skips, planned cases, and files that could not be read."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from geofm_eval.errors import DataError
from geofm_eval.memo import Memo
from geofm_eval.plurals import counted
from geofm_eval.records import Record, Skip, read_manifest, read_records, read_skips
from geofm_eval.results.locate import run_folder
from geofm_eval.results.pairs import Pairs

KINDS = ("probe", "segment", "tune", "drift", "similarity", "throughput")
PROBE, SEGMENT, TUNE, DRIFT, SIMILARITY, THROUGHPUT = KINDS
"""Kinds of the records that are read: probes are collated into rankings, depth profiles and label-efficiency curves,
trainings by task; timings serve advice."""

_PLANNED = re.compile(rf"test_({'|'.join(KINDS)})\[(.+)\]")


@dataclass(frozen=True)
class Run:
    """Everything that was read from a run.

    Args:
        folder: the run's folder.
        records: records of every kind and status.
        skips: cases that something was absent for and that have no record.
        planned: kind and id of the cases that the run selected; empty when the run holds no list of them.
        problems: one sentence per file that could not be read.
        whole: the run that this one holds a part of, see :meth:`of_evidence`; None for a run as it was read.
        known: what follows from these alone and was computed before, see :func:`geofm_eval.memo.once`.
    """

    folder: Path
    records: tuple[Record, ...]
    skips: tuple[Skip, ...]
    planned: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    whole: "Run | None" = field(default=None, repr=False, compare=False)
    known: Memo = field(default_factory=Memo, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.resolve().name

    @cached_property
    def scored(self) -> list[Record]:
        """Records that hold a measurement: a case that failed an assertion keeps its scores."""
        measured = [record for record in self.records if record.scores or record.drift or record.similarity]
        return [record for record in measured if record.outcome.status != "error"]

    @cached_property
    def pairs(self) -> Pairs:
        """Paired differences between records of the folder; each is computed once, for parts of the run as well."""
        return Pairs(self.folder) if self.whole is None else self.whole.pairs

    def of_evidence(self, evidence: str) -> "Run":
        """Return the run with the records of one evidence class alone: itself, where it has no others."""

        def own() -> Run:
            records = tuple(record for record in self.records if record.evidence == evidence)
            return self if len(records) == len(self.records) else replace(self, records=records, whole=self)

        return self.known.get(("evidence", evidence), own)

    def scored_of(self, kind: str) -> list[Record]:
        """Those of one kind."""
        return [record for record in self.scored if record.case.kind == kind]

    def to_rows(self) -> list[dict[str, Any]]:
        """One dictionary per score (case and label fraction), for ``pandas.DataFrame``."""
        return [
            {
                "kind": record.case.kind,
                "model": record.case.model,
                "task": record.case.task,
                "adaptation": record.case.adaptation,
                "tap": record.case.layer,
                "fraction": float(fraction),
                "metric": score.metric,
                "score": score.value,
                "low": None if score.interval is None else score.interval.low,
                "high": None if score.interval is None else score.interval.high,
                "n_train": score.n_train,
                "n_test": score.n,
                "evidence": record.evidence,
                "verdict": record.outcome.verdict,
            }
            for record in self.scored
            for fraction, score in record.scores.items()
        ]

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        return f"Run({self.name}: {counted(len(self.records), 'record')}, {counts or 'none finished'})"

    @property
    def statuses(self) -> dict[str, int]:
        """Number of records per status."""
        counts = Counter(record.outcome.status for record in self.records)
        return {status: counts[status] for status in ("passed", "failed", "error") if counts[status]}

    @property
    def unsealed(self) -> int:
        """Number of records that were written before records carried a checksum."""
        return sum(record.checksum is None for record in self.records)

    def gaps(self, kind: str = PROBE) -> dict[str, str]:
        """Cases of a kind that were planned and have no score, with the reason, by case id.

        A skip does not say its kind: it counts unless the plan has it under another.
        """
        reasons = {case_id: "no record: the run stopped before it" for own, case_id in self.planned if own == kind}
        # A tuned case and the case of its drift have one id.
        here = {case_id for own, case_id in self.planned if own == kind}
        elsewhere = {case_id for own, case_id in self.planned if own != kind} - here
        for skip in self.skips:
            if skip.case_id not in elsewhere:
                reasons[skip.case_id] = f"skipped, {skip.kind} unavailable: {skip.what}"
        own_records = [record for record in self.records if record.case.kind == kind]
        reasons |= {r.case.id: f"{r.outcome.status}: {r.outcome.reason or 'no scores'}" for r in own_records}
        scored = {record.case.id for record in self.scored_of(kind)}
        return {case_id: reason for case_id, reason in sorted(reasons.items()) if case_id not in scored}


def read_run(run: str | Path) -> Run:
    """Read a run, complete or not.

    Args:
        run: its folder, its name below the folder of all runs, or its archive, which is unpacked into the cache.

    Raises:
        DataError: there is no such run, or it holds neither records nor skips.
        StoreError: an archive cannot be unpacked, because the disk is full or the cache cannot be written.
    """
    folder = run_folder(Path(run))
    records, problems = read_records(folder)
    skips, torn = read_skips(folder)
    problems += torn
    try:
        manifest = read_manifest(folder)
    except DataError as error:
        manifest = None
        problems.append(str(error))
    known = tuple(record for record in records if record.case.kind in KINDS)
    if not (known or skips or problems):
        raise DataError(f"{folder}: holds no records of cases; name the folder of a run")
    recorded = {record.case.id for record in known}
    return Run(
        folder=folder,
        records=known,
        skips=tuple(skip for skip in skips if skip.case_id not in recorded),
        planned=_case_ids(manifest.cases if manifest else ()),
        problems=tuple(problems),
    )


def _case_ids(nodenames: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((match[1], match[2]) for name in nodenames if (match := _PLANNED.fullmatch(name)))
