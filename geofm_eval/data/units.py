"""Folds of whole units: samples of a group, of a spatial block, or with overlapping images stay together."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import shapely
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geofm_eval.data.items import Item
from geofm_eval.data.labels import Indices
from geofm_eval.seeds import generator

Names = npt.NDArray[np.str_]
"""(n,) name of the unit of every sample."""

OVERLAP = 0.01
"""Overlaps of at most this proportion of the smaller footprint do not count: footprints are in degrees, in which the
chips of a projected grid overlap their neighbours slightly."""

SCALE = 2**20


def assign_folds(strata: Indices, folds: int, stream: tuple[str | int, ...], units: Names | None = None) -> Indices:
    """Divide samples into folds of about equal size in which the strata have about equal proportions.

    Single samples are dealt stratum by stratum. Larger units are placed one by one, the largest first, each in the fold
    that has the fewest samples of its strata. The result depends on the order of the samples, so sort them first.

    Args:
        strata: (n,) classes, or quantile bins of a target.
        folds: number of folds, at most the number of units; no fold is then empty.
        stream: names the random order.
        units: (n,) unit of every sample; None if all are independent.

    Returns:
        (n,) fold of every sample.
    """
    if units is None:
        return _dealt(strata, folds, stream)
    names, member = np.unique(units, return_inverse=True)
    if len(names) == len(strata):
        return _dealt(strata, folds, stream)
    return _placed(_table(strata, member, len(names)), folds, stream)[member]


def _dealt(strata: Indices, folds: int, stream: tuple[str | int, ...]) -> Indices:
    order = [generator(*stream, int(one)).permutation(np.flatnonzero(strata == one)) for one in np.unique(strata)]
    found = np.empty(len(strata), dtype=np.int64)
    found[np.concatenate(order)] = np.arange(len(strata)) % folds
    return found


def _table(strata: Indices, member: Indices, units: int) -> Indices:
    """Return (units, strata + 1) samples of every unit by stratum, and in total."""
    kinds, kind = np.unique(strata, return_inverse=True)
    table = np.zeros((units, len(kinds) + 1), dtype=np.int64)
    np.add.at(table, (member, kind), 1)
    table[:, -1] = table.sum(1)
    return table


def _placed(table: Indices, folds: int, stream: tuple[str | int, ...]) -> Indices:
    order = generator(*stream).permutation(len(table))
    order = order[np.argsort(-table[order, -1], kind="stable")]
    # Whole numbers, because ties must be the same on every processor.
    weight = np.maximum(1, SCALE // np.maximum(1, table.sum(0)))
    filled = np.zeros((folds, table.shape[1]), dtype=np.int64)
    found = np.empty(len(table), dtype=np.int64)
    for unit in order:
        cost = (filled * (table[unit] * weight)).sum(1)
        found[unit] = fold = np.lexsort((np.arange(folds), filled[:, -1], cost))[0]
        filled[fold] += table[unit]
    return found


def joined(*namings: Names) -> Names:
    """Return units of which each holds all samples that share a name in any of several namings.

    Args:
        namings: (n,) names each; a unit gets the first of its names, in alphabetical order, in the first naming.
    """
    first, n = namings[0], len(namings[0])
    rows, columns, offset = [], [], n
    for naming in namings:
        names, member = np.unique(naming, return_inverse=True)
        rows.append(np.arange(n))
        columns.append(offset + member)
        offset += len(names)
    edges = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(edges[0]), dtype=np.int8), edges), shape=(offset, offset))
    part = connected_components(graph, directed=False)[1][:n]
    order = np.lexsort((first, part))
    starts = np.unique(part[order], return_index=True)[1]
    found: Names = first[order][starts][part]
    return found


def overlapping(items: Sequence[Item]) -> Names | None:
    """Return clusters of samples whose footprints overlap, named by one of their samples; None if none overlap."""
    pairs = overlapping_pairs(items)
    if not len(pairs):
        return None
    ids = np.array([item.id for item in items])
    graph = coo_array((np.ones(len(pairs), dtype=np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(ids), len(ids)))
    part = connected_components(graph, directed=False)[1]
    return joined(ids, part.astype(np.str_))


def overlapping_pairs(items: Sequence[Item]) -> Indices:
    """Return (m, 2) positions of samples with overlapping footprints, at least one pair per cluster of them.

    For equal footprints, only pairs with the first are returned, because there can be very many.
    """
    places = [(number, item.box) for number, item in enumerate(items) if item.box is not None]
    first: dict[tuple[float, float, float, float], int] = {}
    equal = [(first.setdefault(box, number), number) for number, box in places]
    parts = [(number, part) for box, number in first.items() for part in _parts(box)]
    owners = np.array([number for number, _ in parts], dtype=np.int64)
    boxes = np.array([part for _, part in parts], dtype=np.float64).reshape(-1, 4)
    shapes = shapely.box(*boxes.T)
    left, right = shapely.STRtree(shapes).query(shapes, predicate="intersects")
    left, right = left[left < right], right[left < right]
    sides = np.minimum(boxes[left, 2:], boxes[right, 2:]) - np.maximum(boxes[left, :2], boxes[right, :2])
    area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    kept = np.prod(np.maximum(sides, 0), axis=1) > OVERLAP * np.minimum(area[left], area[right])
    pairs = np.stack([owners[left[kept]], owners[right[kept]]], axis=1)
    same = np.array([pair for pair in equal if pair[0] != pair[1]], dtype=np.int64).reshape(-1, 2)
    return np.concatenate([pairs[pairs[:, 0] != pairs[:, 1]], same])


def _parts(box: tuple[float, float, float, float]) -> list[tuple[float, float, float, float]]:
    """Return a footprint as one box, or as two if it crosses the antimeridian."""
    west, south, east, north = box
    if west <= east:
        return [box]
    return [(west, south, 180.0, north), (-180.0, south, east, north)]
