"""The largest complete block of a table with holes, against a search of all sets of levels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.factors.blocks import largest_block, left_out

LEVELS = ("abc", "xyz", "pq")
ALL = list(itertools.product(*LEVELS))


def sets(levels: str) -> list[tuple[str, ...]]:
    return [chosen for size in range(1, len(levels) + 1) for chosen in itertools.combinations(levels, size)]


def cells(block: tuple[tuple[str, ...], ...]) -> int:
    return int(np.prod([len(levels) for levels in block]))


def complete(block: tuple[tuple[str, ...], ...], present: set[tuple[str, ...]]) -> bool:
    return set(itertools.product(*block)) <= present


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(ALL), min_size=1))
def test_no_complete_block_is_larger(present):
    found = largest_block(present)
    assert complete(found, present)
    every = (block for block in itertools.product(*map(sets, LEVELS)) if complete(block, present))
    best = max(every, key=lambda block: (cells(block), sum(len(own) > 1 for own in block), sum(map(len, block))))
    assert cells(found) == cells(best)
    assert sum(len(own) > 1 for own in found) == sum(len(own) > 1 for own in best)


def test_a_complete_table_is_kept_whole_and_holes_cost_the_level_that_has_them():
    assert largest_block(ALL) == (("a", "b", "c"), ("x", "y", "z"), ("p", "q"))
    holed = [one for one in ALL if one[:2] != ("c", "z")]
    found = largest_block(holed)
    # Leaving out c or z costs as many cells: the first set by name stays.
    assert cells(found) == 12
    assert left_out(holed, found) in ({0: ("c",)}, {1: ("z",)})
    assert largest_block(list(reversed(holed))) == found


def test_many_levels_of_few_kinds_are_searched_at_once():
    tried = [(f"m{i:03d}", f"d{j}", f"t{k}") for i in range(200) for j in range(6) for k in range(3) if i < 150 or k]
    block = largest_block(tried)
    assert [len(levels) for levels in block] == [150, 6, 3]
    assert left_out(tried, block) == {0: tuple(f"m{i:03d}" for i in range(150, 200))}


@pytest.mark.parametrize("present", [[], [("a", "x", "p")]])
def test_nothing_and_a_single_cell(present):
    assert largest_block(present) == tuple((level,) for one in present for level in one)
