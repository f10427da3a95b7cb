"""Tasks that embeddings of another file have rows for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from geofm_eval.catalog import Catalog, TaskSpec
from geofm_eval.catalog.embeddings import RasterOptions, files_of, read_options
from geofm_eval.data.embeddings.matching import GEOMETRY, PrefixedTable, by_id, by_place, lonlat_of
from geofm_eval.data.embeddings.points import sampled
from geofm_eval.data.embeddings.tables import open_table
from geofm_eval.data.items import Item
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.looking.embeddings import FoundEmbeddings

_CANNOT = (ContractError, DataError, Unavailable)


@dataclass(frozen=True)
class EmbeddingDraft:
    """A draft of an entry for embeddings, and what it was derived from.

    Args:
        title: title of the entry.
        architecture: ``table`` or ``pixels``.
        options: options of the entry.
        tasks: tasks that it has rows for.
        facts: what was found, one sentence each.
        warnings: what may be wrong, one sentence each.
    """

    title: str
    architecture: str
    options: Mapping[str, Any]
    tasks: tuple[str, ...]
    facts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Fit:
    """How many samples of a task have no row; all of them if the lookup failed, with the reason."""

    samples: int
    missing: int
    reason: str = ""

    @property
    def told(self) -> str:
        return self.reason or f"{self.missing} of {self.samples} samples have no row"


def draft_embeddings(found: FoundEmbeddings, catalog: Catalog, named: Sequence[str] = ()) -> EmbeddingDraft:
    """Draft the entry of embeddings whose labels are in other files.

    Args:
        found: the embeddings.
        catalog: tasks, and entries that exist already.
        named: tasks of the entry; empty takes the user's own tasks of which every sample has a row.

    Raises:
        ContractError: an entry for this file exists, or a named task is unknown.
        Unavailable: the data of a named task are missing.
        DataError: no task fits, or no sample of a named one has a row.
    """
    _check_new(found.path, catalog)
    own = [task for task in catalog.tasks.values() if task.own and not task.dense]
    tasks = [catalog.task(name) for name in named] or own
    if not tasks:
        raise DataError(
            f"{found.path}: found embeddings ({found.fact}), but no labels and no task that they belong to. Write the "
            "entry of the labels first, with geofm-eval init LABELS, or name a task of the catalog with --tasks"
        )
    options, fits = _best(found, tasks, strict=bool(named))
    kept = [slug for slug, fit in fits.items() if fit.missing < (fit.samples if named else 1)]
    if not kept or (named and len(kept) < len(fits)):
        told = "; ".join(f"{slug}: {fit.told}"[:120] for slug, fit in fits.items() if slug not in kept)
        cure = "" if named else "; a task that is named with --tasks may lack some rows"
        raise DataError(
            f"{found.path}: the embeddings ({found.fact}) lack rows that the tasks need ({told[:160]}). Compare ids "
            f"and places{cure}"
        )
    partly = [f"{slug}: {fits[slug].told}; check refuses it, unless options.missing allows them" for slug in kept]
    return EmbeddingDraft(
        f"Embeddings of {found.path.name}",
        found.architecture,
        options,
        tuple(kept),
        (f"vectors  {found.fact}", f"rows     {_how(options)}", f"tasks    {', '.join(kept)}"),
        tuple(text for text, slug in zip(partly, kept, strict=True) if fits[slug].missing),
    )


def _how(options: Mapping[str, Any]) -> str:
    if "raster" in options or options.get("key") == GEOMETRY:
        return "found by the places of the samples"
    return f"found by the ids in column {options.get('key', 'id')}"


def _check_new(path: Path, catalog: Catalog) -> None:
    for model in catalog.models.values():
        if model.precomputed:
            files = files_of(read_options(model.architecture, model.options))
            if any(Path(file.file) == path for file in files):
                raise ContractError(f"{path} has the entry [models.{model.slug}] already; edit it, or remove it first")


def _best(found: FoundEmbeddings, tasks: Sequence[TaskSpec], strict: bool) -> tuple[Mapping[str, Any], dict[str, _Fit]]:
    """The options with which most tasks, and then most samples, have rows."""

    @cache
    def items_of(base: str) -> tuple[Item, ...]:
        # The splits of a variant have the same samples.
        task = next(one for one in tasks if (one.variant_of or one.slug) == base)
        return tuple(item for split in open_splits(task).values() for item in split.items)

    def fit(options: Mapping[str, Any], task: TaskSpec) -> _Fit:
        try:
            items = items_of(task.variant_of or task.slug)
        except _CANNOT as error:
            if strict:
                raise
            return _Fit(1, 1, str(error))
        try:
            return _looked_up(found, options, items)
        except _CANNOT as error:
            return _Fit(len(items), len(items), str(error))

    fits = [(options, {task.slug: fit(options, task) for task in tasks}) for options in found.ways]

    def rank(one: tuple[Mapping[str, Any], dict[str, _Fit]]) -> tuple[int, int]:
        values = one[1].values()
        return sum(fit.missing > 0 for fit in values), sum(fit.missing for fit in values)

    return min(fits, key=rank)


def _looked_up(found: FoundEmbeddings, options: Mapping[str, Any], items: Sequence[Item]) -> _Fit:
    """Find the rows without reading their embeddings, except those of a raster."""
    own = read_options(found.architecture, options)
    if isinstance(own, RasterOptions):
        absent = sampled(found.path, lonlat_of(items)).reasons != ""
    else:
        parts = [PrefixedTable(open_table(found.path))]
        placed = own.key == GEOMETRY
        matched = by_place(parts, ("", ""), own.tolerance_m, items) if placed else by_id(parts, own.key, items)
        absent = matched.rows < 0
    return _Fit(len(items), int(absent.sum()))
