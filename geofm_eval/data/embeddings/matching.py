"""Rows of tables that belong to samples: by id, or the nearest place."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute

from geofm_eval.data.embeddings.places import places_in
from geofm_eval.data.embeddings.tables import EmbeddingTable
from geofm_eval.data.items import Item
from geofm_eval.data.sphere import distances, to_sphere
from geofm_eval.data.tabular import trimmed
from geofm_eval.errors import ContractError, DataError

GEOMETRY = "geometry"
"""Value of option ``key`` that asks for the nearest row of every sample."""

EQUALLY_NEAR_M = 1e-3
"""Difference of two distances in metres below which two rows are equally near."""


@dataclass(frozen=True)
class PrefixedTable:
    """One table of a tap, whose ids follow ``prefix`` and a slash; all of them if the prefix is empty."""

    table: EmbeddingTable
    prefix: str = ""


@dataclass(frozen=True)
class Matched:
    """Rows of the samples in the tables of a tap.

    Args:
        rows: (n,) position of every sample's row, counted over all tables in order; -1 without one.
        total: number of rows of all tables.
        examples: some ids of rows that belong to no sample.
    """

    rows: npt.NDArray[np.int64]
    total: int
    examples: tuple[str, ...] = ()

    @property
    def surplus(self) -> int:
        """Number of rows that belong to no sample."""
        return self.total - len(np.unique(self.rows[self.rows >= 0]))


def by_id(parts: Sequence[PrefixedTable], key: str, items: Sequence[Item]) -> Matched:
    """Find the row of every sample by its id; white space around ids does not count.

    Args:
        parts: tables.
        key: column of the ids.
        items: samples, each with a unique id.

    Raises:
        DataError: the column is missing, or several rows have the id of a sample.
    """
    wanted = trimmed(pa.array([item.id for item in items], pa.string()))
    rows, total, examples = np.full(len(items), -1, np.int64), 0, list[str]()
    for start, ids, path in _ids(parts, key):
        total = start + len(ids)
        found = compute.index_in(ids, value_set=wanted)
        examples += ids.filter(found.is_null())[: max(3 - len(examples), 0)].to_pylist()
        known = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
        places = found.drop_null().to_numpy()
        again = (rows[places] >= 0) | (np.bincount(places, minlength=len(items))[places] > 1)
        if again.any():
            twice = items[int(places[again][0])].id
            raise DataError(
                f"{path}: several rows have the id '{twice[:80]}' ({int(again.sum())} such rows in this part of the "
                "table). Keep one row per sample, or use another column with options.key"
            )
        rows[places] = start + known
    return Matched(rows, total, tuple(str(one) for one in examples))


def _ids(parts: Sequence[PrefixedTable], key: str) -> Iterator[tuple[int, pa.Array, object]]:
    """Number of the first row, ids, and file of every batch."""
    start = 0
    for part in parts:
        for batch in part.table.batches({key: pa.string()}, 16):
            ids = trimmed(batch.column(0))
            if part.prefix:
                ids = compute.binary_join_element_wise(pa.scalar(part.prefix), ids, pa.scalar("/"))
            yield start, ids, part.table.path
            start += len(ids)


def by_place(
    parts: Sequence[PrefixedTable], columns: tuple[str, str], tolerance_m: float, items: Sequence[Item]
) -> Matched:
    """Find the nearest row of every sample within a distance.

    Args:
        parts: tables.
        columns: columns of longitude and latitude; empty names take those of the table.
        tolerance_m: largest distance in metres.
        items: samples, all with a known place.

    Raises:
        ContractError: a sample has no known place.
        DataError: the table has no places, or two rows are equally near.
    """
    from scipy.spatial import cKDTree

    wanted = to_sphere(lonlat_of(items))
    rows, nearest, total = np.full(len(items), -1, np.int64), np.full(len(items), np.inf), 0
    tied = np.zeros(len(items), np.bool_)
    for part in parts:
        for places in places_in(part.table, columns):
            known = np.flatnonzero(np.isfinite(places).all(axis=1))
            if len(known):
                tree = cKDTree(to_sphere(places[known]))
                chord, index = tree.query(wanted, k=min(2, len(known)))
                first, second = distances(chord.reshape(len(items), -1)), index.reshape(len(items), -1)[:, 0]
                own = first[:, 1] if first.shape[1] > 1 else np.full(len(items), np.inf)
                closer = first[:, 0] < nearest - EQUALLY_NEAR_M
                tied = np.where(closer, False, tied | (np.abs(first[:, 0] - nearest) <= EQUALLY_NEAR_M))
                tied |= closer & (own - first[:, 0] <= EQUALLY_NEAR_M)
                rows[closer] = total + known[second[closer]]
                nearest = np.minimum(nearest, first[:, 0])
            total += len(places)
    rows[nearest > tolerance_m] = -1
    both = np.flatnonzero(tied & (rows >= 0))
    if len(both):
        raise DataError(
            f"{parts[0].table.path}: two rows are equally near to sample '{items[int(both[0])].id[:60]}' ({len(both)} "
            "such samples). Keep one row per place, or match by id with options.key"
        )
    return Matched(rows, total)


def lonlat_of(items: Sequence[Item]) -> npt.NDArray[np.float64]:
    """Return longitude and latitude of samples, (n, 2).

    Raises:
        ContractError: a sample has no known place.
    """
    unknown = [item.id for item in items if item.lonlat is None]
    if unknown:
        raise ContractError(
            f"{len(unknown)} of {len(items)} samples have no known place, for example '{unknown[0][:60]}', but their "
            "embeddings are found by place. Add lon and lat to the task's data, or match by id with options.key"
        )
    return np.array([item.lonlat for item in items], np.float64).reshape(-1, 2)


Find = Callable[[Sequence[PrefixedTable], Sequence[Item]], Matched]
"""Finds the rows of samples in the tables of a tap."""
