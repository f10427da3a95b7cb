"""Runs with fewer models or tasks than some questions need: no file, no section, and one line that counts them."""

import re
from pathlib import Path

import pytest

from geofm_eval.report.collation import collate
from tests.collating import CATALOG, page
from tests.planted.findings import trained
from tests.synthetic_run import Synthetic, write_run

ONE = (Synthetic("galileo_nano", (0.5, 0.7, 0.6, 0.65)), Synthetic("band_stats", (0.55,), control=True))


def names_of(run: Path) -> set[str]:
    return {path.name for path in (run / "tables").iterdir()}


def test_one_model_and_one_control_on_one_task(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "run", ONE, ("eurosat_sim",), ("linear",))
    text = collate(run, CATALOG).text
    line = (
        "Not shown: shares of variance of 1 table, rankings over settings, transferable taps, 2 findings (too few "
        "models or tasks)."
    )
    assert not [name for name in names_of(run) if re.match("findings|rankings|transferable|.*shares", name)]
    for said in (text, page(run)):
        assert said.count("Not shown") == 1
        assert line in said
        for section in ("Findings", "Shares of the", "not enough records", "nothing over settings", "## Rankings"):
            assert section not in said
    assert re.search(r"eurosat_sim-linear-p100 +2 ", text), "two models are ranked"
    assert "eurosat_sim-linear-ranks.md" in names_of(run)


def test_one_model_alone_is_best_of_nothing(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "run", ONE[:1], ("eurosat_sim",), ("linear",))
    text = collate(run, CATALOG).text
    assert "Not shown: ranks of 1 table, shares of variance of 1 table, " in text
    assert "Rankings" not in text
    assert "eurosat_sim-linear-ranks.md" not in names_of(run)


def test_one_training_has_nothing_to_be_compared_with(tmp_path: Path, without_figures: None):
    trained(tmp_path, "m_one", "lightms_frozen_p100", "multi", 0.0)
    collation = collate(tmp_path, CATALOG)
    found = {name.rpartition("-")[2] for name in names_of(tmp_path) if name.startswith("floods_sim")}
    assert found == {"ranking.md", "ranking.tex", "cells.csv", "factorial.md", "factorial.tex"}
    links = re.findall(r"\]\(([^)]+)\)", page(tmp_path))
    assert all((collation.index.parent / link).exists() for link in links if link != "../sheets")
    assert "best on validation" not in collation.text
    assert "Not shown: ranks of 1 table, shares of variance of 1 table, " in collation.text


@pytest.mark.parametrize(("backbones", "shown"), [(1, False), (2, True)])
def test_variance_is_shared_among_several_backbones(tmp_path: Path, without_figures: None, backbones: int, shown: bool):
    models = [Synthetic(name, ONE[0].profile) for name in ("galileo_nano", "mine")[:backbones]]
    run = write_run(tmp_path / "run", models, ("eurosat_sim",), ("linear",))
    text = collate(run, CATALOG).text
    assert ("eurosat_sim-linear-shares.csv" in names_of(run)) == shown
    assert ("shares of variance" in text) != shown
