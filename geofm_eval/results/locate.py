"""Find a run by its folder, its name in the folder of all runs, or its archive."""

import difflib
from pathlib import Path

from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_runs
from geofm_eval.records import record_files, unpack
from geofm_eval.records.archive import SUFFIX

LISTED = 8
"""Runs in a message, the newest first."""


def find_run(run: Path, runs: Path | None = None) -> Path:
    """Folder of a run.

    Args:
        run: its folder, its name below ``runs``, or an archive such as ``reports/reference/study.tar.xz``, which is
            unpacked into the cache.
        runs: folder of all runs; None takes ``GEOFM_RUNS``, or reports/runs below the working directory.

    Raises:
        DataError: there is no such run, it is a file that is no archive, or it holds no record.
        StoreError: an archive cannot be unpacked, because the disk is full or the cache cannot be written.
    """
    folder = run_folder(run, runs)
    if not record_files(folder):
        archives = sorted(folder.glob(f"*{SUFFIX}"))
        cure = f"use {archives[0]}" if archives else "the folder of a run has <kind>/<case>.json"
        raise DataError(f"{folder}: holds no records of cases; {cure}")
    return folder


def is_archive(run: Path) -> bool:
    """Whether a path is that of an archive of a run."""
    return run.is_file() and run.name.endswith(SUFFIX)


def run_folder(run: Path, runs: Path | None = None) -> Path:
    """Folder of a run, whether it holds records or not; see :func:`find_run`."""
    runs = geofm_runs() if runs is None else runs
    if is_archive(run):
        return unpack(run)
    for folder in (run, runs / run):
        if folder.is_dir():
            return folder
        if folder.exists():
            raise DataError(f"{folder}: is a file; name the folder of a run, or an archive (*{SUFFIX})")
    raise DataError(f"{run}: no such run; {_known(run, runs)}")


def _known(run: Path, runs: Path) -> str:
    """The runs that a wrong name may mean, and else the newest of all."""
    found = [folder for folder in runs.glob("*") if folder.is_dir() and record_files(folder)]
    names = [folder.name for folder in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True)]
    near = difflib.get_close_matches(run.name, names, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    listed = f"; newest runs in {runs}: {', '.join(names[:LISTED])}" if names else ""
    return f"give its folder, its name in {runs}, or an archive (*{SUFFIX}){listed}"
