"""How many taps are as good as the chosen one, and the interval of a gain whose tap was chosen."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.report.collation import collate
from geofm_eval.results.comparison import Subject
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import reselect, runs, selected_difference, with_selection
from geofm_eval.results.taps import choose_tap
from geofm_eval.stats.difference import Difference
from tests.collating import no_figures
from tests.planted.taps import names, planted_taps, right_items

FLAT = (0.4, 0.6, 0.6, 0.6, 0.6, 0.6)
N, M = 300, 400


def flat(run: Path, levels: tuple[float, ...] = FLAT, seed: int = 0, **more: object) -> Subject:
    rng = np.random.default_rng(seed)
    return planted_taps(run, right_items(rng, levels, N), right_items(rng, levels, M), **more)  # type: ignore[arg-type]


def naive(subject: Subject, run: Path) -> Difference:
    chosen = choose_tap(subject, "1.0")
    assert chosen is not None
    return Pairs(run).difference(subject.taps[chosen.tap], subject.taps["final"], "1.0")


def test_planted_ties_go_to_the_lower_loss_and_records_without_losses_to_the_shallower(tmp_path: Path):
    val, test = np.ones((4, 50)), np.ones((4, 50))
    val[0, :20] = 0
    assert choose_tap(planted_taps(tmp_path / "a", val, test, losses=[0.1, 0.5, 0.4, 0.5]), "1.0").tap == "block01"
    assert choose_tap(planted_taps(tmp_path / "b", val, test, losses=[0.1, 0.5, None, 0.4]), "1.0").tap == "block00"
    assert choose_tap(planted_taps(tmp_path / "c", val, test), "1.0").tap == "block00"


def test_taps_within_one_paired_standard_error_are_named(tmp_path: Path):
    subject = flat(tmp_path)
    again = reselect(subject, "1.0", Pairs(tmp_path))
    assert again is not None
    assert again.taps == names(6)
    assert sum(again.shares) == pytest.approx(1)
    assert again.share["embed"] == 0
    assert "embed" not in again.near
    assert again.chosen.tap in again.near
    assert 2 <= len(again.near) <= 5
    scores = {tap: record.selection.choices[0].val_score for tap, record in subject.taps.items()}
    for tap, error in zip(again.taps, again.errors, strict=True):
        assert (tap in again.near) == (scores[tap] >= again.chosen.val_score - error - 1e-9)
    assert again.errors[again.taps.index(again.chosen.tap)] == 0


def test_the_paired_error_is_that_of_the_difference_not_of_the_score(tmp_path: Path):
    rng = np.random.default_rng(1)
    val = right_items(rng, (0.6,) * 4, 2000, own=0.02)
    again = reselect(planted_taps(tmp_path, val, val), "1.0", Pairs(tmp_path))
    assert again is not None
    position = again.taps.index(again.chosen.tap)
    other = (position + 1) % 4
    expected = (val[position] - val[other]).std() / math.sqrt(2000)
    assert again.errors[other] == pytest.approx(expected, rel=0.2)
    assert again.errors[other] < 0.5 * val[position].std() / math.sqrt(2000)


def test_one_tap_that_leads_clearly_stands_alone_and_its_gain_is_as_before(tmp_path: Path):
    subject = flat(tmp_path, (0.2, 0.3, 0.9, 0.3, 0.3, 0.3))
    again = reselect(subject, "1.0", Pairs(tmp_path))
    assert again is not None
    assert (again.near, again.words, again.share["block01"]) == (("block01",), "block01 alone", 1.0)
    assert selected_difference(subject, "final", "1.0", Pairs(tmp_path)) == naive(subject, tmp_path)


def test_runs_of_neighbours_are_put_together():
    taps = names(8)
    assert runs(("embed", "block02", "block03", "block04", "final"), taps) == "embed, block02 to block04, final"
    assert runs(("block00", "block01"), taps) == "block00, block01"
    assert runs(taps, taps) == "embed to final"


def test_a_gain_whose_tap_is_a_matter_of_chance_has_a_wider_interval(tmp_path: Path):
    levels = (0.3, 0.62, 0.6, 0.6, 0.4, 0.62)
    rng = np.random.default_rng(4)
    subject = planted_taps(tmp_path, right_items(rng, levels, 60), right_items(rng, levels, M))
    own, found = naive(subject, tmp_path), selected_difference(subject, "final", "1.0", Pairs(tmp_path))
    assert found is not None
    assert found.value == own.value
    assert found.low < own.low
    assert found.high > own.high


def test_where_validation_chooses_final_by_chance_the_gain_of_nothing_has_an_interval(tmp_path: Path):
    subject = next(
        made for seed in range(40) if choose_tap(made := flat(tmp_path / str(seed), seed=seed), "1.0").tap == "final"
    )
    run = tmp_path / subject.record.run.name
    assert (naive(subject, run).low, naive(subject, run).high) == (0, 0)
    found = selected_difference(subject, "final", "1.0", Pairs(run))
    assert found is not None
    assert found.value == 0
    assert found.low < 0 < found.high


def test_without_resamples_the_choice_is_taken_as_given(tmp_path: Path):
    subject = flat(tmp_path, resampled=False)
    assert reselect(subject, "1.0", Pairs(tmp_path)) is None
    assert selected_difference(subject, "final", "1.0", Pairs(tmp_path)) == naive(subject, tmp_path)


def test_a_missing_or_foreign_file_of_resamples_is_a_problem_not_an_error(tmp_path: Path):
    subject = flat(tmp_path)
    next((tmp_path / "probe").glob("*embed.npz")).unlink()
    pairs = Pairs(tmp_path)
    assert reselect(subject, "1.0", pairs) is None
    assert "validation resamples are not readable" in pairs.problems[0]


def test_scores_alone_widen_the_chosen_taps_own_interval(tmp_path: Path):
    """A committed run keeps the outcomes of few taps."""
    subject = flat(tmp_path, seed=2)
    few = {
        tap: record
        if tap in ("final", choose_tap(subject, "1.0").tap)
        else record.model_copy(update={"outcomes_sha256": None})
        for tap, record in subject.taps.items()
    }
    pairs = Pairs(tmp_path)
    found = selected_difference(Subject("pocket_mae", few, {}), "final", "1.0", pairs)
    own, again = naive(subject, tmp_path), reselect(subject, "1.0", pairs)
    assert again is not None
    gains = np.array([r.scores["1.0"].value for r in subject.taps.values()])
    between = np.average(np.square(gains - np.average(gains, weights=again.shares)), weights=again.shares)
    assert found.high - found.value == pytest.approx(
        math.hypot(own.high - own.value, 1.959964 * math.sqrt(between)), rel=1e-6
    )
    assert pairs.problems == []


def test_the_width_is_that_of_the_larger_of_two_bounds():
    own, other = Difference(0.02, 0.01, 0.03), Difference(0.0, -0.03, 0.03)
    mean = Difference(0.01, -0.01, 0.03)
    found = with_selection(own, [own, other], [0.5, 0.5], mean)
    each = 0.5 * 0.01**2 + 0.5 * 0.03**2
    together = 0.02**2 + 1.959964**2 * 0.01**2
    assert found.high - found.low == pytest.approx(2 * math.sqrt(max(each, together)), rel=1e-6)
    assert with_selection(own, [own], [1.0], None) == own


def test_a_table_names_the_taps_within_one_standard_error_and_footnotes_records_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    no_figures(monkeypatch)
    rng = np.random.default_rng(0)
    val, test = right_items(rng, FLAT, N), right_items(rng, FLAT, M)
    subject = planted_taps(tmp_path, val, test)
    planted_taps(tmp_path, val, test, model="pocket_contrast", resampled=False)
    again = reselect(subject, "1.0", Pairs(tmp_path))
    assert again is not None
    collation = collate(tmp_path)
    text = (tmp_path / "tables" / "eurosat_sim-linear-ranking.md").read_text("utf-8")
    assert f"| {again.words} |" in text
    assert "its records have no validation resamples: the interval of the gain takes the chosen tap as given" in text
    assert again.words in collation.text
    with (tmp_path / "tables" / "eurosat_sim-linear-ranking.csv").open() as file:
        rows = {row["model"]: row for row in csv.DictReader(file)}
    assert rows["pocket_mae"]["within_one_se"].split() == list(again.near)
    assert int(rows["pocket_mae"]["taps_within_one_se"]) == len(again.near)
    assert rows["pocket_contrast"]["within_one_se"] == ""
