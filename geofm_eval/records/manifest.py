"""The plan of a run, written before the first case, so that missing records are noticed.

Several sessions, also on several machines, may fill one run. Each writes its own part, ``plan/<session>.json``, that no
other session touches; ``run.json`` unites them, for people and archives. Readers unite both, so that no plan is lost if
another session wrote ``run.json`` last.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from geofm_eval.errors import DataError
from geofm_eval.records.section import Section, without_seal
from geofm_eval.seals import sealed
from geofm_eval.store import write_json

log = logging.getLogger(__name__)

NAME, PARTS = "run.json", "plan"


class RunManifest(Section):
    """Selected cases of a run, as node names: ``test_<kind>[<case id>]``."""

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
    """Write the cases that one session selects, then update ``run.json``; no lock is needed.

    Every writer of ``run.json`` reads the parts again afterwards. So its last writer has seen every part: a session
    whose part came later has yet to write it.

    Args:
        run_dir: folder of the run.
        session: unique name of the session.
        cases: node names, ``test_<kind>[<case id>]``.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    path = _part_path(run_dir, session)
    earlier = _read(path)
    own = dict.fromkeys([*(earlier.cases if earlier else ()), *cases])
    write_json(path, sealed(RunManifest(name=run_dir.name, cases=tuple(own)).model_dump(mode="json")))
    written = None
    while (plan := _plan_to_write(run_dir)) != written and plan is not None:
        write_manifest(run_dir, plan)
        written = plan


def _part_path(run_dir: Path, session: str) -> Path:
    return run_dir / PARTS / f"{session}.json"


def remove_plan(run_dir: Path, session: str) -> None:
    """Remove a session's part, and the whole plan with its folders if no other session has a part.

    Files that another session writes meanwhile stay, because only empty folders are removed.
    """
    part = _part_path(run_dir, session)
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
    """The plan of all sessions; None if a damaged file would be overwritten, which readers must report."""
    try:
        return read_manifest(run_dir)
    except DataError as error:
        log.warning("%s", error)
        return None


def read_manifest(run_dir: Path) -> RunManifest | None:
    """Read the plan of all sessions of a run; None if the folder has no plan.

    Raises:
        DataError: a file of the plan is not readable, or does not match its checksum.
    """
    paths = [run_dir / NAME, *sorted((run_dir / PARTS).glob("*.json"))]
    found = [part for path in paths if not path.name.startswith(".") and (part := _read(path)) is not None]
    if not found:
        return None
    cases = dict.fromkeys(case for part in found for case in part.cases)
    return RunManifest(name=found[0].name, cases=tuple(cases))


def _read(path: Path) -> RunManifest | None:
    try:
        return RunManifest.model_validate(without_seal(path.read_bytes()))
    except FileNotFoundError:  # there is none, or its session measured nothing and removed it
        return None
    except (ValueError, ValidationError, OSError, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: not a readable list of cases ({reason}), so missing records cannot be noticed. "
            "Delete it, and repeat the command with --resume"
        ) from None
