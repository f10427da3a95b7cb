"""Draft of a catalog entry for own data, and what was found on the way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.embeddings import TABLE
from geofm_eval.catalog.tasks import UNKNOWN
from geofm_eval.data.division import divided
from geofm_eval.data.items import NAMES, Listing
from geofm_eval.data.readers import POOL_READERS
from geofm_eval.errors import ContractError
from geofm_eval.looking.looks import ImageLook, fields_of, look_at_images, options_of
from geofm_eval.looking.matching import EmbeddingDraft
from geofm_eval.looking.samples import LookedSamples
from geofm_eval.looking.sources import METRIC, OwnSource, find_source

FEW = 10
"""Samples of a class below which a warning is given."""


@dataclass(frozen=True)
class Draft:
    """A task for own data, and what it was derived from.

    Args:
        task: the entry; bands that nobody has named are ``?``.
        source: what the path holds.
        looks: a look at the images of every product; empty for tables without images.
        listing: samples divided into splits or folds.
    """

    task: TaskSpec
    source: OwnSource
    looks: tuple[ImageLook, ...]
    listing: Listing

    @property
    def bands_named(self) -> bool:
        """Whether every band has a name."""
        return UNKNOWN not in self.task.bands

    @property
    def embeddings(self) -> EmbeddingDraft | None:
        """Entry of the embeddings in the same table; None without them."""
        if not self.source.embedding:
            return None
        slugs = (self.task.slug, f"{self.task.slug}_random")[: 2 if self.located else 1]
        return EmbeddingDraft(f"Embeddings of {self.task.title}", TABLE, self.source.embedding, slugs)

    @property
    def located(self) -> bool:
        """Whether samples were divided by place, so that a random split shows what that changes."""
        return self.listing.rule.get("by") == "blocks"

    @property
    def items(self) -> int:
        """Number of samples that can be used."""
        return sum(map(len, self.listing.items.values()))

    @property
    def facts(self) -> list[str]:
        """Sentences on what was found."""
        shown = [f"reader   {self.source.reader}, {self.task.kind}"]
        for look in self.looks:
            names = f"{', '.join(look.names.bands)} ({look.names.comment})"
            shown += [f"images   {look.told(_images(look.samples))}", f"unit     {look.told(look.unit.reason)}"]
            shown += [f"bands    {look.told(names)}"]
        if not self.looks and not self.source.embedding:
            shown.append("images   none; only embeddings can be measured on this task")
        if "dates" in self.source.comments:
            shown.append(f"dates    {self.source.comments['dates']}")
        if self.source.embedding:
            shown.append(f"vectors  columns {self.source.embedding['columns']}")
        if self.source.counts:
            most = [f"{name} {count}" for name, count in list(self.source.counts.items())[:12]]
            more = f", and {len(self.source.counts) - 12} more" if len(self.source.counts) > 12 else ""
            shown.append(f"classes  {', '.join(most)}{more}")
        return [*shown, f"splits   {self.division}"]

    @property
    def division(self) -> str:
        """How the samples are divided, in one sentence."""
        rule = self.listing.rule
        by = {
            "given": "the data's own splits",
            "group": f"whole groups ({rule.get('groups', '?')})",
            "blocks": f"spatial blocks of about {_distance(float(rule.get('block_m', 0)))}",
            "random": "at random" + (" within classes" if self.task.classes and not self.task.dense else ""),
        }[str(rule.get("by", "random"))]
        if self.listing.folds:
            folds = len(set(self.listing.folds.values()))
            return f"{self.items} samples: {_NUMBERS.get(folds, folds)}-fold cross-validation, {by}"
        sizes = ", ".join(f"{len(self.listing.items[name])} {name}" for name in NAMES)
        return f"{self.items} samples: {sizes}, {by}"

    @property
    def warnings(self) -> list[str]:
        """What may be wrong, one sentence each."""
        return [*self.source.warnings, *_about_images(self.looks), *_about_labels(self)]


_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}


def draft_entry(path: Path, slug: str, bands: str | None = None, label: str | None = None) -> Draft:
    """Look at own data and draft their entry.

    Args:
        path: folder or file.
        slug: name of the task.
        bands: presets or names of bands; None takes the files' descriptions, or leaves ``?``.
        label: column of the labels; None finds it by its name.

    Raises:
        ContractError: nothing that is understood is there, or an argument does not fit the data.
        DataError: the data are damaged, ambiguous or too few.
    """
    source = find_source(path, label)
    looks = look_at_images(source, bands)
    task = _task(slug, source, looks)
    pool = POOL_READERS[source.reader](_with_distinct_bands(task), source.root)
    return Draft(task, source, looks, divided(task, pool))


def _with_distinct_bands(task: TaskSpec) -> TaskSpec:
    """The task as its reader takes it: bands of several products need names that differ, even if nobody gave them."""
    products = task.options.get("bands")
    if not isinstance(products, dict) or UNKNOWN not in task.bands:
        return task
    named = {product: [f"{product}.{number}" for number in range(len(bands))] for product, bands in products.items()}
    bands = tuple(band for names in named.values() for band in names)
    return task.model_copy(update={"bands": bands, "options": {**task.options, "bands": named}})


def _task(slug: str, source: OwnSource, looks: Sequence[ImageLook]) -> TaskSpec:
    fields: dict[str, Any] = {
        "slug": slug,
        "title": slug.replace("_", " "),
        "reader": source.reader,
        "root": str(source.root),
        "options": {**source.options, **options_of(looks)},
        "kind": source.kind,
        "metric": METRIC[source.kind],
        "classes": source.classes,
        **({} if source.dates is None else {"dates": source.dates}),
        **fields_of(looks),
    }
    try:
        return TaskSpec.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "entry"
        raise ContractError(
            f"{slug}: {where}: {str(first['msg'])[:200]}; give another --name, or another path"
        ) from None


def _images(samples: LookedSamples) -> str:
    sizes = ", ".join(f"{height} x {width} px" for height, width in list(samples.sizes)[:3]) or "parts of scenes"
    more = f" and {len(samples.sizes) - 3} other sizes" if len(samples.sizes) > 3 else ""
    place = "" if samples.gsd is None else f", {samples.gsd:g} m per pixel"
    return f"{samples.count}, {sizes}{more}, {samples.bands} bands of {' and '.join(samples.dtypes)}{place}"


def _about_images(looks: Sequence[ImageLook]) -> Iterator[str]:
    for look in looks:
        samples = look.samples
        if len(samples.sizes) > 1:
            what = f"images of {len(samples.sizes)} sizes: models without a size of their own encode them one by one"
            yield look.told(what)
        if len(samples.dtypes) > 1:
            dtypes = ", ".join(samples.dtypes)
            yield look.told(f"images of several dtypes ({dtypes}): check that all have the same unit")
        if samples.gaps:
            yield look.told(f"{samples.gaps:.1%} of the pixels that were read are NaN or nodata")
        if samples.copies:
            first = samples.copies[0].name
            yield look.told(f"{len(samples.copies)} images are copies of another one, first {first}: remove them")
        if look.unit.warning:
            yield look.told(look.unit.warning)


def _about_labels(draft: Draft) -> Iterator[str]:
    counts = {} if draft.task.dense else draft.source.counts
    few = [f"{name} ({count})" for name, count in counts.items() if count < FEW]
    if few:
        yield f"fewer than {FEW} samples: {', '.join(few[:6])}"
    for dropped in draft.listing.dropped.values():
        for reason, ids in dropped.items():
            yield f"{len(ids)} dropped: {reason}"


def _distance(metres: float) -> str:
    return f"{metres / 1000:.3g} km" if metres >= 1000 else f"{metres:.3g} m"
