"""Names given on the command line, and the place of a file that is fetched."""

import difflib
from pathlib import Path
from typing import Literal

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec
from geofm_eval.errors import ContractError, Unavailable
from geofm_eval.paths import geofm_home


def look_up(catalog: Catalog, name: str) -> ModelSpec | TaskSpec:
    """Return the model or task of this name.

    Raises:
        ContractError: no such model or task; the message lists similar names.
    """
    known: dict[str, ModelSpec | TaskSpec] = {**catalog.models, **catalog.tasks}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else "list them with 'geofm-eval models' and 'geofm-eval tasks'"
    raise ContractError(f"'{name}' is neither a model nor a task; {hint}")


def home_path(relative: str, kind: Literal["weights", "data"]) -> Path:
    """Return the path of weights or data that belong into ``GEOFM_HOME``.

    Raises:
        Unavailable: ``GEOFM_HOME`` is not set.
        ContractError: the path leaves the home, by itself or through a symbolic link.
    """
    home = geofm_home()
    if home is None:
        raise Unavailable(
            kind,
            "GEOFM_HOME is not set",
            "Set it to the folder that will hold weights/ and data/: export GEOFM_HOME=/data/geofm",
        )
    path = home / relative
    named_inside = path.is_relative_to(home) and ".." not in path.parts
    # Links are followed for reading, never for writing.
    if not named_inside or not (path.exists() or path.resolve().is_relative_to(home)):
        raise ContractError(
            f"'{relative}' leads out of {home} (to {path.resolve()}); nothing is fetched outside it. Give a path "
            "below the home in the entry, or set GEOFM_HOME to a folder on the disk you want"
        )
    return path


def megabytes(size: int) -> str:
    """Return a size as text, for example ``2,067.7 MB``."""
    return f"{size / 1e6:,.1f} MB"
