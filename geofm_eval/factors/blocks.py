"""The largest complete block of a table with gaps: levels of every factor with all of their combinations."""

import functools
import itertools
import math
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

Combination = tuple[str, ...]
"""One level of every factor."""


def largest_block(present: Collection[Combination]) -> tuple[tuple[str, ...], ...]:
    """Return levels of every factor, in the order of their names, such that all of their combinations are ``present``.

    The block with most cells is taken, then most varying factors, then most levels, then the first by name; the content
    of cells is ignored. Levels that occur in the same combinations of the others are kept or left out together, so
    few sets have to be tried. Without any combination there is no factor.
    """
    combinations = set(present)
    if not combinations:
        return ()
    alike = [_alike(combinations, axis) for axis in range(len(next(iter(combinations))))]
    # For the factor with most kinds of levels, all that fit the others are taken, so its sets need not be tried.
    last = max(range(len(alike)), key=lambda axis: (len(alike[axis]), axis))

    def size(levels: Sequence[Sequence[str]]) -> tuple[int, int, int]:
        counts = [len(own) for own in levels]
        return math.prod(counts), sum(count > 1 for count in counts), sum(counts)

    best = max(_blocks(combinations, alike, last), key=size)
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
        # One level represents its group.
        corners = itertools.product(*([levels[0] for levels in groups] for groups in chosen))
        common = functools.reduce(lambda known, corner: known & at.get(corner, 0), corners, -1)
        if common:
            kept = [levels for number, levels in enumerate(alike[last]) if common >> number & 1]
            sets = [*chosen[:last], kept, *chosen[last:]]
            yield tuple(tuple(itertools.chain.from_iterable(groups)) for groups in sets)


def _subsets(groups: Sequence[tuple[str, ...]]) -> list[tuple[tuple[str, ...], ...]]:
    """List every non-empty set of groups, the fullest first: the first of equal blocks is kept."""
    sizes = range(len(groups), 0, -1)
    return [chosen for size in sizes for chosen in itertools.combinations(groups, size)]


def left_out(present: Collection[Combination], block: Sequence[Sequence[str]]) -> Mapping[int, tuple[str, ...]]:
    """Return levels that occur but are not in a block, by the position of their factor."""
    names = [sorted({combination[axis] for combination in present} - set(own)) for axis, own in enumerate(block)]
    return {axis: tuple(levels) for axis, levels in enumerate(names) if levels}
