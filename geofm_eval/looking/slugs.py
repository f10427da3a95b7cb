"""Names for new tasks that pytest's -k can distinguish from all others."""

import re
from pathlib import Path

from geofm_eval.catalog import Catalog, TaskSpec
from geofm_eval.catalog.load import NAMES
from geofm_eval.errors import ContractError


def free_slug(path: Path, catalog: Catalog) -> str:
    """Return a name for the data at a path: the name of the file or folder, or ``own_<name>`` if that is ambiguous.

    Raises:
        ContractError: no such name is free, or the catalog has an entry for these data.
    """
    place = path.expanduser().absolute()
    for task in catalog.tasks.values():
        if task.own and task.variant_of is None and place in (Path(task.root), Path(task.root) / _labels(task)):
            raise ContractError(
                f"{place} has the entry [tasks.{task.slug}] already; edit it, or add another with --name NAME"
            )
    name = place.name.partition(".")[0]
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "data"
    tried = (plain, f"own_{plain}", "own_data")
    bases = [
        spec.slug
        for table in (catalog.models, catalog.tasks, catalog.adaptations)
        for spec in table.values()
        if spec.variant_of is None
    ]
    for slug in tried:
        if not any(slug in base or base in slug for base in (*bases, *NAMES)):
            return slug
    raise ContractError(
        f"names {', '.join(tried)} exist, or contain names of the catalog; give the task a name with --name NAME"
    )


def _labels(task: TaskSpec) -> str:
    return str(task.options.get("labels", ""))
