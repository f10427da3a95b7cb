"""What a run was asked to do, written by its controller before the first case: with it, a missing record is noticed."""

import json
from pathlib import Path

from pydantic import ValidationError

from geofm_eval.errors import DataError
from geofm_eval.records.section import Section
from geofm_eval.store import write_json

NAME = "run.json"


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
    write_json(path, manifest.model_dump(mode="json"))
    return path


def read_manifest(run_dir: Path) -> RunManifest | None:
    """Read the manifest of a run; None for a folder of records without one.

    Raises:
        DataError: the file is not readable.
    """
    path = run_dir / NAME
    if not path.exists():
        return None
    try:
        return RunManifest.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, ValidationError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path}: not a readable list of cases ({reason}): cases without a record go unnoticed"
        ) from None
