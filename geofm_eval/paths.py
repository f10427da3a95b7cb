"""Folders of data, weights and caches: the home (read-only for the suite) and the cache."""

import functools
import logging
import os
import re
import sys
import tempfile
from contextlib import suppress
from pathlib import Path, PurePosixPath

from geofm_eval.errors import ContractError, Unavailable

log = logging.getLogger(__name__)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def geofm_home() -> Path | None:
    """Return the folder ``GEOFM_HOME`` with ``weights/`` and ``data/``, or None if it is not set.

    Raises:
        ContractError: it begins with ``~`` and there is no such user.
    """
    return _from_environment("GEOFM_HOME")


def geofm_cache() -> Path:
    """Return the folder for feature blocks, sweeps and stand-ins: ``GEOFM_CACHE`` or the user's cache folder.

    If the user has no writable home, as in many containers, it is a folder of the user in the temporary folder; a
    warning says so once.

    Raises:
        ContractError: ``GEOFM_CACHE`` begins with ``~`` and there is no such user; or it is not set and there is no
            writable folder.
    """
    named = _from_environment("GEOFM_CACHE")
    if named is not None:
        return named
    usual = _users_cache()
    return usual if usual is not None and _can_be_made(usual) else _temporary_cache()


def geofm_runs(default: Path = Path("reports/runs")) -> Path:
    """Return the folder of all runs: ``GEOFM_RUNS``, or a default.

    Raises:
        ContractError: it begins with ``~`` and there is no such user.
    """
    return _from_environment("GEOFM_RUNS") or default


def home_line(unset: str) -> str:
    """Describe the home in one line: its path, and whether it exists.

    Args:
        unset: text if ``GEOFM_HOME`` is not set.
    """
    home = geofm_home()
    if home is None:
        return unset
    return f"{home}" if home.is_dir() else f"{home} (not a folder; set GEOFM_HOME to one with weights/ and data/)"


def variable_of(path: Path) -> str | None:
    """Return the environment variable whose folder contains a path, or None."""
    places = {"GEOFM_CACHE": geofm_cache, "GEOFM_HOME": geofm_home, "GEOFM_RUNS": geofm_runs}
    for variable, place in places.items():
        with suppress(ContractError):
            folder = place()
            if folder is not None and path.absolute().is_relative_to(folder.absolute()):
                return variable
    return None


def _from_environment(variable: str) -> Path | None:
    value = os.environ.get(variable)
    if not value:
        return None
    try:
        value.encode("utf-8")  # raster libraries accept no other names
        return Path(value).expanduser().resolve()
    except (RuntimeError, OSError, UnicodeError) as error:
        found = f"{variable}={ascii(value)[:100]}: {str(error)[:100]}"
        raise ContractError(f"{found}; set {variable} to the full path of a folder") from None


def _users_cache() -> Path | None:
    """The platform's cache folder of this user; None if the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if base:
            return Path(base).expanduser() / "geofm_eval"
        caches = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
        return Path.home().joinpath(*caches) / "geofm_eval"
    except RuntimeError:  # no HOME, and the user is unknown to the system
        return None


def _can_be_made(folder: Path) -> bool:
    """Whether a folder exists, even if read-only, or can be created by this user."""
    for existing in (folder, *folder.parents):
        try:
            existing.stat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return False
        return existing == folder or os.access(existing, os.W_OK | os.X_OK)
    return False


@functools.cache
def _temporary_cache() -> Path:
    why = "GEOFM_CACHE is not set and this user has no writable home"
    cure = "set GEOFM_CACHE to a folder that you can write to"
    try:
        folder = Path(tempfile.gettempdir()) / f"geofm_eval-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise ContractError(f"{why}, and {folder} belongs to another user; {cure}")
    except OSError as error:
        raise ContractError(f"{why}, and there is no temporary folder ({error}); {cure}") from None
    log.warning("%s; using %s, which may not persist. To keep results, %s", why, folder, cure)
    return folder


def in_package(relative: str) -> Path:
    """Return the path of a file of this package, given its relative path."""
    return Path(__file__).parent / relative


def escape(name: str) -> str | None:
    """Return why a path from a file or a catalog is not a relative path within its folder; None if it is.

    Addresses are rejected, because libraries open ``/vsicurl/..``, ``s3:..`` and ``zip+http:..``. Links are not
    resolved.
    """
    if name.startswith("/vsi"):
        return "is a virtual GDAL path"
    if _SCHEME.match(name):
        return "has a URL scheme"
    if PurePosixPath(name).is_absolute():
        return "is an absolute path"
    if PurePosixPath(os.path.normpath(name.replace("\\", "/"))).parts[:1] == ("..",):
        return "leaves its folder by '..'"
    if "\0" in name:
        return "has a NUL character"
    longest = max(len(part.encode(errors="surrogatepass")) for part in name.replace("\\", "/").split("/"))
    return "has a name of more than 255 bytes, which no file system takes" if longest > 255 else None


def in_home(relative: str, kind: str, how_to_get: str) -> Path:
    """Resolve a path below the home.

    Args:
        relative: path below ``GEOFM_HOME``, for example ``data/eurosat``; absolute paths are used unchanged.
        kind: ``data`` or ``weights``, for the message.
        how_to_get: one sentence on how to obtain it.

    Raises:
        Unavailable: ``GEOFM_HOME`` is not set, or the path does not exist.
    """
    home = geofm_home()
    if home is None and not Path(relative).is_absolute():
        raise Unavailable(kind, f"{relative} (GEOFM_HOME is not set)", how_to_get)
    path = Path(relative) if home is None else home / relative
    if not path.exists():
        raise Unavailable(kind, f"{path} does not exist", how_to_get)
    return path
