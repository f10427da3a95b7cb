"""Cases that did not run: each process appends to its own ``skipped-<worker>-<session>.jsonl``."""

import json
from pathlib import Path

from pydantic import ValidationError

from geofm_eval.records.section import Section
from geofm_eval.seals import CHECKSUM, is_whole, parse_json, sealed
from geofm_eval.store import storing


class Skip(Section):
    """One case that was skipped because something is merely absent.

    Args:
        case_id: ``model-task-adaptation-layer``.
        kind: what sort of thing is missing: ``data``, ``weights``, ``package`` or ``device``.
        what: the missing thing in a few words.
        how: one sentence that says how to obtain it.
    """

    case_id: str
    kind: str
    what: str
    how: str


def append_skip(run_dir: Path, worker: str, case_id: str, kind: str, what: str, how: str) -> None:
    """Append one skipped case to the writer's own file: processes never share a file, so no line is torn.

    No other process on any host is called ``worker``; ``kind`` and ``what`` say in a few words what is missing, and
    ``how`` says in a sentence how to obtain it.

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
    """Read the skips of all processes, one per case (a resumed run skips a case again; the last word counts).

    Returns:
        Skips in the order of their case ids, and one sentence per line that could not be read.
    """
    skips: dict[str, Skip] = {}
    problems: list[str] = []
    for path in sorted(run_dir.glob("skipped-*.jsonl"), key=lambda path: (path.stat().st_mtime, path.name)):
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            try:
                skip = _skip_of(line)
            except (ValueError, ValidationError, RecursionError):
                problems.append(f"{path}: line {number} is not a readable skip: {line[:60]!r}")
                continue
            skips[skip.case_id] = skip
    return [skips[case_id] for case_id in sorted(skips)], problems


def _skip_of(line: str) -> Skip:
    """Read one line; ValueError if it does not match its checksum. Lines of older versions have none."""
    content = parse_json(line)
    if isinstance(content, dict) and CHECKSUM in content:
        if not is_whole(content):
            raise ValueError("its content does not match its checksum")
        content.pop(CHECKSUM)
    return Skip.model_validate(content)
