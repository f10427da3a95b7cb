"""The pieces of output: formats of a table, labels of a figure, bars."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.records import IntervalInfo, Record, Score
from geofm_eval.report.formats import Column, Table, ends, latex, listed, to_csv, to_latex, to_markdown
from geofm_eval.report.probes.figures import spread
from geofm_eval.report.probes.terminal import sparkbar
from geofm_eval.results.units import MetricFormat
from geofm_eval.stats.difference import Difference
from tests.synthetic_run import Synthetic, make_record

UNIT = MetricFormat("mIoU", "%", 100.0, 1)


@pytest.fixture
def table() -> Table[Synthetic]:
    """One row per model, with a cell of every type."""
    scores = {"a_model": 0.842, "a_control": 0.5}
    gains = {"a_model": Difference(0.022, 0.004, 0.04)}

    def record(model: Synthetic) -> Record:
        return make_record(model, "eurosat_sim", "linear", "final")[0]

    def score(model: Synthetic) -> Score:
        ends = IntervalInfo(low=0.81, high=0.872, method="m", covers="items")
        return Score(
            metric="miou", value=scores[model.slug], per_draw=(scores[model.slug],), n=9, n_train=5,
            interval=None if model.control else ends,
        )  # fmt: skip

    columns: list[Column[Synthetic]] = [
        Column(
            "model",
            lambda model: make_record(model, "eurosat_sim", "linear", "final")[0],
            "model control",
            short="model",
        ),
        Column("mIoU (%) [interval]", score, "score low high", short="score [interval]", right=True),
        Column("gain", lambda model: gains.get(model.slug), ends("gain"), short="gain"),
        Column("ceiling", lambda model: 0.95, "ceiling"),
        Column("MB", lambda model: 12, "size", "{:.1f}".format),
        Column("chosen", lambda model: not model.control, "chosen"),
        Column(None, lambda model: {"taps": len(model.taps), "licence": None}),
        Column("notes", lambda model: ("real bands: 10",) if model.control else ("x|y", "real bands: 10")),
    ]
    models = (Synthetic("a_model", (0.1, 0.2, 0.3)), Synthetic("a_control", (0.5,), control=True))
    return Table("slug", "50 % of a_b", columns, models, UNIT, ("[a note] & more",))


def test_one_table_is_rendered_to_all_formats_from_the_same_cells(table: Table[Synthetic]):
    assert to_markdown(table) == (
        "# 50 % of a_b\n"
        "\n"
        "| model | mIoU (%) [interval] | gain | ceiling | MB | chosen | notes |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n"
        "| a_model | 84.2 [81.0, 87.2] | +2.2 [+0.4, +4.0] | 95.0 | 12.0 | yes | 1 2 |\n"
        "| a_control (control) | 50.0 | - | 95.0 | 12.0 |  | 2 |\n"
        "\n"
        "1. x|y\n"
        "2. real bands: 10\n"
        "\n"
        "- [a note] & more\n"
    )
    latex_rows = [line for line in to_latex(table).splitlines() if line.startswith("{")]
    assert latex_rows[1] == (
        r"{a\_model} & {84.2 [81.0, 87.2]} & {+2.2 [+0.4, +4.0]} & {95.0} & {12.0} & {yes} & {1 2} \\"
    )
    assert to_csv(table.data()) == (
        "model,control,score,low,high,gain,gain_low,gain_high,ceiling,size,chosen,taps,licence\n"
        "a_model,false,0.842,0.81,0.872,0.022,0.004,0.04,0.95,12,true,3,\n"
        "a_control,true,0.5,,,,,,0.95,12,false,1,\n"
    )
    assert table.lines() == [
        "  model           score [interval]  gain",
        "  a_model        84.2 [81.0, 87.2]  +2.2 [+0.4, +4.0]",
        "  a_control (c)               50.0  -",
    ]
    assert table.lines(most=1)[1:] == [
        "  a_model  84.2 [81.0, 87.2]  +2.2 [+0.4, +4.0]",
        "  and 1 more in the tables",
    ]


pytestmark = pytest.mark.fast


def test_formats_escape_what_they_must():
    table = Table("s", "50 % of a_b", listed("x|y", "z"), [("[1, 2]", "a & b")], notes=("note",))
    assert r"| x\|y | z |" in to_markdown(table)
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
