"""Embeddings of an entry for the samples of a task: files, identity, and the features of every tap."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import ModelSpec, TaskSpec
from geofm_eval.catalog.embeddings import (
    FINAL,
    EmbeddingFile,
    RasterOptions,
    TableOptions,
    check_one_product,
    files_of,
    read_options,
    stem,
)
from geofm_eval.data.contents import hashes_of
from geofm_eval.data.embeddings.columns import columns_of
from geofm_eval.data.embeddings.matching import GEOMETRY, Matched, PrefixedTable, by_id, by_place, lonlat_of
from geofm_eval.data.embeddings.points import NODATA, OUTSIDE, sampled
from geofm_eval.data.embeddings.tables import EmbeddingTable, open_table
from geofm_eval.data.identity import lines_sha256
from geofm_eval.data.items import Item
from geofm_eval.data.readers.images import TIFF
from geofm_eval.data.readers.rasters import MASK
from geofm_eval.errors import ContractError, DataError
from geofm_eval.gaps import how_to_get_embeddings
from geofm_eval.paths import in_home
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import content_hash

LOOKUP_VERSION = 2
"""Increase whenever the same files and samples would give other features."""


@dataclass(frozen=True)
class Looked:
    """Features of one tap for some samples.

    Args:
        tap: name of the tap.
        features: (n, D) float32; NaN for samples without a row.
        absent: (n,) bool, True for samples without a row.
        rows: number of rows of the files; of a raster, the number of samples.
        surplus: number of rows that belong to no sample.
        why: number of samples without a row by reason.
        examples: some ids of rows that belong to no sample.
    """

    tap: str
    features: npt.NDArray[np.float32]
    absent: npt.NDArray[np.bool_]
    rows: int
    surplus: int
    why: Mapping[str, int]
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmbeddingSource:
    """The files of one entry."""

    spec: ModelSpec

    @cached_property
    def options(self) -> TableOptions | RasterOptions:
        """Options of the entry."""
        return read_options(self.spec.architecture, self.spec.options)

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Path of every file by its name in the entry.

        Raises:
            Unavailable: a file does not exist.
        """
        names = [file.file for file in files_of(self.options)]
        own = self.options
        names += [own.ids] if isinstance(own, TableOptions) and own.ids else []
        return {name: in_home(name, "data", how_to_get_embeddings(self.spec)) for name in names}

    @property
    def title(self) -> str:
        """Names of the files, for records: ``iowa.csv.gz``."""
        names = [path.name for path in self.paths.values()]
        return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

    def sha256(self, progress: StartProgress = LogProgress) -> str:
        """Return the hash of the contents of all files, and of the taps and groups that they belong to."""
        paths, own = self.paths, self.options
        read = [part for path in paths.values() for part in (path, *_beside(path)) if part.exists()]
        hashes = hashes_of(read, f"embeddings of {self.spec.slug}", progress)
        if isinstance(own, RasterOptions):
            return content_hash({"raster": list(hashes.values())})

        def described(file: EmbeddingFile) -> list[str]:
            path = paths[file.file]
            group = stem(file.file) if own.files else ""
            return [group, *(hashes[part] for part in (path, *_beside(path)) if part in hashes)]

        taps = {tap: [described(file) for file in files] for tap, files in own.by_tap().items()}
        return content_hash({"taps": taps, "ids": hashes[paths[own.ids]] if own.ids else None})

    def key(self, sha256: str, items: Sequence[Item]) -> str:
        """Hash everything that determines the features of some samples.

        Args:
            sha256: hash of the contents; see :meth:`sha256`.
            items: samples, in order.
        """
        files = {"file", "files", "taps", "raster", "ids"}
        own = self.options.model_dump(mode="json", exclude=files, exclude_none=True)
        placed = isinstance(self.options, RasterOptions) or self.options.key == GEOMETRY
        samples = [f"{item.id}\t{item.lonlat}" if placed else item.id for item in items]
        return content_hash(
            {
                "lookup_version": LOOKUP_VERSION,
                "architecture": self.spec.architecture,
                "contents": sha256,
                "options": own,
                "width": self.spec.width,
                "items": lines_sha256(samples),
            }
        )

    def looked_up(self, items: Sequence[Item]) -> Iterator[Looked]:
        """Yield the features of every tap, shallow to deep, for samples in order.

        Raises:
            ContractError: the entry does not fit the files, or samples have no known place.
            DataError: a file is damaged, or rows are ambiguous.
        """
        own = self.options
        if isinstance(own, RasterOptions):
            yield self._sampled(items)
            return
        for tap, files in own.by_tap().items():
            parts = [PrefixedTable(self._table(file, own), stem(file.file) if own.files else "") for file in files]
            self._check_product([part.table for part in parts])
            yield self._gathered(tap, parts, own, items)

    def _table(self, file: EmbeddingFile, own: TableOptions) -> EmbeddingTable:
        path, ids = self.paths[file.file], self.paths[own.ids] if own.ids else None
        return open_table(path, ids, own.columns[0] if len(own.columns) == 1 else None)

    def _gathered(self, tap: str, parts: Sequence[PrefixedTable], own: TableOptions, items: Sequence[Item]) -> Looked:
        if own.key == GEOMETRY:
            matched, why = by_place(parts, (own.lon, own.lat), own.tolerance_m, items), "without a row near them"
        else:
            matched, why = by_id(parts, own.key, items), "without a row"
        features = self._values(parts, own, matched)
        absent = matched.rows < 0
        return Looked(tap, features, absent, matched.total, matched.surplus, {why: int(absent.sum())}, matched.examples)

    def _values(self, parts: Sequence[PrefixedTable], own: TableOptions, matched: Matched) -> npt.NDArray[np.float32]:
        """Features (n, D) of the matched rows; NaN for samples without one."""
        found = [columns_of(part.table, own.columns) for part in parts]
        widths = {columns.width for columns in found}
        if len(widths) > 1:
            raise DataError(
                f"{parts[0].table.path}: the files of one tap have {', '.join(map(str, sorted(widths)))} channels, "
                "expected the same number; name the same columns with options.columns"
            )
        self._check_width(found[0].width)
        order = np.argsort(matched.rows, kind="stable")
        features, start = np.full((len(order), found[0].width), np.nan, np.float32), 0
        for part, columns in zip(parts, found, strict=True):
            for batch in part.table.batches(dict.fromkeys(columns.names), columns.width):
                first, last = np.searchsorted(matched.rows[order], [start, start + len(batch)])
                if last > first:
                    own_rows = order[first:last]
                    taken = batch.take(matched.rows[own_rows] - start)
                    features[own_rows] = columns.matrix(part.table.path, taken)
                start += len(batch)
        return features

    def _sampled(self, items: Sequence[Item]) -> Looked:
        path = next(iter(self.paths.values()))
        found = sampled(path, lonlat_of(items))
        self._check_width(found.values.shape[1])
        why = {reason: int((found.reasons == reason).sum()) for reason in (OUTSIDE, NODATA)}
        return Looked(FINAL, found.values, found.reasons != "", len(items), 0, {k: v for k, v in why.items() if v})

    def _check_width(self, width: int) -> None:
        if self.spec.width not in (0, width):
            raise ContractError(
                f"{self.spec.slug}: width is {width} in {self.title}, expected {self.spec.width} as in the entry. "
                "Correct the entry, or name the columns with options.columns"
            )

    def _check_product(self, tables: Sequence[EmbeddingTable]) -> None:
        """Refuse tables that declare another product than the entry or each other."""
        declared = [
            EmbeddingFile(file=str(table.path), **_product(table.metadata)) for table in tables if table.metadata
        ]
        try:
            check_one_product(self.spec.embedding, (*files_of(self.options), *declared))
        except ValueError as error:
            raise ContractError(f"{self.spec.slug}: {error}") from None


def check_complete(source: EmbeddingSource, task: TaskSpec, found: Looked, items: Sequence[Item]) -> None:
    """Refuse too many samples without features, too many rows without samples, and features that are not finite.

    Args:
        source: files, and their limits of missing samples and surplus rows.
        task: task of the samples.
        found: features of one tap for all samples of the task.
        items: these samples.

    Raises:
        DataError: more samples than the limit have no features, or more rows than the limit belong to no sample.
        ContractError: features are not finite.
    """
    limit, absent = source.options.missing, np.flatnonzero(found.absent)
    if len(absent) > limit or len(absent) == len(items):
        why = " and ".join(f"{count} {reason}" for reason, count in found.why.items())
        names = ", ".join(items[int(row)].id[:30] for row in absent[:3])
        ids = f"; ids without a sample: {_shown(found.examples)}" if found.examples else ""
        raise DataError(
            f"{source.spec.slug}, tap {found.tap}: {len(absent)} of {len(items)} samples of {task.slug} have no "
            f"embedding ({why}), at most {limit} allowed: {names}{ids}. Check options.key, or set options.missing"
        )
    _check_surplus(source, task, found)
    broken = np.flatnonzero(~np.isfinite(found.features).all(axis=1) & ~found.absent)
    if len(broken):
        names = ", ".join(items[int(row)].id[:40] for row in broken[:3])
        raise ContractError(
            f"{source.spec.slug}, tap {found.tap}: embeddings of {len(broken)} of {len(items)} samples of {task.slug} "
            f"are NaN, infinite or empty, for example {names}. Compute them again, or remove these rows and set "
            "options.missing"
        )


def _check_surplus(source: EmbeddingSource, task: TaskSpec, found: Looked) -> None:
    most = source.options.surplus if isinstance(source.options, TableOptions) else None
    if most is not None and found.surplus > most:
        ids = f", for example {_shown(found.examples)}" if found.examples else ""
        raise DataError(
            f"{source.spec.slug}, tap {found.tap}: {found.surplus} of {found.rows} rows belong to no sample of "
            f"{task.slug}{ids}; at most {most} allowed. Check that the table is that of these samples, or set "
            "options.surplus"
        )


def _shown(ids: Sequence[str]) -> str:
    return ", ".join(one[:30] for one in ids)


def _product(metadata: Mapping[str, str]) -> dict[str, Any]:
    year = metadata.get("product_year", "")
    return {
        "product_version": metadata.get("product_version", ""),
        "product_year": int(year) if year.isdecimal() else None,
    }


def _beside(path: Path) -> tuple[Path, ...]:
    """Files that a file is read with: ids of an npy file, mask of a GeoTIFF."""
    if path.suffix.lower() == ".npy":
        return tuple(path.with_suffix(ending) for ending in (".ids.txt", ".ids.json"))
    return (path.with_name(path.name + MASK),) if path.suffix.lower() in TIFF else ()
