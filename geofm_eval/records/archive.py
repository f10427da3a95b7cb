"""Archives: a run in one file, small enough for a repository; reading unpacks it to a folder in the cache.

The first member lists the others with their sha256. An archive is verified completely before any of it is used, and the
unpacked folder is verified whenever it is used again.
"""

import hashlib
import io
import json
import lzma
import tarfile
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any

from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.records.files import OUTPUTS, content_of, read_records, shown_problems
from geofm_eval.records.keys import record_path
from geofm_eval.records.manifest import NAME, read_manifest
from geofm_eval.records.outcomes import resamples_alone
from geofm_eval.records.verified import state_of
from geofm_eval.seals import is_whole, parse_json, sealed
from geofm_eval.sharing import building, locked, publish
from geofm_eval.store import file_sha256, storing, write_bytes, write_json

SUFFIX = ".tar.xz"

MEMBERS = "members.json"
"""Name of the member that lists all others; archives of older versions lack it."""

MOST_BYTES = 4 * 2**30
"""Limit of the unpacked size; a small file may claim any size."""

MOST_MEMBERS = 200_000
LONGEST_NAME = 200


def pack(run_dir: Path, archive: Path, with_outcomes: Collection[str]) -> int:
    """Pack the records of a run into one file; the same records give the same bytes.

    Args:
        run_dir: folder of the run.
        archive: file to write, ``<run>.tar.xz``; never written in part.
        with_outcomes: ids of the cases whose per-sample outcomes are packed. They hardly compress; paired differences
            of other cases have no interval. Validation resamples are small and packed for all cases.

    Returns:
        Number of records.

    Raises:
        DataError: the folder does not exist, or a record cannot be read; a reference must be complete.
    """
    records, problems = read_records(run_dir)
    if problems or not records:
        found = shown_problems(problems) if problems else f"{run_dir}: found no records, measure its cases first"
        raise DataError(f"{found}; a reference needs a complete run")
    members: dict[str, bytes] = {}
    plan = read_manifest(run_dir)
    if plan is not None:
        members[NAME] = json.dumps(sealed(plan.model_dump(mode="json")), indent=1).encode()
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
        members[name] = json.dumps(content_of(record), indent=1, allow_nan=False).encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(members.items())}
    listed = json.dumps(sealed({"members": hashes}), indent=1).encode()
    write_bytes(archive, _compressed({MEMBERS: listed, **members}))
    return len(records)


def unpack(archive: Path) -> Path:
    """Unpack an archive to the cache, once for its content, and return the folder of the run.

    Raises:
        DataError: the file is missing or damaged, or is not an archive of a run.
        StoreError: the disk is full or the cache cannot be written.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: there is no such archive: restore it with 'git checkout', or pack the run again")
    name = archive.name.removesuffix(SUFFIX)
    final = geofm_cache() / "references" / file_sha256(archive)[:16] / name
    if not _is_intact(final):
        with storing(final), locked(final):
            if not _is_intact(final):
                _extract(archive, final)
    return final


def _compressed(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=6) as tar:
        for name, content in sorted(members.items(), key=lambda pair: (pair[0] != MEMBERS, pair[0])):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _extract(archive: Path, final: Path) -> None:
    """Unpack to a temporary folder, which replaces an existing one after all of it was verified."""
    try:
        with building(final) as temporary:
            with tempfile.TemporaryFile(dir=final.parent) as file:
                _decompress(archive, file)
                hashes = _unpack_members(file, temporary)
            files = {name: [sha, *state_of((temporary / name).stat())] for name, sha in hashes}
            write_json(_list_of(final), sealed({"files": files}))
            publish(temporary, final, lambda folder: None if _is_intact(folder) else "it changed since it was unpacked")
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise DataError(
            f"{archive}: not a complete archive of a run ({str(error)[:160]}): restore it with 'git checkout', or pack "
            "the run again"
        ) from None


def _decompress(archive: Path, into: IO[bytes]) -> None:
    """Decompress the whole file, so that the checksum at its end is verified first."""
    decompressor, written = lzma.LZMADecompressor(format=lzma.FORMAT_XZ), 0
    with archive.open("rb") as file:
        while not decompressor.eof:
            raw = file.read(2**20) if decompressor.needs_input else b""
            if not raw and decompressor.needs_input:
                raise EOFError("it was cut short")
            part = decompressor.decompress(raw, max_length=2**24)
            written += len(part)
            if written > MOST_BYTES:
                raise ValueError(f"it unpacks to more than {MOST_BYTES} bytes")
            into.write(part)
        if decompressor.unused_data or file.read(1):
            raise ValueError("there are bytes after its end")
    into.seek(0)


def _unpack_members(file: IO[bytes], folder: Path) -> list[tuple[str, str]]:
    """Write every member to a folder; return names and hashes after comparing them with the list in the archive.

    Raises:
        ValueError: a member is a link, leads out of the folder, is not part of a run, or differs from the list.
    """
    found: dict[str, str] = {}
    listed: Mapping[str, Any] | None = None
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info, content in _members(tar):
            if info.name == MEMBERS:
                listed = _listed(content)
                continue
            if info.name in found:
                raise ValueError(f"member {info.name} is duplicated")
            path = folder / info.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            found[info.name] = hashlib.sha256(content).hexdigest()
    if listed is not None and listed != found:
        differing = sorted(name for name in {*listed, *found} if listed.get(name) != found.get(name))
        raise ValueError(f"members differ from its list: {differing[0]} ({len(differing)} in all)")
    if not found:
        raise ValueError("it has no members")
    return list(found.items())


def _members(tar: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, bytes]]:
    for count, info in enumerate(tar):
        if count >= MOST_MEMBERS:
            raise ValueError(f"it has more than {MOST_MEMBERS} members")
        if info.isdir():
            continue
        name = info.name
        parts = PurePosixPath(name).parts
        plain = name.isprintable() and str(PurePosixPath(name)) == name and not name.startswith("/")
        if len(name) > LONGEST_NAME or len(parts) > 2 or not plain or {"..", "."} & set(parts):
            raise ValueError(f"member {name[:60]!r} is not <kind>/<case>, the path of a record")
        content = tar.extractfile(info) if info.isreg() else None
        if content is None:
            raise ValueError(f"member {name[:60]!r} is a link or a device")
        data = content.read()
        if len(data) != info.size:
            raise EOFError(f"member {name[:60]!r} was cut short")
        yield info, data


def _listed(content: bytes) -> Mapping[str, Any]:
    listed = parse_json(content)
    if not isinstance(listed, dict) or not is_whole(listed) or not isinstance(listed.get("members"), dict):
        raise ValueError(f"{MEMBERS} does not match its checksum")
    return dict(listed["members"])


def _list_of(final: Path) -> Path:
    return final.with_name(f"{final.name}.files.json")


def _is_intact(final: Path) -> bool:
    """Whether a folder has what was unpacked and no other records; files with unchanged state are not read."""
    try:
        content = parse_json(_list_of(final).read_bytes())
        if not is_whole(content):
            return False
        for name, (sha, *state) in content["files"].items():
            path = final / name
            if state_of(path.stat()) != state and file_sha256(path) != sha:
                return False
        held = [path for pattern in ("*.json*", "*/*.json", "*/*.npz") for path in final.glob(pattern)]
        records = {str(path.relative_to(final)) for path in held if path.parent.name not in OUTPUTS}
        return records <= set(content["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
