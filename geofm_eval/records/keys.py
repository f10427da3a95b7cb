"""What identifies a record: the path of its file, and the key of the content that a resumed run may reuse."""

import re
from collections.abc import Mapping
from pathlib import Path

from geofm_eval.errors import ContractError
from geofm_eval.store import content_hash

CONTENT_SCHEMA = 1
"""Raised with the record schema if measurements are stored differently. Ranges and verdicts are not measurements:
records of schema 1 are reused and judged again."""


def record_path(run_dir: Path, kind: str, case_id: str) -> Path:
    """Return the path of the record of a case."""
    return run_dir / kind / f"{case_id}.json"


def content_key(nodename: str, task_version: int, solved_key: str, method_versions: Mapping[str, int]) -> str:
    """Return the key of a record's content, which depends on case, data, weights and methods, not on commit or time.

    Args:
        nodename: ``test_<kind>[<case id>]``.
        task_version: version of the task in the catalog.
        solved_key: key of the sweep or training that the case reads; it depends on weights, data and seeds.
        method_versions: versions of the methods that compute scores from it, for example ``{"linear": 1}``.

    Returns:
        64 hex digits.

    Raises:
        ContractError: the nodename is not that of a case.
    """
    if re.fullmatch(r"test_[a-z0-9_]+\[[a-z0-9_]+(-[a-z0-9_]+){3}\]", nodename) is None:
        raise ContractError(f"found case '{nodename}', expected test_<kind>[<model>-<task>-<adaptation>-<layer>]")
    return content_hash(
        {
            "case": nodename,
            "task_version": task_version,
            "solved_key": solved_key,
            "methods": dict(method_versions),
            "schema": CONTENT_SCHEMA,
        }
    )
