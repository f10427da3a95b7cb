import csv
import errno
import itertools
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.catalog import load_catalog
from geofm_eval.errors import DataError
from geofm_eval.metrics import Interval, paired_interval
from geofm_eval.records import Outcome, Record, append_skip, read_outcomes, read_record, record_path, write_record
from geofm_eval.report import choice, collate
from geofm_eval.report import collation as collation_module
from geofm_eval.report.choice import choose_tap
from geofm_eval.report.comparison import Subject
from geofm_eval.report.figures import spread
from geofm_eval.report.formats import Table, latex, to_csv, to_latex, to_markdown
from geofm_eval.report.ranking import Ranking
from geofm_eval.report.terminal import sparkbar
from geofm_eval.store import StoreError
from tests.synthetic_run import MODELS, Synthetic, make_record, write_run

GOLDEN = Path(__file__).parent / "golden"
SMALL = tuple(model for model in MODELS if model.slug in {"galileo_nano", "galileo_nano_random", "band_stats"})
MODEL, CONTROL = SMALL[0], SMALL[1]
CATALOG = load_catalog()


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a collation, and most tests look at words."""
    for name in ("depth_figure", "label_figure"):
        monkeypatch.setattr(collation_module, name, lambda *_: None)


@pytest.fixture
def run(tmp_path: Path, without_figures: None) -> Path:
    """A run of three models on one simulated task."""
    return write_run(tmp_path / "small", SMALL, ("eurosat_sim",), ("linear",))


def change(run: Path, model: Synthetic, tap: str, edit: Callable[[Record], Record], task: str = "eurosat_sim") -> Path:
    """Rewrite one record of a run, with its outcomes where it keeps its scores."""
    path = record_path(run, "probe", f"{model.slug}-{task}-linear-{tap}")
    _, outcomes = make_record(model, task, "linear", tap)
    record = edit(read_record(path))
    return write_record(record, outcomes if record.scores else None, run)


def fail(record: Record, status: str = "error", keep: bool = False) -> Record:
    outcome = Outcome(status=status, verdict="no_range", reason="AssertionError: the solver did not converge")
    return record.model_copy(update={"outcome": outcome, **({} if keep else {"scores": {}})})


def with_source(record: Record, **changes: object) -> Record:
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=changes)})


def rows_of(ranking: Ranking) -> dict[str, int]:
    return {row.subject.model: row.rank for row in ranking.rows}


def page(run: Path) -> str:
    return (run / "tables" / "README.md").read_text(encoding="utf-8")


def subject_of(val_scores: list[float], test_scores: list[float]) -> Subject:
    model = Synthetic("m", val_scores if len(val_scores) != 1 else (0.5,))
    taps = {}
    for tap, val, test in zip(model.taps, val_scores, test_scores, strict=True):
        record, _ = make_record(model, "eurosat_sim", "linear", tap)
        assert record.selection is not None
        choices = tuple(c.model_copy(update={"val_score": val}) for c in record.selection.choices)
        scores = {"1.0": record.scores["1.0"].model_copy(update={"value": test})}
        selection = record.selection.model_copy(update={"choices": choices})
        taps[tap] = record.model_copy(update={"scores": scores, "selection": selection})
    return Subject("m", taps, {})


# -- selection and ranks


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.floats(0, 1)), min_size=2, max_size=6))
def test_validation_alone_chooses_the_tap_and_ties_go_to_the_shallower(scores: list[tuple[float, float]]):
    vals, tests = [val for val, _ in scores], [test for _, test in scores]
    subject = subject_of(vals, tests)
    chosen = choose_tap(subject, "1.0")
    assert chosen is not None
    first_best = vals.index(max(vals))
    assert chosen.tap == list(subject.taps)[first_best]
    assert chosen.score.value == tests[first_best]
    assert chosen.candidates == len(vals)


def test_the_mean_over_draws_decides_below_all_labels():
    subject = subject_of([0.5, 0.5], [0.3, 0.4])
    record = subject.taps["final"]
    assert record.selection is not None
    one = record.selection.choices[0]
    values = enumerate((0.2, None, 0.9))
    other = [one.model_copy(update={"fraction": 0.1, "draw": draw, "val_score": value}) for draw, value in values]
    selection = record.selection.model_copy(update={"choices": tuple(other)})
    assert choice.val_score(record.model_copy(update={"selection": selection}), "0.1") == pytest.approx(0.55)
    assert choice.val_score(record.model_copy(update={"selection": selection}), "1.0") is None


def test_ranks_gains_and_paired_intervals(run: Path):
    (ranking,) = collate(run).rankings
    assert sorted(rows_of(ranking).values()) == [1, 2, 3]
    top = ranking.rows[0]
    assert top.subject.model == "galileo_nano"
    assert top.final is not None
    assert top.gain is not None
    assert top.gain.value == pytest.approx(top.chosen.score.value - top.final.value)
    assert top.over_control is not None
    assert top.control in {"band_stats", "galileo_nano_random"}
    control = next(row for row in ranking.rows if row.subject.model == top.control)
    assert top.over_control.value == pytest.approx(top.chosen.score.value - control.chosen.score.value)
    a, b = (read_outcomes(run, row.subject.taps[row.chosen.tap]) for row in (top, control))
    assert a is not None
    assert b is not None
    expected = paired_interval(a.correct["1.0"], b.correct["1.0"], seed=7)
    assert expected is not None
    assert (top.over_control.low, top.over_control.high) == (expected.low, expected.high)
    assert control.over_control is None


def test_the_best_control_is_chosen_on_validation_and_equal_scores_share_a_rank(tmp_path: Path, without_figures: None):
    twins = (MODEL, Synthetic("rcf", (0.6,), control=True), Synthetic("band_stats", (0.6,), control=True))
    run = write_run(tmp_path / "twins", twins, ("eurosat_sim",), ("linear",))
    score = make_record(twins[1], "eurosat_sim", "linear", "final")[0].scores

    def same_score(val: float) -> Callable[[Record], Record]:
        def edit(record: Record) -> Record:
            assert record.selection is not None
            choices = tuple(c.model_copy(update={"val_score": val}) for c in record.selection.choices)
            selection = record.selection.model_copy(update={"choices": choices})
            return record.model_copy(update={"scores": score, "selection": selection})

        return edit

    change(run, twins[1], "final", same_score(0.4))
    change(run, twins[2], "final", same_score(0.7))
    (ranking,) = collate(run).rankings
    assert rows_of(ranking) == {"galileo_nano": 1, "rcf": 2, "band_stats": 2}
    assert ranking.control == "band_stats"


def test_a_model_of_one_tap_has_no_gain(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "one", SMALL[2:], ("eurosat_sim",), ("linear",))
    collation = collate(run)
    (row,) = collation.rankings[0].rows
    assert row.gain is None
    assert row.over_control is None
    assert row.chosen.candidates == 1
    assert collation.problems == ()
    assert "band_stats (c)" in collation.text


# -- runs that are not whole


def test_an_interrupted_run_ranks_complete_models_and_names_the_others(run: Path):
    for tap in ("block02", "final"):
        for suffix in (".json", ".npz"):
            record_path(run, "probe", f"galileo_nano-eurosat_sim-linear-{tap}").with_suffix(suffix).unlink()
    collation = collate(run)
    (ranking,) = collation.rankings
    assert "galileo_nano" not in rows_of(ranking)
    assert "2 taps without a score" in ranking.dropped["galileo_nano"]
    assert "2 of 13 planned cases have no record" in collation.text
    assert "galileo_nano-eurosat_sim-linear (block02, final): no record" in page(run)
    profile = (run / "figures" / "eurosat_sim-linear-depth.csv").read_text(encoding="utf-8")
    assert "galileo_nano,false,1.0,block03" in profile


def test_a_truncated_record_is_named_in_the_problems(run: Path):
    path = record_path(run, "probe", "galileo_nano_random-eurosat_sim-linear-block01")
    path.write_bytes(path.read_bytes()[:333])
    collation = collate(run)
    assert any(str(path) in problem for problem in collation.problems)
    assert str(path) in page(run)
    assert "galileo_nano_random" in collation.rankings[0].dropped
    assert rows_of(collation.rankings[0]) == {"galileo_nano": 1, "band_stats": 2}


def test_a_case_that_stopped_with_an_error_drops_its_model(run: Path):
    change(run, MODEL, "block01", fail)
    collation = collate(run)
    assert "block01: error: AssertionError" in collation.rankings[0].dropped["galileo_nano"]
    assert "Not ranked: galileo_nano" in (run / "tables" / "eurosat_sim-linear-ranking.md").read_text(encoding="utf-8")
    assert "1 error" in collation.text


def test_a_case_that_failed_keeps_its_score_and_a_footnote(run: Path):
    change(run, MODEL, "block01", lambda record: fail(record, "failed", keep=True))
    collation = collate(run)
    assert rows_of(collation.rankings[0])["galileo_nano"] == 1
    table = (run / "tables" / "eurosat_sim-linear-ranking.md").read_text(encoding="utf-8")
    assert "1 of its cases failed, the first with: AssertionError: the solver did not converge" in table


def test_skipped_models_are_named_with_the_cure(run: Path):
    for tap in ("embed", "final"):
        append_skip(run, "gw0", f"mae_vits16-eurosat_sim-linear-{tap}", "weights", "mae.pth", "Fetch mae.pth.")
    append_skip(run, "gw1", "galileo_nano-eurosat_sim-linear-embed", "weights", "old news", "None.")
    collation = collate(run)
    assert "weights unavailable: mae.pth" in collation.rankings[0].dropped["mae_vits16"]
    assert "2 cases: weights unavailable: mae.pth. Fetch mae.pth." in page(run)
    assert "old news" not in page(run), "a case that has a record was skipped by an earlier session"


def test_a_run_of_skips_alone_still_has_a_page(tmp_path: Path):
    append_skip(tmp_path / "run", "main", "a-b-linear-final", "data", "data/b", "Unpack it.")
    collation = collate(tmp_path / "run")
    assert collation.rankings == ()
    assert "1 skipped" in collation.text
    assert "Unpack it." in collation.index.read_text(encoding="utf-8")


@pytest.mark.parametrize("harm", ["absent", "foreign", "never written"])
def test_without_outcomes_a_difference_has_no_interval_and_says_so(run: Path, harm: str):
    ranking = collate(run).rankings[0]
    tap = ranking.rows[0].chosen.tap
    case_id = f"galileo_nano-eurosat_sim-linear-{tap}"
    if harm == "absent":
        record_path(run, "probe", case_id).with_suffix(".npz").unlink()
    elif harm == "never written":
        write_record(read_record(record_path(run, "probe", case_id)), None, run)
    else:
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
        write_record(record, {**outcomes, "ids": np.array([f"River_{i}" for i in range(400)])}, run)
    collation = collate(run)
    over = collation.rankings[0].rows[0].over_control
    assert over is not None
    assert over.value == ranking.rows[0].over_control.value
    assert over.low is None
    assert any(case_id in problem and "interval" in problem for problem in collation.problems)


# -- what may not stand in one table


def test_simulated_and_real_data_never_share_a_table(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "mixed", SMALL, ("eurosat_sim", "eurosat_rgb"), ("linear",))
    collation = collate(run)
    assert [ranking.comparison.slug for ranking in collation.rankings] == ["eurosat_rgb-linear", "eurosat_sim-linear"]
    assert collation.problems == ()
    for path in (run / "tables").glob("eurosat_*"):
        text = path.read_text(encoding="utf-8")
        assert ("simulated" in text.lower()) == ("_sim" in path.name), path.name
    first_lines = [p.read_text(encoding="utf-8").splitlines()[0] for p in (run / "tables").glob("eurosat_sim*.md")]
    assert all("SIMULATED DATA" in line for line in first_lines)
    assert page(run).index("eurosat_rgb-linear-ranking.md") < page(run).index("## SIMULATED DATA")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipe", {"slug": "probing", "fill": "band_mean"}),
        ("items_sha256", {"test": "0" * 64}),
        ("labels_sha256", {"test": "0" * 64}),
        ("split_definition", "custom"),
    ],
)
def test_what_is_not_comparable_is_split_and_named(run: Path, field: str, value: object):
    change(run, SMALL[2], "final", lambda record: with_source(record, **{field: value}))
    collation = collate(run)
    assert [rows_of(ranking) for ranking in collation.rankings] == [
        {"galileo_nano": 1, "galileo_nano_random": 2},
        {"band_stats": 1},
    ]
    (problem,) = collation.problems
    assert f"records differ in {field} and are not comparable" in problem
    assert "eurosat_sim-linear-2: band_stats" in problem
    assert (run / "tables" / "eurosat_sim-linear-2-ranking.md").exists()


def test_one_evidence_class_per_table(run: Path):
    change(run, SMALL[2], "final", lambda record: record.model_copy(update={"evidence": "published"}))
    collation = collate(run)
    assert "differ in evidence" in collation.problems[0]
    assert {ranking.comparison.simulated for ranking in collation.rankings} == {True, False}


def test_a_model_of_two_weight_files_is_left_out(run: Path):
    change(run, MODEL, "final", lambda record: with_source(record, weights_sha256="f" * 64))
    collation = collate(run)
    assert "measured with different weights" in collation.rankings[0].dropped["galileo_nano"]
    assert "galileo_nano is left out" in collation.problems[0]


def test_without_validation_no_tap_is_chosen(run: Path):
    def blind(record: Record) -> Record:
        assert record.selection is not None
        choices = tuple(
            c.model_copy(update={"val_kind": "none", "val_score": None} if c.fraction < 0.1 else {})
            for c in record.selection.choices
        )
        return record.model_copy(update={"selection": record.selection.model_copy(update={"choices": choices})})

    for model in SMALL:
        for tap in model.taps:
            change(run, model, tap, blind)
    collate(run)
    table = (run / "tables" / "eurosat_sim-linear-labels.md").read_text(encoding="utf-8")
    assert "too few labels for a validation score" in table
    with (run / "figures" / "eurosat_sim-linear-labels.csv").open(encoding="utf-8") as file:
        assert {row["fraction"] for row in csv.DictReader(file)} == {"0.1", "1.0"}


# -- output


def test_tables_are_golden(run: Path, monkeypatch: pytest.MonkeyPatch):
    """To renew: GEOFM_RENEW=1 pytest tests/test_collate.py -k golden, then read the difference."""
    monkeypatch.setattr(choice, "paired_interval", lambda a, b, *_, **__: Interval(-0.01, 0.02, 0.95, "fixed", "items"))
    collation = collate(run, CATALOG)
    text = collation.text.replace(str(run), "RUN")
    names = ("ranking.md", "ranking.csv", "ranking.tex", "depth.md", "labels.md")
    found = {f"eurosat_sim-linear-{n}": (run / "tables" / f"eurosat_sim-linear-{n}").read_text("utf-8") for n in names}
    found |= {"text.txt": text + "\n", "index.md": page(run)}
    for name, content in found.items():
        golden = GOLDEN / "tables" / name
        if os.environ.get("GEOFM_RENEW"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(content, encoding="utf-8")
        assert content == golden.read_text(encoding="utf-8"), name


def test_two_collations_are_equal_and_stale_files_are_removed(run: Path):
    collate(run)
    before = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    (run / "tables" / "gone-linear-ranking.md").write_text("stale", encoding="utf-8")
    (run / "tables" / "notes.txt").write_text("the user's own", encoding="utf-8")
    collate(run)
    after = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    assert after.pop("notes.txt") == b"the user's own"
    assert after == before


def test_every_link_of_the_page_leads_somewhere_and_every_model_is_credited(tmp_path: Path):
    run = write_run(tmp_path / "linked", SMALL, ("eurosat_sim", "eurosat_rgb"), ("linear",))
    collation = collate(run)
    links = re.findall(r"\]\(([^)]+)\)", page(run))
    assert len(links) == 24
    assert all((collation.index.parent / link).is_file() for link in links)
    assert "galileo_nano: Galileo nano; licence MIT; Tseng et al. 2025" in page(run)
    assert "eurosat_rgb: EuroSAT, RGB edition; licence MIT; Helber et al. 2019" in page(run)
    for figure in (run / "figures").glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")
        assert figure.stat().st_size > 20_000


def test_no_output_holds_nan(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "partial", SMALL, ("eurosat_sim",), ("linear", "knn"))
    change(run, MODEL, "final", fail)
    collate(run)
    for path in (*(run / "tables").iterdir(), *(run / "figures").glob("*.csv")):
        words = re.findall(r"[A-Za-z]+", path.read_text(encoding="utf-8").lower())
        assert not {"nan", "none", "inf"} & set(words), path.name


def test_csv_holds_what_the_records_hold(run: Path):
    collate(run)
    with (run / "figures" / "eurosat_sim-linear-labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "galileo_nano" and row["fraction"] == "0.1"]
    record = read_record(record_path(run, "probe", f"galileo_nano-eurosat_sim-linear-{rows[0]['tap']}"))
    assert [float(row["draw_score"]) for row in rows] == list(record.scores["0.1"].per_draw)
    assert {row["n_train"] for row in rows} == {"200"}
    assert {row["evidence"] for row in rows} == {"simulated"}


def test_a_model_that_the_catalog_lacks_is_listed_with_the_cure(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "own", (Synthetic("mine", (0.5, 0.7, 0.6)),), ("eurosat_sim",), ("linear",))
    collate(run)
    assert "mine: not in the catalog: give the file that defines it with --catalog" in page(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no such run"):
        collate(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no records"):
        collate(tmp_path)


def test_a_full_disk_is_named(run: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="disk is full"):
        collate(run)


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
