"""Which records of a run were found to agree with their outcomes, so that reading it again stays cheap.

An entry holds the record's checksum and the state of the outcomes' file. A file that was changed within two seconds of
its check is not remembered: a second change could leave the same times.
"""

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from geofm_eval.paths import geofm_cache
from geofm_eval.records.agreement import Problem, problem_with_scores
from geofm_eval.records.paths import record_path
from geofm_eval.records.schema import Record
from geofm_eval.seals import content_hash, is_whole, parse_json, sealed
from geofm_eval.store import StoreError, write_json

VERIFIED_VERSION = 1
"""Raised whenever scores are recomputed otherwise."""

SETTLED_SECONDS = 2.0


class Verified:
    """What is known of the records of one run.

    Args:
        run_dir: folder of the run.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        name = content_hash([str(run_dir.resolve()), VERIFIED_VERSION])
        self._path = geofm_cache() / "verified" / f"{name}.json"
        self._known = self._read()
        self._new: dict[str, list[Any]] = {}

    def problem(self, record: Record, checksum: str) -> Problem | None:
        """Say what is wrong with a record by its outcomes; a file that was found right is not read again."""
        path = record_path(self._run_dir, record.case.kind, record.case.id).with_suffix(".npz")
        try:
            status = path.stat()
        except OSError:
            return problem_with_scores(self._run_dir, record)
        name = f"{record.case.kind}/{record.case.id}"
        state = [checksum, *_state(status)]
        if self._known.get(name) != state:
            problem = problem_with_scores(self._run_dir, record)
            if problem is not None:
                return problem
        if time.time() - status.st_mtime > SETTLED_SECONDS:
            self._new[name] = state
        return None

    def keep(self) -> None:
        """Remember what was found right; a cache that cannot be written costs time only."""
        if self._new and self._new != self._known:
            with suppress(StoreError, OSError):
                write_json(self._path, sealed({"records": self._new}))

    def _read(self) -> dict[str, list[Any]]:
        try:
            content = parse_json(self._path.read_bytes())
            return dict(content["records"]) if is_whole(content) else {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}


def _state(status: os.stat_result) -> list[int]:
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
