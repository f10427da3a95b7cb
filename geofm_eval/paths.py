"""Where data, weights and caches live: the home (read-only for the suite) and the cache."""

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
    """Folder with ``weights/`` and ``data/`` named by ``GEOFM_HOME``, or None when it is not set.

    Raises:
        ContractError: it begins with ``~`` and there is no such user.
    """
    return _from_environment("GEOFM_HOME")


def geofm_cache() -> Path:
    """Folder for feature blocks, sweeps and stand-ins: ``GEOFM_CACHE`` or the user's cache folder.

    Where a user has no home, or one that cannot be written, as in many containers, it is the user's own folder below
    the temporary folder; a warning says so once.

    Raises:
        ContractError: ``GEOFM_CACHE`` begins with ``~`` and there is no such user; or it is not set and there is no
            folder to write to.
    """
    named = _from_environment("GEOFM_CACHE")
    if named is not None:
        return named
    usual = _users_cache()
    return usual if usual is not None and _can_be_made(usual) else _temporary_cache()


def geofm_runs(default: Path = Path("reports/runs")) -> Path:
    """Folder of all runs: ``GEOFM_RUNS``, or a default.

    Raises:
        ContractError: it begins with ``~`` and there is no such user.
    """
    return _from_environment("GEOFM_RUNS") or default


def home_line(unset: str) -> str:
    """The home in words for people: where it is, and whether it is there.

    Args:
        unset: what to say where ``GEOFM_HOME`` is not set.
    """
    home = geofm_home()
    if home is None:
        return unset
    return f"{home}" if home.is_dir() else f"{home}, which is no folder: set GEOFM_HOME to one with weights/ and data/"


def variable_of(path: Path) -> str | None:
    """The environment variable that moves a path elsewhere; None where it is below none of their folders."""
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
        value.encode("utf-8")  # libraries for rasters take no other names
        return Path(value).expanduser().resolve()
    except (RuntimeError, OSError, UnicodeError) as error:
        found = f"{variable}={ascii(value)[:100]}: {str(error)[:100]}"
        raise ContractError(f"{found}: set {variable} to the full path of a folder") from None


def _users_cache() -> Path | None:
    """The platform's folder for caches of this user; None where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if base:
            return Path(base).expanduser() / "geofm_eval"
        caches = ("Library", "Caches") if sys.platform == "darwin" else (".cache",)
        return Path.home().joinpath(*caches) / "geofm_eval"
    except RuntimeError:  # no HOME, and the user is not in the system's list
        return None


def _can_be_made(folder: Path) -> bool:
    """True for a folder that exists, whoever may write to it, or that this user may make."""
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
    why = "GEOFM_CACHE is not set and this user has no home that can be written"
    cure = "set GEOFM_CACHE to a folder that you own"
    try:
        folder = Path(tempfile.gettempdir()) / f"geofm_eval-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.stat().st_uid != os.getuid() or folder.is_symlink():
            raise ContractError(f"{why}, and {folder} belongs to another user: {cure}")
    except OSError as error:
        raise ContractError(f"{why}, and there is no temporary folder either ({error}): {cure}") from None
    log.warning("%s: using %s, which may not last; %s to keep what is computed", why, folder, cure)
    return folder


def in_package(relative: str) -> Path:
    """Path of a file of this package, such as ``backbones/pocket/weights/pocket_mae_seed0.safetensors``."""
    return Path(__file__).parent / relative


def escape(name: str) -> str | None:
    """Say why a path that a file or a catalog gives does not stay below its folder; None where it does.

    It may not be an address: libraries that open files take ``/vsicurl/..``, ``s3:..`` and ``zip+http:..`` for one.
    Links are not followed here.
    """
    if name.startswith("/vsi"):
        return "is a virtual file of GDAL"
    if _SCHEME.match(name):
        return "has a scheme, as an address has"
    if PurePosixPath(name).is_absolute():
        return "is an absolute path"
    if PurePosixPath(os.path.normpath(name.replace("\\", "/"))).parts[:1] == ("..",):
        return "leaves its folder by '..'"
    return "has a NUL character" if "\0" in name else None


def in_home(relative: str, kind: str, how_to_get: str) -> Path:
    """Resolve a path below the home.

    Args:
        relative: path below ``GEOFM_HOME``, such as ``data/eurosat`` (absolute paths are taken as they are).
        kind: ``data`` or ``weights``, for the message.
        how_to_get: one sentence that says how to obtain it.

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
