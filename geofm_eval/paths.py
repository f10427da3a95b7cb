"""Where data, weights and caches live: the home (read-only for the suite) and the cache."""

import os
import sys
from pathlib import Path

from geofm_eval.errors import Unavailable


def geofm_home() -> Path | None:
    """Folder with ``weights/`` and ``data/`` named by ``GEOFM_HOME``, or None when it is not set."""
    value = os.environ.get("GEOFM_HOME")
    return Path(value).expanduser().resolve() if value else None


def geofm_cache() -> Path:
    """Folder for feature blocks, sweeps and stand-ins: ``GEOFM_CACHE`` or the user's cache folder."""
    value = os.environ.get("GEOFM_CACHE")
    if value:
        return Path(value).expanduser().resolve()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "geofm_eval"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "geofm_eval"


def in_package(relative: str) -> Path:
    """Path of a file of this package, such as ``backbones/pocket/weights/pocket_mae_seed0.safetensors``."""
    return Path(__file__).parent / relative


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
