"""Values that are computed once."""

import pytest

from geofm_eval.memo import Memo, once

pytestmark = pytest.mark.fast


class Keeper:
    def __init__(self) -> None:
        self.known = Memo()
        self.calls = 0


@once
def doubled(keeper: Keeper, number: int, *, more: int = 0) -> list[int]:
    """Count the calls and double a number."""
    keeper.calls += 1
    return [2 * number + more]


def test_a_result_is_computed_once_for_equal_arguments():
    keeper = Keeper()
    assert doubled(keeper, 3) is doubled(keeper, 3)
    assert (doubled(keeper, 4), doubled(keeper, 3, more=1), keeper.calls) == ([8], [7], 3)


def test_two_things_share_no_results():
    first, second = Keeper(), Keeper()
    assert doubled(first, 3) is not doubled(second, 3)
    assert (first.calls, second.calls) == (1, 1)


def test_the_name_and_the_docstring_stay():
    assert (doubled.__name__, doubled.__doc__) == ("doubled", "Count the calls and double a number.")
