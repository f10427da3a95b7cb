"""Weights of unverified provenance: marked wherever they are shown with others, and counted nowhere."""

from pathlib import Path

import pytest

from geofm_eval.catalog import Case, load_catalog
from geofm_eval.catalog.marking import markers
from geofm_eval.errors import ContractError
from geofm_eval.records import Inputs, Record, display_name, figure_name, marks_legend, write_record
from geofm_eval.report.advice import advised
from geofm_eval.report.collation import collate
from geofm_eval.report.probes.curves import depth_profiles
from geofm_eval.report.probes.figures import _draw_profile, _lines
from geofm_eval.report.trainings.figures import pareto_figure
from geofm_eval.report.trainings.pareto import pareto_table
from geofm_eval.report.web.palette import styles_of
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.results.scope import probed
from geofm_eval.results.trainings import comparable_trainings
from geofm_eval.results.units import unit_of
from tests.collating import CATALOG, CONTROL, MODEL, change, no_figures, small_run
from tests.planted import advice as planted_advice

ENTRY = """
[models.mine]
like = "mae_vits16"
title = "Mine"
weights = {{ file = "weights/mine.safetensors" }}
{more}
"""
WHY = "the package does not say whether the backbone was frozen"
GIVEN = f'provenance = "unverified"\nprovenance_reason = "{WHY}"'


def unverified(record: Record) -> Record:
    case = record.case.model_copy(update={"markers": (*record.case.markers, "unverified")})
    provenance = record.provenance.model_copy(update={"weights_unverified": WHY})
    return record.model_copy(update={"case": case, "provenance": provenance})


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose only model that is no control has weights of unverified provenance."""
    made = small_run(tmp_path)
    for tap in MODEL.taps:
        change(made, MODEL, tap, unverified)
    return made


def test_an_entry_says_why_and_its_random_twin_is_verified(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(ENTRY.format(more=GIVEN), encoding="utf-8")
    catalog = load_catalog([tmp_path / "mine.toml"])
    case = Case("probe", "mine", "eurosat", "linear", "final")
    assert "unverified" in markers(case, catalog)
    assert catalog.model("mine_random").provenance == "verified"
    assert "unverified" not in markers(Case("probe", "mine_random", "eurosat", "linear", "final"), catalog)


@pytest.mark.parametrize("more", ['provenance = "unverified"', 'provenance_reason = "why"'])
def test_the_word_and_the_reason_go_together(tmp_path: Path, more: str) -> None:
    (tmp_path / "mine.toml").write_text(ENTRY.format(more=more), encoding="utf-8")
    with pytest.raises(ContractError, match="needs provenance_reason, and the reverse"):
        load_catalog([tmp_path / "mine.toml"])


def test_marks_say_control_and_unverified_and_the_legend_says_why(run: Path) -> None:
    records = {record.case.model: record for record in read_run(run).records}
    own, control = records[MODEL.slug], records[CONTROL.slug]
    assert display_name(own) == display_name(own, short=True) == figure_name(own) == f"{MODEL.slug} (u)"
    assert (display_name(control), display_name(control, short=True)) == (
        f"{CONTROL.slug} (control)",
        f"{CONTROL.slug} (c)",
    )
    assert figure_name(control) == CONTROL.slug
    assert marks_legend([control]) == []
    (sentence,) = marks_legend([own, control, own])
    assert sentence.startswith("(u) weights of unverified provenance")
    assert f"{MODEL.slug}: {WHY}" in sentence


def test_tables_and_terminal_mark_it_with_a_legend(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_figures(monkeypatch)
    text = collate(run, CATALOG).text
    assert f"{MODEL.slug} (u)" in text
    assert "(u) weights of unverified provenance" in text
    for name in ("ranking", "depth", "labels"):
        table = (run / "tables" / f"eurosat_sim-linear-{name}.md").read_text(encoding="utf-8")
        assert f"{MODEL.slug} (u)" in table
        assert WHY in table


def test_findings_set_it_aside(run: Path) -> None:
    asides = {one.subject.model: one.aside for one in probed(read_run(run), CATALOG)}
    assert asides[MODEL.slug] == ("weights of unverified provenance",)


def test_figures_hatch_it(run: Path) -> None:
    from matplotlib.figure import Figure

    (comparison,), _ = comparisons(read_run(run))
    lines = _lines(comparison.subjects, styles_of(one.record for one in comparison.subjects))
    hatches = {}
    for profile in depth_profiles(rank(comparison, Pairs(run))):
        axis = Figure().subplots()
        line = lines[profile.subject.model]
        name, *_ = _draw_profile(axis, profile, unit_of(comparison), line, shaded=True)
        hatches[name] = {band.get_hatch() for band in axis.patches}
    assert hatches.pop(f"{MODEL.slug} (u)") == {"////"}
    assert set().union(*hatches.values()) <= {None}


def mostly_filled(record: Record) -> Record:
    inputs = Inputs(
        expected_bands=("B02", "B03", "B04"), real_bands=("B02",), filled_bands=("B03", "B04"),
        product_expected="L1C", product_found="L1C", product_mismatch=False,
    )  # fmt: skip
    return record.model_copy(update={"provenance": record.provenance.model_copy(update={"inputs": inputs})})


def test_the_group_of_the_best_names_models_with_their_marks(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_figures(monkeypatch)
    for tap in MODEL.taps:
        change(run, MODEL, tap, lambda record: mostly_filled(unverified(record)))
    lines = collate(run, CATALOG).text.splitlines()
    start = next(number for number, line in enumerate(lines) if "group of the best" in line)
    shown = f"{MODEL.slug} (u) (marked)"
    assert lines[start + 1].count(shown) == 2  # alone in the first group, and the most likely best
    legend = f"(marked) more than half of its bands are filled, excluded from findings and verdicts ({MODEL.slug})."
    assert f"  {legend}" in lines


PLANTED = ((0.5, 0.6, 0.7, 0.71, 0.72), (0.5, 0.6, 0.7, 0.71, 0.72))


def planted(folder: Path, edit: object = None) -> Path:
    """Probes of two models, of which one is verified."""
    planted_advice.probes(folder, *PLANTED, model="galileo_nano")
    planted_advice.probes(folder, *PLANTED)
    for record in read_run(folder).records:
        if record.case.model == planted_advice.MODEL and callable(edit):
            write_record(edit(record), None, folder)
    return folder


@pytest.mark.parametrize(
    ("edit", "why"),
    [(unverified, "weights of unverified provenance"), (mostly_filled, "more than half of its bands are filled")],
)
def test_advice_sets_it_aside_unless_it_is_named(tmp_path: Path, edit: object, why: str) -> None:
    own = planted(tmp_path / "run", edit)
    everything = advised(own, CATALOG, planted_advice.TASK)
    assert [advice.model for advice in everything.advices] == ["galileo_nano"]
    aside = f"Models excluded from verdicts get advice only if --model names them: pocket_mae ({why})."
    assert aside in everything.text()
    named = advised(own, CATALOG, planted_advice.TASK, planted_advice.MODEL)
    assert [advice.model for advice in named.advices] == [planted_advice.MODEL]
    assert f"{planted_advice.MODEL}: {why}; excluded from verdicts." in named.text()
    (tmp_path / "plain").mkdir()
    assert "count for no verdict" not in advised(planted(tmp_path / "plain"), CATALOG, planted_advice.TASK).text()


def test_score_against_cost_hatches_and_marks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    for adaptation, right in (("lightms_frozen_p100", 0.7), ("lightms_full_p100", 0.8)):
        record = planted_advice.trained(tmp_path / "run", adaptation, "multi", right, right, outcomes=False)
        if "full" in adaptation:
            write_record(unverified(record), None, tmp_path / "run")
    (trained,), _ = comparable_trainings(read_run(tmp_path / "run"))
    hatches = []
    plain = Axes.scatter
    monkeypatch.setattr(Axes, "scatter", lambda *a, **k: hatches.append(k["hatch"]) or plain(*a, **k))
    styles = styles_of(cell.record for cell in trained.cells)
    pareto_figure(trained, CATALOG, styles, tmp_path / "pareto.png")
    assert sorted(hatches, key=str) == ["////", None]
    table = pareto_table(trained, CATALOG)
    assert table is not None
    assert [row[1] for row in table.grid if "(u)" in row[1]] == [f"{planted_advice.MODEL} (u)"]
