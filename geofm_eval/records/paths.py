"""Where the parts of a run lie."""

from pathlib import Path


def record_path(run_dir: Path, kind: str, case_id: str) -> Path:
    """Path of the record of a case."""
    return run_dir / kind / f"{case_id}.json"
