"""The one downloader: it goes on where an earlier attempt stopped, and a file appears only when it is whole."""

import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from geofm_eval.errors import Unavailable
from geofm_eval.fetch.progress import TransferLog
from geofm_eval.progress import StartProgress
from geofm_eval.sharing import TEMPORARY, is_abandoned, temporary_beside
from geofm_eval.store import storing, write_json

if TYPE_CHECKING:
    from requests import Response

log = logging.getLogger(__name__)

CHUNK = 1 << 16
"""Bytes that are written at once, and the most that a broken connection loses."""
TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""


@dataclass(frozen=True)
class Remote:
    """What a server said about a file when its download began.

    Args:
        address: where it was asked for.
        tag: changes whenever the content does; None where the server gives no such thing.
        bytes: size of the whole file, where the server says it.
    """

    address: str
    tag: str | None
    bytes: int | None


def download(
    address: str, path: Path, start: StartProgress = TransferLog, check: Callable[[Path], object] | None = None
) -> None:
    """Download a file; it appears under its name only when it is whole and ``check`` has let it pass.

    What has arrived stays in ``<name>.part`` when the transfer breaks, and the next call goes on from there, unless the
    published file has changed since.

    Args:
        address: http or https address.
        path: where the file shall be.
        start: starts following the transfer, given a name and the number of bytes to come (0 where that is unknown).
        check: looks at the finished ``.part`` file and raises where it must not be used; it is removed then.

    Raises:
        Unavailable: the address cannot be reached, or the connection broke.
        StoreError: the disk is full or the folder cannot be written.
    """
    with storing(path), _own_part(path) as (part, note):
        with _explained(address):
            _transfer(address, part, note, start)
        if check is not None:
            try:
                check(part)
            except Exception:
                # Whole but wrong: to go on from it would give the same again.
                part.unlink()
                note.unlink(missing_ok=True)
                raise
        os.replace(part, path)
        note.unlink(missing_ok=True)


@contextmanager
def _own_part(path: Path) -> Iterator[tuple[Path, Path]]:
    """What has arrived of a file and the note about it, under names of this process alone.

    Two hosts may download the same file to a shared disk: in one ``.part`` their bytes would mix. Whoever renames it
    goes on from it, the other starts anew. When the transfer breaks it gets the shared name back.
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
    """Size of a published file; None where the server cannot be reached or does not say."""
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
    # Without a tag nothing shows that the rest belongs to the same content.
    response, have = _open(address, known, have if known is not None and known.tag else 0)
    with response:
        remote = _remote(address, response)
        left = 0 if remote.bytes is None else remote.bytes - have
        _check_space(part, left)
        if not have:
            # Before the note: it must never describe what an earlier content left behind.
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
        part.unlink()  # to go on from it would never give the published file
        raise ConnectionError(f"the server sent {arrived:,} bytes and had announced {remote.bytes:,}")
    if remote.bytes not in (None, arrived):
        raise ConnectionError(f"the connection ended after {arrived:,} of {remote.bytes:,} bytes")


def _open(address: str, known: Remote | None, have: int) -> tuple["Response", int]:
    """Ask for a file from position ``have`` on; gives the response and the position at which it really starts."""
    import requests

    response = requests.get(address, headers=_headers(have), timeout=TIMEOUT, stream=True)
    if have:
        starts = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if response.status_code == 206 and starts and _remote(address, response) == known:
            return response, have
        log.info("%s: the published file has changed, or the server sends whole files only: starting anew", address)
        if response.status_code in (206, 416):
            response.close()
            response = requests.get(address, headers=_headers(0), timeout=TIMEOUT, stream=True)
    if not response.ok:
        response.close()
        raise requests.HTTPError(f"the server says {response.status_code} {response.reason}", response=response)
    return response, 0


def _headers(position: int) -> dict[str, str]:
    # A compressed transfer would have another size, and its bytes other positions, than the file.
    headers = {"Accept-Encoding": "identity"}
    return {**headers, "Range": f"bytes={position}-"} if position else headers


def _remote(address: str, response: "Response") -> Remote:
    """Read tag and whole size off a response; a hub says them before it forwards to the storage behind it."""
    fields: dict[str, str] = {}
    for answer in (*response.history, response):
        fields |= {name.lower(): value for name, value in answer.headers.items()}
    tag = fields.get("x-linked-etag") or response.headers.get("ETag") or response.headers.get("Last-Modified")
    size = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        size = response.headers.get("Content-Range", "").rpartition("/")[2]
    return Remote(address, tag, int(size) if size.isdigit() else None)


def _read_note(note: Path) -> Remote | None:
    """What the server said when the partial file was begun; None where that is not known."""
    try:
        return Remote(**json.loads(note.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _check_space(part: Path, left: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if left > free:
        raise OSError(errno.ENOSPC, f"{left / 1e6:,.1f} MB are to come and {free / 1e6:,.1f} MB are free", str(part))


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what goes wrong on the way into sentences; what the disk refuses passes."""
    import requests

    try:
        yield
    except requests.HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        raise Unavailable("weights", f"{address} ({error})", _http_cure(status)) from None
    except requests.Timeout:
        raise Unavailable("weights", f"{address} (no answer within {TIMEOUT[1]:g} s)", _AGAIN) from None
    except (requests.RequestException, ConnectionError) as error:
        raise Unavailable("weights", f"{address} ({_reason(error)})", _AGAIN) from None


_AGAIN = "Check the network and run the same command again: what has arrived is kept."


def _reason(error: Exception) -> str:
    """The last of the causes that are wrapped in each other, without the names of the objects that met it."""
    cause = getattr(error.args[0], "reason", error.args[0]) if error.args else error
    return str(cause).rpartition("): ")[2]


def _http_cure(status: int) -> str:
    if status in (401, 403):
        return "Its publisher asks for an account or an accepted licence: get it by hand."
    if status in (404, 410):
        return "It has moved: look at the model's source for the new address."
    return "Try again later."
