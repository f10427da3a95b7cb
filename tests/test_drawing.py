"""What figures with many panels share."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from geofm_eval.report.drawing import name_ticks, new_figure, save

pytestmark = pytest.mark.fast

LONG, SHORT = ["embed", "00", "01", "final"], ["embed", "00", "final"]


def ticks_of(across: list[list[str]], up: list[list[str]] | None = None) -> tuple[list[list[str]], list[list[str]]]:
    """Names below and beside the panels of a grid of two columns."""
    panels = new_figure((4, 4), "a title").subplots(-(-len(across) // 2), 2, squeeze=False)
    name_ticks(panels, across, up)
    drawn = panels.ravel()[: len(across)]
    return tuple(
        [[tick.get_text() for tick in getattr(axis, f"{letter}axis").get_ticklabels()] for axis in drawn]
        for letter in "xy"
    )


def test_ticks_are_named_once_per_column_and_row():
    below, beside = ticks_of([LONG] * 4, [SHORT] * 4)
    assert below == [[], [], LONG, LONG]
    assert beside == [SHORT, [], SHORT, []]


def test_ticks_of_other_taps_are_named_again():
    below, beside = ticks_of([LONG, SHORT, SHORT, SHORT], [LONG, SHORT, SHORT, LONG])
    assert below == [LONG, [], SHORT, SHORT]
    assert beside == [LONG, SHORT, SHORT, LONG]


def test_a_column_that_ends_above_the_last_row_is_named_where_it_ends():
    assert ticks_of([LONG] * 3)[0] == [[], LONG, LONG]


def test_vertical_ticks_stay_as_they_are_without_names():
    assert all(ticks_of([LONG] * 2, None)[1])


def test_a_figure_has_the_layout_and_the_size_that_savefig_gives(tmp_path: Path):
    for name in ("once", "twice"):
        figure = new_figure((4, 3), "a title that does not fit one line of such a small figure at all")
        axis = figure.subplots()
        axis.plot([1, 3, 2])
        axis.set_ylabel("score")
        if name == "once":
            save(figure, tmp_path / "once.png", 110)
        else:
            figure.savefig(tmp_path / "twice.png", dpi=110)
    once, twice = imread(tmp_path / "once.png"), imread(tmp_path / "twice.png")
    assert once.shape[:2] == (330, 440)
    assert np.array_equal(once, twice)
