"""The pieces of output: formats of a table, labels of a figure, bars."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.report.formats import Table, latex, to_csv, to_latex, to_markdown
from geofm_eval.report.probes.figures import spread
from geofm_eval.report.probes.terminal import sparkbar

pytestmark = pytest.mark.fast


def test_formats_escape_what_they_must():
    table = Table("s", "50 % of a_b", ("x|y", "z"), (("[1, 2]", "a & b"),), footnotes=("f_1",), notes=("note",))
    assert r"| x\|y | z |" in to_markdown(table)
    assert "1. f_1" in to_markdown(table)
    assert r"{[1, 2]} & {a \& b} \\" in to_latex(table)
    assert r"\caption{50 \% of a\_b}" in to_latex(table)
    assert latex("~^\\") == r"\textasciitilde{}\textasciicircum{}\textbackslash{}"
    assert to_csv([{"a": None, "b": True, "c": 0.1, "d": "x,y"}]) == 'a,b,c,d\n,true,0.1,"x,y"\n'
    assert to_csv([]) == ""


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.floats(0.1, 20))
def test_labels_are_moved_apart_and_keep_their_order(values: list[float], gap: float):
    places = spread(sorted(values), gap)
    assert all(b - a >= gap - 1e-6 for a, b in itertools.pairwise(places))
    assert sum(places) == pytest.approx(sum(values), abs=1e-6)


@pytest.mark.parametrize(("value", "bar"), [(0.0, "▁"), (0.5, "▅"), (1.0, "█")])
def test_sparkbars_span_the_range(value: float, bar: str):
    assert sparkbar(value, 0.0, 1.0) == bar
    assert sparkbar(0.3, 0.3, 0.3) == "█"
