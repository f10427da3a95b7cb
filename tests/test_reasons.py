"""Sentences for pairs that do not fit, misspelt fields, and licences: what was found and what would help."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fixtures.suite import select_cases
from geofm_eval.catalog import Catalog, compatible, load_catalog
from geofm_eval.catalog.bands import COMMON_NAMES, SENTINEL2, band, common_names
from geofm_eval.catalog.reasons import incompatible
from geofm_eval.cli import app
from geofm_eval.errors import ContractError
from tests.small_suite import OPTIONS

CATALOG = load_catalog()
ENTRY = """
[models.mine]
title = "Mine"
family = "reconstruction"
architecture = "timm_vit"
depth = 2
width = 8
bands = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"]
product = "L1C"
normalisation = {{ high = 10000.0 }}
weights = {{ file = "weights/mine.safetensors" }}
{more}

[tasks.four]
title = "Four"
reader = "folder"
root = "/data/four"
classes = ["a", "b"]
bands = {bands}
product = "any"
"""


def catalog_of(folder: Path, more: str = "", bands: str = '["B02", "B03", "B04", "B08"]') -> Catalog:
    (folder / "my.toml").write_text(ENTRY.format(more=more, bands=bands))
    return load_catalog([folder / "my.toml"])


def test_absent_bands_are_named_with_what_would_help(tmp_path: Path):
    catalog = catalog_of(tmp_path)
    options = replace(OPTIONS, suite="study", models=("mine",), tasks=("four",))
    message = "four lacks B01, B05, B06, B07, B8A, B09 and 3 more, which mine needs; missing = 'fill' with fill_means"
    with pytest.raises(pytest.UsageError, match=message):
        select_cases(options, catalog)


def test_colours_are_translated(tmp_path: Path):
    catalog = catalog_of(tmp_path, bands='["Blue", "Green", "Red", "NIR"]')
    reason = incompatible(catalog.model("mine"), catalog.task("four"))
    assert "did you mean B02 for Blue, B03 for Green, B04 for Red, B08 for NIR?" in str(reason)


def test_bands_that_are_not_named_are_the_reason(tmp_path: Path):
    catalog = catalog_of(tmp_path, bands='["?", "?"]')
    assert "the bands of four are not named" in str(incompatible(catalog.model("mine"), catalog.task("four")))


@given(st.sampled_from(sorted(CATALOG.models)), st.sampled_from(sorted(CATALOG.tasks)))
def test_there_is_a_short_reason_exactly_for_what_does_not_fit(model: str, task: str):
    reason = incompatible(CATALOG.model(model), CATALOG.task(task))
    assert (reason is None) == compatible(CATALOG.model(model), CATALOG.task(task))
    assert len(reason or "") < 300


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ('licences = "MIT"', r"field 'licences' is unknown; did you mean licence\?"),
        ("qwertz = 1", r"field 'qwertz' is unknown; remove it"),
        ('commercial = "yes"', "commercial = 'yes' needs commercial_source"),
        ('commercial = "maybe"', "field 'commercial'"),
    ],
)
def test_misspelt_fields_are_suggested(more: str, message: str, tmp_path: Path):
    with pytest.raises(ContractError, match=message):
        catalog_of(tmp_path, more)


def test_misspelt_fields_of_tables_inside_are_suggested(tmp_path: Path):
    text = ENTRY.format(more="", bands='["B02"]').replace("file =", "flie =")
    (tmp_path / "my.toml").write_text(text)
    with pytest.raises(ContractError, match=r"field 'weights\.flie' is unknown; did you mean file\?"):
        load_catalog([tmp_path / "my.toml"])


def test_colours_stand_for_bands_that_exist():
    assert set(COMMON_NAMES.values()) <= set(SENTINEL2)
    assert common_names(["red-edge", "Near_Infrared", "B02", "thermal"]) == {"red-edge": "B05", "Near_Infrared": "B08"}
    with pytest.raises(ContractError, match=r"band 'Blue' is unknown; did you mean B02\?"):
        band("Blue")


def test_every_published_licence_says_whether_commercial_use_is_permitted():
    for model in CATALOG.models.values():
        assert (model.commercial == "yes") == (model.licence in ("MIT", "Apache-2.0", "CC-BY-4.0")), model.slug
        assert model.commercial == "ask" or model.commercial_source.startswith(model.licence)
    assert CATALOG.model("dinov3_sat_vitl16").commercial == "ask"


def command(*words: str) -> str:
    done = CliRunner().invoke(app, list(words))
    assert done.exit_code == 0, done.output
    return done.output


def test_models_are_filtered_by_licence():
    assert "dinov3_sat_vitl16" not in command("models", "--commercial", "yes")
    listed = command("models", "--commercial", "ask")
    assert "dinov3_sat_vitl16" in listed
    assert "mae_vits16" not in listed


def test_models_and_doctor_say_that_they_checked_nothing():
    for words in (("models", "--starter", "eurosat_sim"), ("doctor",)):
        assert "Files were not loaded; geofm-eval check MODEL TASK loads them." in command(*words)


def test_tasks_without_names_of_bands_are_never_called_runnable(tmp_path: Path):
    (tmp_path / "four").mkdir()
    text = ENTRY.format(more="", bands='["?"]').replace("/data/four", str(tmp_path / "four"))
    (tmp_path / "my.toml").write_text(text)
    named = ("--catalog", str(tmp_path / "my.toml"))
    line = next(line for line in command("tasks", *named).splitlines() if " four " in line)
    assert "no: bands" in line
    assert "four:" not in command("doctor", "--all", *named)
