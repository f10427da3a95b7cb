"""Tables of what the pocket backbones are worth, on records with known numbers."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.studies.pocket_tables import gain_table, gains, read, score_table, spread, spread_table
from geofm_eval.catalog import load_catalog
from geofm_eval.report.probes.curves import depth_profiles
from geofm_eval.report.probes.figures import overview_figure
from geofm_eval.report.wording import shared_notes
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.run import read_run
from tests.synthetic_run import Synthetic, write_run

CATALOG = load_catalog()
LEVELS = {"pocket_contrast": 0.80, "pocket_contrast_seed1": 0.77, "pocket_distill": 0.60, "pocket_mae": 0.55}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = [Synthetic(slug, (0.4, level - 0.1, level, level - 0.05)) for slug, level in LEVELS.items()]
    models += [Synthetic("pocket_random", (0.4, 0.45, 0.55, 0.5), control=True), Synthetic("band_stats", (0.6,), True)]
    return write_run(tmp_path_factory.mktemp("runs") / "pockets", models, ("eurosat_sim",), ("knn", "linear"))


def test_gains_are_over_the_random_twin_and_judged_by_what_the_catalog_wants(run):
    ((comparison, pairs),) = read([run])
    found = {gain.model: gain for gain in gains(comparison, pairs, CATALOG)}
    assert set(found) == set(LEVELS)
    contrast = found["pocket_contrast"]
    assert contrast.difference.value == pytest.approx(0.25, abs=0.05)
    assert contrast.difference.low < contrast.difference.value < contrast.difference.high
    assert (contrast.wanted, contrast.verdict) == (0.1, "met")
    assert found["pocket_distill"].difference.value < 0.1
    assert found["pocket_distill"].verdict == "not met"
    assert found["pocket_contrast_seed1"].wanted is None
    assert found["pocket_mae"].verdict == ""
    table = gain_table((comparison, gain) for gain in found.values())
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == ["`pocket_contrast`", "`pocket_distill`"]


def test_spread_over_seeds_and_objectives_are_mean_absolute_differences(run):
    ((comparison, _),) = read([run])
    part = spread(comparison, CATALOG)
    assert part is not None
    best = {s.model: max(r.scores["1.0"].value for r in s.taps.values()) for s in comparison.subjects}
    pairs = [("contrast", "distill"), ("contrast", "mae"), ("distill", "mae")]
    assert part.seeds == pytest.approx(abs(best["pocket_contrast"] - best["pocket_contrast_seed1"]))
    assert part.objectives == pytest.approx(sum(abs(best[f"pocket_{a}"] - best[f"pocket_{b}"]) for a, b in pairs) / 3)
    assert f"{part.objectives / part.seeds:.1f}" in spread_table([(comparison, part)])


def test_the_table_of_scores_has_every_model_and_the_oracle(run):
    ((comparison, _),) = read([run])
    lines = score_table([comparison], CATALOG, {"eurosat_sim": "100.0 [99.6, 100.0]"}).splitlines()
    names = [line.split("|")[1].strip(" `") for line in lines[2:]]
    assert names == [*LEVELS, "pocket_random", "band_stats", "oracle"]
    assert "block01" in lines[2]
    assert lines[-1].endswith("| 100.0 [99.6, 100.0] |")


def test_every_table_says_that_pockets_are_no_evidence(run):
    ((comparison, _),) = read([run])
    notes = " ".join(shared_notes(comparison, CATALOG))
    assert "pocket_contrast, pocket_contrast_seed1, pocket_distill, pocket_mae. Their scores are no evidence" in notes
    assert "pocket_random." not in notes


def test_the_picture_of_several_tasks_is_drawn(run, tmp_path):
    ((comparison, pairs),) = read([run])
    profiles = depth_profiles(rank(comparison, pairs))
    overview_figure([(comparison, profiles)] * 3, "SIMULATED DATA", tmp_path / "depth.png")
    assert (tmp_path / "depth.png").read_bytes().startswith(b"\x89PNG")


def test_a_chosen_tap_says_of_how_many_near_ones_it_is_one(run):
    ((comparison, _),) = read([run])

    def near(names: tuple[str, ...]) -> str:
        subjects = tuple(
            replace(
                one,
                taps={
                    tap: record.model_copy(
                        update={"selection": record.selection.model_copy(update={"near": {"1.0": names}})}
                    )
                    for tap, record in one.taps.items()
                },
            )
            for one in comparison.subjects
        )
        return score_table([replace(comparison, subjects=subjects)], CATALOG, {}).splitlines()[2]

    assert near(("block00", "block01", "final")).endswith("block01 (one of 3) |")
    assert near(("block01",)).endswith("block01 |")


def test_dense_probes_have_no_part_in_the_tables(tmp_path):
    models = [Synthetic("pocket_mae", (0.4, 0.45, 0.55, 0.5))]
    run = write_run(tmp_path / "run", models, ("eurosat_sim", "sen1floods11_sim"), ("linear",))
    assert len(comparisons(read_run(run))[0]) == 2
    assert [comparison.record.case.task for comparison, _ in read([run])] == ["eurosat_sim"]
