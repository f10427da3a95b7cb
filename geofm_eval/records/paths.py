"""Where the parts of a run lie."""

from pathlib import Path


def record_path(run_dir: Path, kind: str, case_id: str) -> Path:
    """Where the record of a case lies."""
    return run_dir / kind / f"{case_id}.json"
