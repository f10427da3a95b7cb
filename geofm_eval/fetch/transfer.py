"""Download files: resume interrupted downloads, and create a file under its name only when it is complete."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geofm_eval.errors import Unavailable
from geofm_eval.progress import StartProgress, TransferLog
from geofm_eval.sharing import TEMPORARY, is_abandoned, temporary_beside
from geofm_eval.store import storing, write_json

if TYPE_CHECKING:
    from requests import Response

log = logging.getLogger(__name__)

CHUNK = 1 << 16
"""Bytes written at once, and the most that a broken connection loses."""
TIMEOUT = (10.0, 60.0)
"""Timeouts in seconds for the connection and for the next bytes."""


@dataclass(frozen=True)
class Remote:
    """What a server reported about a file at the start of its download.

    Args:
        address: requested address.
        tag: changes whenever the content changes; None if the server provides none.
        bytes: size of the whole file, if the server reports it.
    """

    address: str
    tag: str | None
    bytes: int | None


def download(
    address: str,
    path: Path,
    start: StartProgress = TransferLog,
    check: Callable[[Path], object] | None = None,
    kind: Literal["weights", "data"] = "weights",
) -> None:
    """Download a file; it appears under its name only when it is complete and ``check`` has accepted it.

    If the transfer breaks, the received bytes stay in ``<name>.part``. The next call resumes from there, unless the
    published file has changed.

    Args:
        address: http or https address.
        path: destination of the file.
        start: starts a progress display, given a name and the number of bytes to come (0 if unknown).
        check: inspects the complete ``.part`` file and raises an exception to reject it; the file is then removed.
        kind: what the file holds, for messages.

    Raises:
        Unavailable: the address cannot be reached, or the connection broke.
        StoreError: the disk is full or the folder cannot be written.
    """
    with storing(path), _own_part(path) as (part, note):
        with _explained(address, kind):
            _transfer(address, part, note, start)
        if check is not None:
            try:
                check(part)
            except Exception:
                # Complete but wrong: resuming from it would give the same file again.
                part.unlink()
                note.unlink(missing_ok=True)
                raise
        os.replace(part, path)
        note.unlink(missing_ok=True)


@contextmanager
def _own_part(path: Path) -> Iterator[tuple[Path, Path]]:
    """Partial file and its note, under names that only this process uses.

    Two hosts may download the same file to a shared disk, and their bytes would mix in one ``.part``. The process that
    renames the file resumes it, the other one starts from the beginning. An interrupted transfer restores the shared
    name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    shared = path.with_name(f"{path.name}.part")
    own = temporary_beside(path)
    own = own.with_name(f"{own.name}.part")
    killed = [one for one in path.parent.glob(f".{path.name}{TEMPORARY}*.part") if is_abandoned(one)]
    for earlier in (shared, *killed):
        if not own.exists():
            _move(_note(earlier), _note(own))
            _move(earlier, own)
    try:
        yield own, _note(own)
    finally:
        _move(own, shared)
        _move(_note(own), _note(shared))


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _move(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        os.replace(source, target)


def remote_bytes(address: str) -> int | None:
    """Return the size of a published file; None if the server cannot be reached or does not report it."""
    import requests

    try:
        with requests.head(address, headers=_headers(0), timeout=TIMEOUT, allow_redirects=True) as response:
            return _remote(address, response).bytes if response.ok else None
    except requests.RequestException:
        return None


def _transfer(address: str, part: Path, note: Path, start: StartProgress) -> None:
    known = _read_note(note)
    have = part.stat().st_size if part.exists() and known is not None and known.address == address else 0
    if known is not None and 0 < have == known.bytes:
        return
    # Without a tag the remaining bytes may belong to another version of the file.
    response, have = _open(address, known, have if known is not None and known.tag else 0)
    with response:
        remote = _remote(address, response)
        left = 0 if remote.bytes is None else remote.bytes - have
        check_space(part, left)
        if not have:
            # Before the note is written: it must never describe bytes of an earlier version.
            part.unlink(missing_ok=True)
        write_json(note, asdict(remote))
        progress = start(part.name.split(TEMPORARY)[0].removeprefix("."), left)
        try:
            with part.open("ab" if have else "wb") as file:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    progress.update(len(chunk))
        finally:
            progress.done()
    arrived = part.stat().st_size
    if remote.bytes is not None and arrived > remote.bytes:
        part.unlink()  # resuming from it would never give the published file
        raise ConnectionError(f"the server sent {arrived:,} bytes but had announced {remote.bytes:,}")
    if remote.bytes not in (None, arrived):
        raise ConnectionError(f"the connection ended after {arrived:,} of {remote.bytes:,} bytes")


def _open(address: str, known: Remote | None, have: int) -> tuple["Response", int]:
    """Request a file from position ``have``; return the response and the position at which it actually starts."""
    import requests

    response = requests.get(address, headers=_headers(have), timeout=TIMEOUT, stream=True)
    if have:
        starts = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 206 and starts and _remote(address, response) == known:
            return response, have
        log.info("%s: the file has changed or the server cannot resume; downloading it from the beginning", address)
        if response.status_code in (206, 416):
            response.close()
            response = requests.get(address, headers=_headers(0), timeout=TIMEOUT, stream=True)
    if not response.ok:
        response.close()
        raise requests.HTTPError(f"the server responded {response.status_code} {response.reason}", response=response)
    return response, 0


def _headers(position: int) -> dict[str, str]:
    # Size and byte positions of a compressed transfer would differ from those of the file.
    headers = {"Accept-Encoding": "identity"}
    return {**headers, "Range": f"bytes={position}-"} if position else headers


def _remote(address: str, response: "Response") -> Remote:
    """Read tag and size from a response; hubs state them before they redirect to the storage."""
    fields: dict[str, str] = {}
    for answer in (*response.history, response):
        fields |= {name.lower(): value for name, value in answer.headers.items()}
    tag = fields.get("x-linked-etag") or response.headers.get("ETag") or response.headers.get("Last-Modified")
    size = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    return Remote(address, tag, int(size) if size.isdigit() else None)


def _read_note(note: Path) -> Remote | None:
    try:
        return Remote(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def check_space(part: Path, left: int) -> None:
    """Raise the operating system's error of a full disk if ``left`` bytes do not fit next to a file."""
    free = shutil.disk_usage(part.parent).free
    if left > free:
        raise OSError(errno.ENOSPC, f"{left / 1e6:,.1f} MB are needed but {free / 1e6:,.1f} MB are free", str(part))


@contextmanager
def _explained(address: str, kind: Literal["weights", "data"]) -> Iterator[None]:
    """Turn network errors into Unavailable; errors of the disk pass through."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise Unavailable(kind, f"{address} ({error})", _http_cure(status)) from None
    except requests.Timeout:
        raise Unavailable(kind, f"{address} (no answer within {TIMEOUT[1]:g} s)", _AGAIN) from None
    except (requests.RequestException, ConnectionError) as error:
        raise Unavailable(kind, f"{address} ({_reason(error)})", _AGAIN) from None


_AGAIN = "Check the network and run the same command again; the received part is kept."


def _reason(error: Exception) -> str:
    """The innermost cause of nested exceptions, without the names of the objects that raised it."""
    cause = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return str(cause).rpartition("): ")[2]


def _http_cure(status: int) -> str:
    if status in (401, 403):
        return "The publisher requires an account or an accepted licence: download the file by hand."
    if status in (404, 410):
        return "The file has moved: look for its new address at the publisher's."
    return "Try again later."
