"""Starter models: chosen by the documented rule, the same on every machine, with controls and embeddings."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.suite import select_cases, with_starters
from geofm_eval.catalog import Catalog, TaskSpec, compatible, load_catalog
from geofm_eval.catalog.bands import SENTINEL1, SENTINEL2
from geofm_eval.errors import ContractError
from geofm_eval.starters import MOST, choose_starters, expanded, product_matches
from tests.test_suites import OPTIONS

pytestmark = pytest.mark.fast

CATALOG = load_catalog()
PLANET = ("B02", "B03", "B04", "B08")
TWELVE = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")


def task(bands: tuple[str, ...], product: str = "L2A", **fields: object) -> TaskSpec:
    entry = {"slug": "mine", "title": "Mine", "reader": "folder", "root": "/data", "classes": ("a", "b")}
    return TaskSpec.model_validate({**entry, "bands": bands, "product": product, **fields})


def chosen(*tasks: TaskSpec, catalog: Catalog = CATALOG) -> list[str]:
    return [model.slug for model in choose_starters(catalog, tasks).models]


def test_models_of_the_same_product_come_first_and_one_of_every_family():
    names = chosen(task(TWELVE))
    assert {"croma_optical", "terramind_v1"} <= set(names[:4])
    assert {CATALOG.model(name).family for name in names} == {
        "joint_embedding", "reconstruction", "multimodal", "supervised",
    }  # fmt: skip
    assert "galileo_nano" not in names or names.index("croma_optical") < names.index("galileo_nano")


def test_top_of_atmosphere_data_get_models_that_were_trained_on_them():
    assert {"softcon_vits14", "mae_vits16"} <= set(chosen(CATALOG.task("eurosat"))[:3])


def test_radar_gets_radar_models():
    names = chosen(task(("VV", "VH"), "GRD"))
    assert names[0] == "croma_sar"
    assert "terramind_v1_s1" in names
    assert not {"dinov2_vitb14", "imagenet_vitb16"} & set(names)


def test_pockets_are_starters_of_stand_ins_only():
    assert not any(name.startswith("pocket") for name in chosen(task(PLANET)))
    assert all(name.startswith("pocket") for name in chosen(CATALOG.task("eurosat_sim")))


def test_controls_are_two_without_training_and_the_twins_of_models_whose_weights_are_here(tmp_path: Path, monkeypatch):
    assert {model.slug for model in choose_starters(CATALOG, [task(PLANET)]).controls} == {
        "galileo_nano_random", "band_stats", "rcf",
    }, "the smallest, if no weights are here"  # fmt: skip
    for name in ("dinov2_vitb14", "prithvi_v1"):
        file = tmp_path / CATALOG.model(name).weights.file
        file.parent.mkdir(exist_ok=True)
        file.touch()
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    assert {model.slug for model in choose_starters(CATALOG, [task(PLANET)]).controls} == {
        "dinov2_vitb14_random", "prithvi_v1_random", "band_stats", "rcf",
    }  # fmt: skip


def test_nothing_large_is_chosen_where_something_small_of_its_family_fits():
    assert not {"dofa_base", "dinov3_sat_vitl16"} & set(chosen(task(PLANET)))


BANDS = st.lists(st.sampled_from([*SENTINEL2, *SENTINEL1]), min_size=1, max_size=13, unique=True).map(tuple)


@settings(max_examples=60)
@given(BANDS, st.sampled_from(["L1C", "L2A", "HLS", "GRD", "any"]))
def test_the_rule_holds_for_any_bands(bands: tuple[str, ...], product: str):
    one = task(bands, product)
    found = choose_starters(CATALOG, [one])
    assert found == choose_starters(CATALOG, [one])
    assert len(found.models) <= MOST
    assert all(compatible(model, one) for model in (*found.models, *found.controls))
    keys = [(model.family, model.source) for model in found.models]
    assert len(set(keys)) == len(keys)
    fits = [product_matches(model, one) for model in found.models]
    assert fits == sorted(fits, reverse=True)
    assert not any(model.simulated_pretraining or model.is_control or model.rgb_only for model in found.models)


def test_embeddings_of_the_task_are_always_included(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("id,label,e0,e1\na,x,1,2\n")
    (tmp_path / "my.toml").write_text(
        f'[tasks.plots]\ntitle = "P"\nreader = "table"\nroot = "{tmp_path}/rows.csv"\nclasses = ["x", "y"]\n'
        'bands = []\nproduct = "any"\n[models.rows01]\ntitle = "R"\narchitecture = "table"\ntasks = ["plots"]\n'
        'options = { file = "rows.csv" }\n'
    )
    catalog = load_catalog([tmp_path / "my.toml"])
    assert choose_starters(catalog, [catalog.task("plots")]).slugs == ("rows01",)
    assert "rows01" not in choose_starters(catalog, [catalog.task("eurosat")]).slugs


def test_no_model_at_all_is_an_error():
    with pytest.raises(ContractError, match="no model of the catalog reads the bands of mine: name models instead"):
        choose_starters(CATALOG, [task(())])


def test_the_name_stands_for_the_models_in_a_selection():
    names = expanded(("pocket_mae", "starter", "rcf"), CATALOG, [CATALOG.task("eurosat_sim")])
    assert names[0] == "pocket_mae"
    assert len(names) == len(set(names))
    assert {"pocket_contrast", "pocket_random", "band_stats", "rcf"} <= set(names)
    assert expanded(("rcf",), CATALOG, []) == ("rcf",)


def test_the_suite_selects_them():
    options = replace(OPTIONS, models=("starter",), tasks=("eurosat_sim",), adaptations=("knn",))
    found = select_cases(with_starters(options, CATALOG), CATALOG)
    assert {case.model for case in found["probe"]} == {*choose_starters(CATALOG, [CATALOG.task("eurosat_sim")]).slugs}
