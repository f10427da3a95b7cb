"""When may a resumed run re-use a record: when what its numbers depend on is the same."""

import re
from collections.abc import Mapping

from geofm_eval.errors import ContractError
from geofm_eval.store import content_hash

CONTENT_SCHEMA = 1
"""Raised with the record schema when measurements are kept otherwise. Ranges and verdicts are no part of a measurement:
records of schema 1 are re-used, and judged anew."""


def content_key(nodename: str, task_version: int, solved_key: str, method_versions: Mapping[str, int]) -> str:
    """Key of a record's content: it changes with case, data, weights and methods, not with commit, host or time.

    Args:
        nodename: ``test_<kind>[<case id>]``.
        task_version: version of the task in the catalog.
        solved_key: key of the sweep or training that the case reads, which stands for weights, data and seeds.
        method_versions: versions of the methods that turn it into scores, such as ``{"linear": 1, "interval": 1}``.

    Returns:
        64 hex digits.

    Raises:
        ContractError: a nodename that is no case.
    """
    if re.fullmatch(r"test_[a-z0-9_]+\[[a-z0-9_]+(-[a-z0-9_]+){3}\]", nodename) is None:
        raise ContractError(f"'{nodename}' is no case: expected test_<kind>[<model>-<task>-<adaptation>-<layer>]")
    return content_hash(
        {
            "case": nodename,
            "task_version": task_version,
            "solved_key": solved_key,
            "methods": dict(method_versions),
            "schema": CONTENT_SCHEMA,
        }
    )
