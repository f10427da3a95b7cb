"""Checks of records against their per-sample outcomes; records that agree are remembered, so that reading stays fast.

An entry has the record's checksum and the state of the outcomes' file. Files that were changed within two seconds of
their check are not remembered, because a second change could leave the same times.
"""

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.errors import ContractError, DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.plurals import counted
from geofm_eval.records.keys import record_path
from geofm_eval.records.outcomes import Outcomes, names_outcomes, read_outcomes
from geofm_eval.records.schema import Record
from geofm_eval.records.scores import Score
from geofm_eval.records.section import close
from geofm_eval.seals import content_hash, is_whole, parse_json, sealed
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.scores import pooled_r2, r2_per_draw
from geofm_eval.store import StoreError, write_json

VERIFIED_VERSION = 1
"""Raised whenever scores are recomputed differently."""

SETTLED_SECONDS = 2.0

_CURE = "the record is ignored; run the case again"


@dataclass(frozen=True)
class Problem:
    """A sentence for the user, and whether scores contradict their outcomes (else the outcomes cannot be read)."""

    text: str
    contradicts: bool


def problem_with_scores(run_dir: Path, record: Record) -> Problem | None:
    """Recompute the scores of a record from its outcomes; return None if they agree, or if it has no outcomes."""
    path = record_path(run_dir, record.case.kind, record.case.id)
    if record.outcomes_sha256 is None:
        unnamed = record.checksum is None and record.scores and names_outcomes(path.with_suffix(".npz"))
        text = f"{path}: the record does not name the per-sample outcomes that exist for it: {_CURE}"
        return Problem(text, contradicts=True) if unnamed else None
    try:
        outcomes = read_outcomes(run_dir, record)
    except DataError as error:
        return Problem(str(error), contradicts=False)
    assert outcomes is not None  # it has a hash
    for fraction, score in record.scores.items():
        try:
            difference = _difference(outcomes, fraction, score, record.provenance.protocol)
        except (KeyError, IndexError, ValueError, ContractError) as error:
            difference = f"cannot be computed from its outcomes ({type(error).__name__}: {str(error)[:120]})"
        if difference is not None:
            return Problem(f"{path}: the score at label fraction {fraction} {difference}: {_CURE}", contradicts=True)
    return None


def _difference(outcomes: Outcomes, fraction: str, score: Score, protocol: str) -> str | None:
    per_draw, n = _per_draw(outcomes, fraction, score.metric)
    value = float(per_draw.mean())
    if protocol == "shuffle_splits" and outcomes.target is not None:
        value = pooled_r2(outcomes.prediction[fraction], outcomes.target)
    if n != score.n:
        return f"counts {counted(score.n, 'sample')}, its outcomes {n}"
    if len(per_draw) != len(score.per_draw):
        return f"has {counted(len(score.per_draw), 'draw')}, its outcomes {len(per_draw)}"
    for own, other in ((score.value, value), *zip(score.per_draw, per_draw.tolist(), strict=True)):
        if not close(own, other):
            return f"is {own:.6g}, its outcomes give {other:.6g}"
    return None


def _per_draw(outcomes: Outcomes, fraction: str, metric: str) -> tuple[NDArray[np.float64], int]:
    """Score of every draw, shuffle or seed, and the number of test samples."""
    if outcomes.counts:
        counts = outcomes.counts[fraction]
        return count_score(counts, metric), counts.shape[1]
    if outcomes.target is None:
        correct = outcomes.correct[fraction]
        return np.asarray(correct.mean(axis=1, dtype=np.float64)), correct.shape[1]
    predicted = outcomes.prediction[fraction]
    return r2_per_draw(predicted, outcomes.target), int((~np.isnan(predicted)).any(axis=0).sum())


class Verified:
    """Records of one run that are known to agree with their outcomes."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        name = content_hash([str(run_dir.resolve()), VERIFIED_VERSION])
        self._path = geofm_cache() / "verified" / f"{name}.json"
        self._known = self._read()
        self._new: dict[str, list[Any]] = {}

    def problem(self, record: Record, checksum: str) -> Problem | None:
        """Check a record; outcomes that agreed earlier are not read again."""
        path = record_path(self._run_dir, record.case.kind, record.case.id).with_suffix(".npz")
        try:
            status = path.stat()
        except OSError:
            return problem_with_scores(self._run_dir, record)
        name = f"{record.case.kind}/{record.case.id}"
        state = [checksum, *state_of(status)]
        if self._known.get(name) != state:
            problem = problem_with_scores(self._run_dir, record)
            if problem is not None:
                return problem
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._new[name] = state
        return None

    def keep(self) -> None:
        """Remember the records that agree; a cache that cannot be written only costs time."""
        if self._new and self._new != self._known:
            with suppress(StoreError, OSError):
                write_json(self._path, sealed({"records": self._new}))

    def _read(self) -> dict[str, list[Any]]:
        try:
            content = parse_json(self._path.read_bytes())
            return dict(content["records"]) if is_whole(content) else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def state_of(status: os.stat_result) -> list[int]:
    """Return what changes with the content of a file."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
