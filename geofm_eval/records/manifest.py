"""What a run was asked to do, written before the first case: with it, a missing record is noticed.

Several sessions may fill one run, on one machine or on many. Each writes its own part, ``plan/<session>.json``, that no
other session touches; ``run.json`` unites them, for people and archives. Readers unite both, so that no plan is lost,
whoever wrote ``run.json`` last.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from geofm_eval.errors import DataError
from geofm_eval.records.section import Section
from geofm_eval.seals import CHECKSUM, is_whole, parse_json, sealed
from geofm_eval.store import write_json

log = logging.getLogger(__name__)

NAME, PARTS = "run.json", "plan"


class RunManifest(Section):
    """The cases that a run selected, as node names: ``test_<kind>[<case id>]``."""

    name: str
    cases: tuple[str, ...]


def write_manifest(run_dir: Path, manifest: RunManifest) -> Path:
    """Write the manifest of a run.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    path = run_dir / NAME
    write_json(path, sealed(manifest.model_dump(mode="json")))
    return path


def add_to_plan(run_dir: Path, session: str, cases: Sequence[str]) -> None:
    """Write what one session selects, then bring ``run.json`` up to date; no lock is needed.

    Whoever writes ``run.json`` looks at the parts once more afterwards. So its last writer has seen every part: a
    session whose part came later has yet to write it.

    Args:
        run_dir: folder of the run.
        session: name of the session, which no other has.
        cases: node names, ``test_<kind>[<case id>]``.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    path = part_path(run_dir, session)
    earlier = _read(path)
    own = dict.fromkeys([*(earlier.cases if earlier else ()), *cases])
    write_json(path, sealed(RunManifest(name=run_dir.name, cases=tuple(own)).model_dump(mode="json")))
    written = None
    while (plan := _plan_to_write(run_dir)) != written and plan is not None:
        write_manifest(run_dir, plan)
        written = plan


def part_path(run_dir: Path, session: str) -> Path:
    """Where a session's part of the plan is."""
    return run_dir / PARTS / f"{session}.json"


def remove_plan(run_dir: Path, session: str) -> None:
    """Take a session's part back, and the whole plan with its folders where no other session has a part.

    What another session writes meanwhile stays: a folder is removed only while it is empty.
    """
    part = part_path(run_dir, session)
    own = _read(part)
    part.unlink(missing_ok=True)
    with suppress(OSError):
        part.parent.rmdir()
    if not part.parent.exists() and own is not None:
        with suppress(DataError):
            whole = _read(run_dir / NAME)
            if whole is not None and set(whole.cases) <= set(own.cases):
                (run_dir / NAME).unlink(missing_ok=True)
    with suppress(OSError):
        run_dir.rmdir()


def _plan_to_write(run_dir: Path) -> RunManifest | None:
    """The plan of all sessions; None where a damaged file would be written over, which readers have to hear of."""
    try:
        return read_manifest(run_dir)
    except DataError as error:
        log.warning("%s", error)
        return None


def read_manifest(run_dir: Path) -> RunManifest | None:
    """Read the plan of a run, that of all its sessions; None for a folder of records without one.

    Raises:
        DataError: a file of it is not readable, or does not match its checksum. Files of older versions have none.
    """
    paths = [run_dir / NAME, *sorted((run_dir / PARTS).glob("*.json"))]
    found = [part for path in paths if not path.name.startswith(".") and (part := _read(path)) is not None]
    if not found:
        return None
    cases = dict.fromkeys(case for part in found for case in part.cases)
    return RunManifest(name=found[0].name, cases=tuple(cases))


def _read(path: Path) -> RunManifest | None:
    try:
        content = parse_json(path.read_bytes())
        if isinstance(content, dict) and CHECKSUM in content:
            if not is_whole(content):
                raise ValueError("its content does not match its checksum")
            content.pop(CHECKSUM)
        return RunManifest.model_validate(content)
    except FileNotFoundError:  # there is none, or the session that wrote it measured nothing and took it back
        return None
    except (ValueError, ValidationError, OSError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: not a readable list of cases ({reason}): cases without a record go unnoticed. "
            "Delete it, and go on with the same command and --resume"
        ) from None
