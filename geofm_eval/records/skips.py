"""Skipped cases; each process appends to its own ``skipped-<worker>-<session>.jsonl``."""

import json
from pathlib import Path

from pydantic import ValidationError

from geofm_eval.records.section import Section, without_seal
from geofm_eval.seals import sealed
from geofm_eval.store import storing


class Skip(Section):
    """One case that was skipped because something is missing.

    Args:
        case_id: ``model-task-adaptation-layer``.
        kind: kind of the missing thing: ``data``, ``weights``, ``package`` or ``device``.
        what: the missing thing in a few words.
        how: one sentence on how to obtain it.
    """

    case_id: str
    kind: str
    what: str
    how: str


def append_skip(run_dir: Path, worker: str, case_id: str, kind: str, what: str, how: str) -> None:
    """Append one skipped case to the file of this process; ``worker`` is unique, so that processes share no file.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    path = run_dir / f"skipped-{worker}.jsonl"
    skip = Skip(case_id=case_id, kind=kind, what=what, how=how)
    line = json.dumps(sealed(skip.model_dump(mode="json")))
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")


def read_skips(run_dir: Path) -> tuple[list[Skip], list[str]]:
    """Read the skips of all processes; if a resumed run skipped a case again, the last skip counts.

    Returns:
        Skips in the order of their case ids, and one sentence per line that could not be read.
    """
    skips: dict[str, Skip] = {}
    problems: list[str] = []
    for path in sorted(run_dir.glob("skipped-*.jsonl"), key=lambda path: (path.stat().st_mtime, path.name)):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                skip = Skip.model_validate(without_seal(line))
            except (ValueError, ValidationError, RecursionError):
                problems.append(f"{path}: line {number} is not a readable skip: {line[:60]!r}")
                continue
            skips[skip.case_id] = skip
    return [skips[case_id] for case_id in sorted(skips)], problems
