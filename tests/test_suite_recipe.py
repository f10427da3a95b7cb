"""The recipe of a session: which one was used is in every record, and an unknown one is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.suite import select_cases
from geofm_eval.catalog import load_catalog
from tests.small_suite import OPTIONS, install


def test_another_recipe_is_used_and_recorded(tmp_path: Path):
    suite = install(tmp_path)
    chosen = ("--models", "oak", "--tasks", "colours", "--adaptations", "linear", "--layers", "final")
    done = suite.run(*chosen, "--recipe", "pangaea", "--run", "z")
    assert done.status == 0, done.text
    assert "recipe pangaea" in done.text
    record = suite.records("z")["oak-colours-linear-final"]
    recipe, inputs = record["provenance"]["recipe"], record["provenance"]["inputs"]
    assert (recipe["slug"], recipe["normalisation"], recipe["temporal"]) == ("pangaea", "dataset", "native")
    assert inputs["normalisation"]["mean"] == [1300.0] * 3
    assert inputs["temporal"] == "single"


def test_an_unknown_recipe_is_refused_with_the_nearest_name():
    with pytest.raises(pytest.UsageError, match="--recipe: 'pangea' is unknown; did you mean pangaea"):
        select_cases(replace(OPTIONS, recipe="pangea"), load_catalog())
