"""Models known by their embeddings alone: files of a table, a raster of embeddings, and what an entry says of them."""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from geofm_eval.catalog.base import Spec, is_full_path
from geofm_eval.paths import escape

TABLE, PIXELS = "table", "pixels"
"""Architectures without a network: rows of a table, and the values of a raster."""

FINAL = "final"
_TAP = re.compile(r"embed|(block|stage)\d{2}|final")
_RANK = {"embed": 0, "block": 1, "stage": 1, "final": 2}


class EmbeddingProduct(Spec):
    """What is known of embeddings that were computed elsewhere.

    Args:
        quantised: how values are stored, for example ``int8 sign(x)(q/127.5)^2``; empty for floating-point numbers.
        product_version: version of the product, for example ``2024-09``; versions are never mixed in one entry.
        product_year: year of the data from which the product was made.
        inputs: measured quantities that are inputs of the product, for example ``VV``; a target of the same name is
            reconstructed, not predicted.
    """

    quantised: str = ""
    product_version: str = ""
    product_year: int | None = None
    inputs: tuple[str, ...] = ()


class EmbeddingFile(Spec):
    """One file of embeddings, and the product that it declares."""

    file: str = Field(min_length=1)
    product_version: str = ""
    product_year: int | None = None


Named = Annotated[str, Field(min_length=1)] | EmbeddingFile
"""A file by its path, or with its product."""


class TableOptions(Spec):
    """Options of ``architecture = "table"``; give one of ``file``, ``files`` and ``taps``.

    Args:
        file: table of the only tap, ``final``.
        files: tables of groups of samples; the id of a sample is ``<file name without suffixes>/<id in the file>``.
        taps: one table per tap: ``embed``, ``block00``, .., ``stage00``, .. and ``final``.
        columns: columns of the embedding: names or patterns in which ``*`` stands for a number, for example ``A*``, or
            one column of lists; empty takes all numeric columns that are named by letters and a number.
        key: column of the ids of the samples, or ``geometry`` to find the nearest row of every sample.
        lon: column of longitudes in degrees, for ``key = "geometry"``; empty takes the geometry of a GeoParquet file,
            or columns named lon or longitude.
        lat: column of latitudes.
        tolerance_m: largest distance in metres of the nearest row.
        ids: file with the ids of the rows of an npy file; empty takes ``<name>.ids.txt`` or ``<name>.ids.json``.
        missing: largest number of the task's samples without a row. They get the mean embedding of the split.
        surplus: largest number of rows that belong to no sample of the task; None for any number, because a product
            often covers more places than a task.
    """

    file: Named | None = None
    files: tuple[Named, ...] = ()
    taps: dict[str, Named] = {}
    columns: tuple[str, ...] = ()
    key: str = "id"
    lon: str = ""
    lat: str = ""
    tolerance_m: float = Field(default=10.0, gt=0)
    ids: str = ""
    missing: int = Field(default=0, ge=0)
    surplus: int | None = Field(default=None, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _one_column(cls, fields: Any) -> Any:
        if isinstance(fields, dict) and isinstance(fields.get("columns"), str):
            return {**fields, "columns": (fields["columns"],)}
        return fields

    @model_validator(mode="after")
    def _consistent(self) -> "TableOptions":
        given = [name for name in ("file", "files", "taps") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(f"give one of file, files and taps, found {' and '.join(given) or 'none'}")
        unknown = [name for name in self.taps if not _TAP.fullmatch(name)]
        if unknown:
            raise ValueError(f"tap '{unknown[0][:40]}' is unknown; taps are embed, block00, .., stage00, .. and final")
        if bool(self.lon) != bool(self.lat):
            raise ValueError("give both lon and lat, or neither")
        return self

    def by_tap(self) -> dict[str, tuple[EmbeddingFile, ...]]:
        """Return the files of every tap, shallow to deep; several files of a tap are groups of samples."""
        if self.taps:
            return {tap: (_file(self.taps[tap]),) for tap in sorted(self.taps, key=_depth)}
        return {FINAL: tuple(map(_file, self.files or ((self.file,) if self.file else ())))}


class RasterOptions(Spec):
    """Options of ``architecture = "pixels"``.

    Args:
        raster: GeoTIFF that is sampled at the places of a task's samples; None reads the task's own pixels.
        missing: largest number of samples outside the raster or on pixels without data; as in :class:`TableOptions`.
    """

    raster: Named | None = None
    missing: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _consistent(self) -> "RasterOptions":
        if self.raster is None and self.missing:
            raise ValueError("missing is for option raster: remove it")
        return self


Options = TableOptions | RasterOptions


def read_options(architecture: str, options: Mapping[str, Any]) -> Options:
    """Validate the options of a model without a network.

    Raises:
        ValueError: an option is unknown or invalid, or files declare different products.
    """
    kind: type[Options] = TableOptions if architecture == TABLE else RasterOptions
    try:
        found = kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in ("options", *first["loc"]))
        raise ValueError(f"{field}: {str(first['msg']).removeprefix('Value error, ')}") from None
    for file in files_of(found):
        if not is_full_path(file.file) and (reason := escape(file.file)) is not None:
            raise ValueError(
                f"options: '{file.file[:80]}' {reason}, expected a path below the catalog file's folder or GEOFM_HOME, "
                "or an absolute one"
            )
    return found


def files_of(options: Options) -> tuple[EmbeddingFile, ...]:
    """Return every file of embeddings that an entry names."""
    if isinstance(options, RasterOptions):
        return () if options.raster is None else (_file(options.raster),)
    return tuple(file for files in options.by_tap().values() for file in files)


def check_one_product(embedding: EmbeddingProduct, files: tuple[EmbeddingFile, ...]) -> None:
    """Refuse files of different products in one entry.

    Raises:
        ValueError: two files, or the entry and a file, declare different versions or years.
    """
    for what in ("product_version", "product_year"):
        declared = [getattr(embedding, what), *(getattr(file, what) for file in files)]
        found = list(dict.fromkeys(str(value) for value in declared if value))
        if len(found) > 1:
            raise ValueError(
                f"{what} is declared as {' and '.join(found[:3])}; results of different products must not be mixed: "
                "make one entry per product"
            )


def with_paths(options: Mapping[str, Any], locate: Callable[[str], str]) -> dict[str, Any]:
    """Return raw options whose files are found by ``locate``; options of another shape are unchanged."""

    def moved(value: Any) -> Any:
        if isinstance(value, str):
            return locate(value)
        if isinstance(value, dict) and isinstance(value.get("file"), str):
            return {**value, "file": locate(value["file"])}
        return value

    found = dict(options)
    for name in ("file", "raster", "ids"):
        if name in found and found[name] != "":
            found[name] = moved(found[name])
    if isinstance(found.get("files"), list):
        found["files"] = [moved(value) for value in found["files"]]
    if isinstance(found.get("taps"), dict):
        found["taps"] = {tap: moved(value) for tap, value in found["taps"].items()}
    return found


def filled_in(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Add the fields of an entry without a network that follow from its architecture."""
    options = fields.get("options")
    named = options if isinstance(options, dict) else {}
    taps = named.get("taps")
    blocks = [tap for tap in taps if str(tap).startswith(("block", "stage"))] if isinstance(taps, dict) else []
    reads = fields["architecture"] == PIXELS and "raster" not in named
    return {
        "family": "embedding",
        "depth": len(blocks),
        "width": 0,
        "bands": ("*",) if reads else (),
        "product": "any",
        "normalisation": {"kind": "none"},
        **fields,
    }


def stem(path: str) -> str:
    """Return the name of a file without its suffixes: ``iowa`` for ``tables/iowa.csv.gz``."""
    name = PurePosixPath(path.replace("\\", "/")).name
    return re.sub(r"(?i)(\.(csv|tsv|txt|jsonl|ndjson|parquet|geoparquet|pq|npy|zarr|zip|gz))+$", "", name) or name


def _file(named: Named) -> EmbeddingFile:
    return named if isinstance(named, EmbeddingFile) else EmbeddingFile(file=named)


def _depth(tap: str) -> tuple[int, str]:
    return _RANK[tap.rstrip("0123456789")], tap
