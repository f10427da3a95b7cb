"""What a path is for: a task, a task with embeddings in the same table, or embeddings for tasks that exist."""

from collections.abc import Sequence
from pathlib import Path

from geofm_eval.catalog import Catalog
from geofm_eval.errors import ContractError, DataError
from geofm_eval.looking.draft import Draft, draft_entry
from geofm_eval.looking.embeddings import find_embeddings
from geofm_eval.looking.matching import EmbeddingDraft, draft_embeddings
from geofm_eval.looking.slugs import free_slug
from geofm_eval.looking.tables import label_candidates


def draft_own(
    path: Path,
    catalog: Catalog,
    name: str | None = None,
    bands: str | None = None,
    label: str | None = None,
    tasks: Sequence[str] = (),
) -> Draft | EmbeddingDraft:
    """Look at own data and draft the entry of a task, of embeddings, or of both.

    A table of embeddings is a task too if a column is named by ``label``, has a usual name of labels, or is the only
    one without another meaning, and no task of the catalog has the same samples. Other embeddings belong to tasks that
    exist.

    Args:
        path: folder or file.
        catalog: entries that exist.
        name: name of a task; None derives it from the path.
        bands: presets or names of bands.
        label: column of the labels.
        tasks: tasks that the embeddings belong to; then no task is made.

    Raises:
        ContractError: nothing that is understood is there, or an argument does not fit the data.
        DataError: the data are damaged, ambiguous or too few, or embeddings fit no task.
        Unavailable: the data of one of ``tasks`` are missing.
    """
    place = path.expanduser().absolute()
    found = find_embeddings(place) if place.exists() else None
    if tasks and found is None:
        raise ContractError(f"{place}: --tasks is for embeddings, but none were found there; remove it")
    usual, others = label_candidates(place) if found is not None and "columns" in found.ways[0] else (None, [])
    if found is not None and (tasks or (label is None and usual is None)):
        try:
            return draft_embeddings(found, catalog, tasks)
        except DataError:
            if tasks or not others:
                raise
    return draft_entry(path, name or free_slug(path, catalog), bands, label)
