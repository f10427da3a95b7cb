"""A run in one file: the committed reference, small enough for a repository, and a folder again when it is read."""

import io
import lzma
import tarfile
from collections.abc import Collection
from pathlib import Path

from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.records.files import read_run, record_path, resamples_alone
from geofm_eval.records.manifest import NAME, read_manifest
from geofm_eval.sharing import building, locked, publish
from geofm_eval.store import file_sha256, storing, write_bytes

SUFFIX = ".tar.xz"


def pack(run_dir: Path, archive: Path, with_outcomes: Collection[str]) -> int:
    """Pack the records of a run into one file; the same records give the same bytes.

    Args:
        run_dir: folder of the run.
        archive: file to write, ``<run>.tar.xz``; it is the old or the new one, never a part.
        with_outcomes: ids of the cases whose per-item outcomes are packed too. They hardly compress; the others are
            kept as records without outcomes, whose paired differences then have no interval. Validation resamples,
            which say how sure the choice of a tap is, are small and packed for all.

    Returns:
        Number of records.

    Raises:
        DataError: the folder does not exist, or a record cannot be read: a reference is whole.
    """
    records, problems = read_run(run_dir)
    if problems or not records:
        raise DataError(f"{run_dir}: {'; '.join(problems) or 'holds no records'}: a reference needs all of a run")
    members: dict[str, bytes] = {}
    plan = read_manifest(run_dir)
    if plan is not None:
        members[NAME] = plan.model_dump_json(indent=1).encode()
    for record in records:
        path = record_path(run_dir, record.case.kind, record.case.id)
        name = str(path.relative_to(run_dir))
        arrays = str(Path(name).with_suffix(".npz"))
        if record.outcomes_sha256 is not None and record.case.id in with_outcomes:
            members[arrays] = path.with_suffix(".npz").read_bytes()
        else:
            if record.resamples_sha256 is not None:
                members[arrays] = resamples_alone(run_dir, record)
            record = record.model_copy(update={"outcomes_sha256": None})
        members[name] = record.model_dump_json(indent=1).encode()
    write_bytes(archive, _compressed(members))
    return len(records)


def unpack(archive: Path) -> Path:
    """Unpack an archive below the cache, once for its content, and return the folder of the run.

    Raises:
        DataError: the file is absent or damaged.
        StoreError: the disk is full or the cache cannot be written.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: no such archive of a run: restore it with 'git checkout', or make it anew")
    name = archive.name.removesuffix(SUFFIX)
    final = geofm_cache() / "references" / file_sha256(archive)[:16] / name
    if not final.is_dir():
        with storing(final), locked(final):
            if not final.is_dir():
                _extract(archive, final)
    return final


def _compressed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=6) as tar:
        for name, content in sorted(members.items()):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _extract(archive: Path, final: Path) -> None:
    try:
        with building(final) as temporary, tarfile.open(archive, "r:xz") as tar:
            tar.extractall(temporary, filter="data")
            publish(temporary, final, lambda folder: None if folder.is_dir() else "absent")
    except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
        raise DataError(
            f"{archive}: not a whole archive ({error}): restore it with 'git checkout -- {archive}'"
        ) from None
