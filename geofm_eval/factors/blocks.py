"""The largest complete block of a table with holes: which levels of every factor have all of their combinations."""

import functools
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

Combination = tuple[str, ...]
"""One level of every factor."""


def largest_block(present: Collection[Combination]) -> tuple[tuple[str, ...], ...]:
    """Levels of every factor, such that all of their combinations are present, and as many as can be.

    Of blocks of one size the one that varies more factors is taken, then the one of more levels, then the first by
    name. What was measured in a cell has no say. Levels that are present in the same combinations of the others stand
    or fall together, so that few sets of them have to be tried.

    Args:
        present: combinations that exist, all of the same factors.

    Returns:
        Per factor its levels in the order of their names; no level of any factor where nothing is present.
    """
    combinations = set(present)
    if not combinations:
        return ()
    alike = [_alike(combinations, axis) for axis in range(len(next(iter(combinations))))]
    # Of the factor with most kinds of levels all that fit the others are taken: its sets need no trying.
    last = max(range(len(alike)), key=lambda axis: (len(alike[axis]), axis))
    best = max(_blocks(combinations, alike, last), key=_size)
    return tuple(tuple(sorted(levels)) for levels in best)


def _alike(present: Collection[Combination], axis: int) -> list[tuple[str, ...]]:
    """Group the levels of a factor that occur with the same levels of the others."""
    partners: defaultdict[str, set[Combination]] = defaultdict(set)
    for combination in present:
        partners[combination[axis]].add(combination[:axis] + combination[axis + 1 :])
    groups: defaultdict[frozenset[Combination], list[str]] = defaultdict(list)
    for level in sorted(partners):
        groups[frozenset(partners[level])].append(level)
    return [tuple(levels) for levels in groups.values()]


def _blocks(
    present: Collection[Combination], alike: Sequence[Sequence[tuple[str, ...]]], last: int
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Yield every complete block that could not take another level of the ``last`` factor."""
    at: defaultdict[Combination, int] = defaultdict(int)
    for number, levels in enumerate(alike[last]):
        for combination in present:
            if combination[last] == levels[0]:
                at[combination[:last] + combination[last + 1 :]] |= 1 << number
    others = [groups for axis, groups in enumerate(alike) if axis != last]
    for chosen in itertools.product(*map(_subsets, others)):
        # One of a group of levels stands for the others.
        corners = itertools.product(*([levels[0] for levels in groups] for groups in chosen))
        common = functools.reduce(lambda known, corner: known & at.get(corner, 0), corners, -1)
        if common:
            kept = [levels for number, levels in enumerate(alike[last]) if common >> number & 1]
            sets = [*chosen[:last], kept, *chosen[last:]]
            yield tuple(tuple(itertools.chain.from_iterable(groups)) for groups in sets)


def _subsets(groups: Sequence[tuple[str, ...]]) -> list[tuple[tuple[str, ...], ...]]:
    """List every set of groups but the empty one, the fullest first: of equal blocks the first is kept."""
    sizes = range(len(groups), 0, -1)
    return [chosen for size in sizes for chosen in itertools.combinations(groups, size)]


def _size(levels: Sequence[Sequence[str]]) -> tuple[int, int, int]:
    counts = [len(own) for own in levels]
    return functools.reduce(lambda a, b: a * b, counts, 1), sum(count > 1 for count in counts), sum(counts)


def left_out(present: Collection[Combination], block: Sequence[Sequence[str]]) -> Mapping[int, tuple[str, ...]]:
    """Levels that occur and are not in a block, by the position of their factor."""
    names = [sorted({combination[axis] for combination in present} - set(own)) for axis, own in enumerate(block)]
    return {axis: tuple(levels) for axis, levels in enumerate(names) if levels}
