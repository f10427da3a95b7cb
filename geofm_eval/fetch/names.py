"""Find the catalog entry for a name given on the command line: a model or a task."""

import difflib

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec
from geofm_eval.errors import ContractError


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
