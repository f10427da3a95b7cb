"""Download the published files of a data set into ``GEOFM_HOME``, check them, and unpack archives."""

import hashlib
import logging
import os
import zipfile
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.tasks import PublishedFile
from geofm_eval.errors import DataError
from geofm_eval.fetch.data import describe_task
from geofm_eval.fetch.names import home_path, megabytes
from geofm_eval.fetch.transfer import check_space, download, remote_bytes
from geofm_eval.paths import escape
from geofm_eval.progress import StartProgress, TransferLog
from geofm_eval.sharing import building, locked
from geofm_eval.store import storing

log = logging.getLogger(__name__)

_COPY = 1 << 20


def fetch_task(task: TaskSpec, start: StartProgress = TransferLog) -> list[str]:
    """Download the files of a data set that the home lacks, check and unpack them.

    Files that exist are not fetched again. An interrupted download is resumed; an interrupted unpacking starts again
    from the archive, which is removed once it is unpacked.

    Args:
        task: entry of the catalog.
        start: starts a progress display, given a name and a number of bytes.

    Returns:
        Sentences on what was done; instructions if no public address with a checksum is known.

    Raises:
        Unavailable: ``GEOFM_HOME`` is not set, or an address cannot be reached.
        DataError: a file is not the published one, or an archive is damaged.
        StoreError: the disk is full or the home cannot be written.
    """
    if not task.files:
        return describe_task(task)
    root = home_path(task.root, "data")
    lines = [f"  {_fetched(file, root, start)}" for file in task.files]
    return [f"{task.slug}: {root}", *lines, f"  licence {task.licence or 'not stated'}, {task.source}"]


def plan_task(task: TaskSpec) -> list[str]:
    """Return what :func:`fetch_task` would download, with sizes; nothing is downloaded and no home is needed."""
    lines = [f"  would fetch {_size(file)} from {file.url}" for file in task.files]
    return [*describe_task(task), *lines]


def _size(file: PublishedFile) -> str:
    size = remote_bytes(file.url)
    return f"{file.name} (size unknown)" if size is None else f"{file.name} ({megabytes(size)})"


def _fetched(file: PublishedFile, root: Path, start: StartProgress) -> str:
    path, final = root / file.name, root / (file.unpacked or file.name)
    with storing(path), locked(path):
        if final.exists():
            if not file.unpacked:
                _check(file, path)
            return f"{file.unpacked or file.name} exists"
        if not path.exists():
            log.info("downloading %s to %s", file.url, path)
            download(file.url, path, start, lambda part: _check(file, part), "data")
        if not file.unpacked:
            return f"{file.name} fetched, md5 as published"
        _check(file, path)
        count = _unpack(path, final)
        path.unlink()
    return f"{file.name} fetched, md5 as published, {count:,} files unpacked"


def _check(file: PublishedFile, path: Path) -> None:
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "md5").hexdigest()
    if found != file.md5:
        raise DataError(
            f"{path}: md5 is {found}, expected {file.md5}. The file is damaged or of another version; move it away if "
            "it exists and fetch again, or correct the entry if the publisher has replaced it"
        )


def _unpack(archive: Path, final: Path) -> int:
    """Unpack a zip archive next to itself; return the number of files. Top folders appear when they are complete."""
    with zipfile.ZipFile(archive) as content:
        members = [member for member in content.infolist() if not member.is_dir()]
        for member in members:
            if (reason := escape(member.filename)) is not None:
                raise DataError(f"{archive}: member '{member.filename[:80]}' {reason}; do not use this archive")
        check_space(archive, sum(member.file_size for member in members))
        with building(archive.with_suffix("")) as folder:
            for member in members:
                _extract(content, member, folder / member.filename)
            _check_holds(archive, final, folder)
            for top in sorted(folder.iterdir()):
                _move(top, archive.parent / top.name)
    return len(members)


def _extract(content: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with content.open(member) as source, path.open("wb") as target:
        while chunk := source.read(_COPY):
            target.write(chunk)


def _check_holds(archive: Path, final: Path, folder: Path) -> None:
    expected = final.relative_to(archive.parent)
    if not (folder / expected).exists():
        found = ", ".join(sorted(path.name for path in folder.iterdir())[:5])
        raise DataError(
            f"{archive}: the archive holds {found}, expected {expected}. Correct the entry's files.unpacked"
        )


def _move(source: Path, target: Path) -> None:
    if target.exists():
        raise DataError(f"{target} exists already, perhaps from an incomplete copy. Move it away and fetch again")
    os.rename(source, target)
