"""A run in one file: the committed reference, small enough for a repository, and a folder again when it is read.

The first member lists the others with their sha256. An archive is verified whole before any of it is used, and the
folder that it was unpacked to is compared with what was unpacked whenever it is used again.
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
from geofm_eval.records.files import OUTPUTS, content_of, read_records
from geofm_eval.records.manifest import NAME, read_manifest
from geofm_eval.records.outcomes import resamples_alone
from geofm_eval.records.paths import record_path
from geofm_eval.seals import is_whole, parse_json, sealed
from geofm_eval.sharing import building, locked, publish
from geofm_eval.store import file_sha256, storing, write_bytes, write_json

SUFFIX = ".tar.xz"

MEMBERS = "members.json"
"""Name of the member that lists all others; archives of older versions have none."""

MOST_BYTES = 4 * 2**30
"""Bytes that an archive may unpack to: a small file may claim any size."""

MOST_MEMBERS = 200_000
LONGEST_NAME = 200


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
    records, problems = read_records(run_dir)
    if problems or not records:
        raise DataError(f"{run_dir}: {'; '.join(problems) or 'holds no records'}: a reference needs all of a run")
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
    """Unpack an archive below the cache, once for its content, and return the folder of the run.

    Raises:
        DataError: the file is absent, damaged, or holds what no archive of a run holds.
        StoreError: the disk is full or the cache cannot be written.
    """
    if not archive.is_file():
        raise DataError(f"{archive}: no such archive of a run: restore it with 'git checkout', or make it anew")
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
    """Unpack into a folder of its own, which takes the place of what is there once all of it is right."""
    try:
        with building(final) as temporary:
            with tempfile.TemporaryFile(dir=final.parent) as file:
                _decompress(archive, file)
                hashes = _unpack_members(file, temporary)
            files = {name: [sha, *_state(temporary / name)] for name, sha in hashes}
            write_json(_list_of(final), sealed({"files": files}))
            publish(temporary, final, lambda folder: None if _is_intact(folder) else "it is not as it was unpacked")
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError) as error:
        raise DataError(
            f"{archive}: not a whole archive of a run ({str(error)[:160]}): restore it with 'git checkout', or pack "
            "the run again"
        ) from None


def _decompress(archive: Path, into: IO[bytes]) -> None:
    """Decompress the whole file, so that its own checksum at the end is compared before anything is believed."""
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
            raise ValueError("bytes follow its end")
    into.seek(0)


def _unpack_members(file: IO[bytes], folder: Path) -> list[tuple[str, str]]:
    """Write every member into a folder; return names and hashes, compared with the list that comes first.

    Raises:
        ValueError: a link, a path out of the folder, a member that no run holds or that differs from the list.
    """
    found: dict[str, str] = {}
    listed: Mapping[str, Any] | None = None
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for info, content in _members(tar):
            if info.name == MEMBERS:
                listed = _listed(content)
                continue
            if info.name in found:
                raise ValueError(f"member {info.name} is there twice")
            path = folder / info.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            found[info.name] = hashlib.sha256(content).hexdigest()
    if listed is not None and listed != found:
        differing = sorted(name for name in {*listed, *found} if listed.get(name) != found.get(name))
        raise ValueError(f"{len(differing)} members differ from its list, {differing[0]} the first of them")
    if not found:
        raise ValueError("it has no member")
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
            raise ValueError(f"member {name[:60]!r} is no path of a record, <kind>/<case>")
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
    """Whether a folder holds what was unpacked there and no other record; files that look untouched are not read."""
    try:
        content = parse_json(_list_of(final).read_bytes())
        if not is_whole(content):
            return False
        for name, (sha, *state) in content["files"].items():
            path = final / name
            if _state(path) != state and file_sha256(path) != sha:
                return False
        held = [path for pattern in ("*.json*", "*/*.json", "*/*.npz") for path in final.glob(pattern)]
        records = {str(path.relative_to(final)) for path in held if path.parent.name not in OUTPUTS}
        return records <= set(content["files"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
