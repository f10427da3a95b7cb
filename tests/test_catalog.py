"""The catalog: what it holds, how it refuses, and what it costs to load."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from geofm_eval.catalog import SUITES, Catalog, check_slugs, compatible, load_catalog, missing_bands, probe_cases
from geofm_eval.catalog.load import RGB
from geofm_eval.errors import ContractError

pytestmark = pytest.mark.fast

MODEL = """
[models.mine]
title = "Mine"
family = "reconstruction"
architecture = "backbone.py:build"
depth = 2
width = 8
bands = ["B04", "B03", "B02"]
product = "L1C"
normalisation = { high = 10000.0 }
weights = { file = "weights/mine.safetensors" }
"""


@pytest.fixture
def user_file(tmp_path: Path) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(MODEL)
    return path


def test_loads_without_torch_and_timm():
    code = (
        "import sys; from geofm_eval.catalog import load_catalog; load_catalog();"
        "print([m for m in ('torch', 'timm', 'torchgeo', 'rasterio') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_published_model_has_a_random_twin_that_is_a_control():
    catalog = load_catalog()
    for slug, model in catalog.models.items():
        if model.weights is not None and not model.reads:
            twin = catalog.model(model.twin or f"{slug}_random")
            assert twin.is_control
            assert twin.weights is None
            assert twin.taps == model.taps
            assert twin.normalisation == model.normalisation


def test_taps_follow_the_depth():
    catalog = load_catalog()
    assert catalog.model("mae_vits16").taps == ("embed", *(f"block{i:02d}" for i in range(12)), "final")
    assert catalog.model("band_stats").taps == ("final",)


def test_no_base_slug_contains_another():
    catalog = load_catalog()
    pairs = [(s.slug, s.variant_of) for table in (catalog.models, catalog.tasks) for s in table.values()]
    pairs += [(a.slug, a.variant_of) for a in catalog.adaptations.values()]
    pairs += [(tap, None) for tap in catalog.model("mae_vits16").taps] + [("probe", None), ("throughput", None)]
    assert check_slugs(pairs) == []


def test_check_slugs_names_the_offenders():
    assert check_slugs([("euro", None), ("eurosat", None)]) == ["'eurosat' contains 'euro'"]
    assert check_slugs([("knn", None), ("cls_knn", "knn")]) == [
        "'cls_knn' does not begin with 'knn_', although it is a variant of it"
    ]


def test_case_ids_are_unique_and_complete():
    catalog = load_catalog()
    cases = probe_cases(catalog, "study", models=["mae_vits16"], tasks=["eurosat"], adaptations=["linear"])
    assert [c.layer for c in cases] == list(catalog.model("mae_vits16").taps)
    assert cases[8].nodename == "test_probe[mae_vits16-eurosat-linear-block07]"
    for suite in SUITES:
        ids = [c.id for c in probe_cases(catalog, suite)]
        assert len(ids) == len(set(ids)) > 0


def test_class_token_variants_only_where_there_is_a_class_token():
    cases = probe_cases(load_catalog(), "study", models=["galileo_nano", "mae_vits16"], adaptations=["linear_cls"])
    assert {c.model for c in cases} == {"mae_vits16"}


def test_explicit_names_need_not_be_in_the_suite():
    catalog = load_catalog()
    assert "eurosat_rgb" not in {c.task for c in probe_cases(catalog, "bench")}
    assert probe_cases(catalog, "bench", tasks=["eurosat_rgb"], models=["band_stats"])


def test_a_model_without_its_bands_has_no_case():
    catalog = load_catalog()
    joint, rgb = catalog.model("croma_joint"), catalog.task("eurosat_rgb")
    assert not compatible(joint, rgb)
    assert len(missing_bands(joint, rgb)) == 11
    assert not compatible(catalog.model("croma_sar"), rgb)
    assert not compatible(catalog.model("mae_vits16"), rgb.model_copy(update={"bands": ("VV", "VH")}))
    assert compatible(catalog.model("galileo_nano"), rgb)
    assert compatible(catalog.model("mae_vits16"), rgb)


def test_bands_are_compared_whatever_their_spelling():
    catalog = load_catalog()
    task = catalog.task("eurosat_rgb").model_copy(update={"bands": ("b4", "B3", "B2")})
    assert missing_bands(catalog.model("imagenet_vitb16"), task) == ()
    assert compatible(catalog.model("imagenet_vitb16"), task)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("classification", {"knn", "linear"}),
        ("regression", {"ridge"}),
        ("segmentation", {"linear"}),
        ("dense_regression", {"ridge"}),
    ],
)
def test_a_task_gets_the_probes_of_its_kind(kind: str, expected: set[str]):
    catalog = load_catalog()
    task = catalog.task("eurosat_sim").model_copy(update={"kind": kind})
    catalog = Catalog(catalog.models, {"sim": task}, catalog.recipes, catalog.adaptations)
    cases = probe_cases(catalog, "bench", models=["pocket_mae"], tasks=["sim"])
    assert {case.adaptation for case in cases} == expected


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"models": ["mae_vits17"]}, "did you mean .*mae_vits16"),
        ({"tasks": ["eurosat_rgbb"]}, "did you mean .*eurosat_rgb"),
        ({"adaptations": ["lineal"]}, "did you mean linear"),
        ({"layers": ["block99"]}, "no selected model has layer block99"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(selection: dict[str, list[str]], message: str):
    with pytest.raises(ContractError, match=message):
        probe_cases(load_catalog(), "study", **selection)


def test_unknown_suite_is_refused():
    with pytest.raises(ContractError, match="known suites: bench, study, extended"):
        probe_cases(load_catalog(), "everything")


def test_user_file_adds_a_model_and_its_twin(user_file: Path):
    catalog = load_catalog([user_file])
    assert catalog.model("mine").architecture == f"{user_file.parent / 'backbone.py'}:build"
    assert "mine_random" in catalog.models


def test_a_built_in_architecture_needs_weights_or_a_seed(user_file: Path):
    entry = MODEL.replace('weights = { file = "weights/mine.safetensors" }', "")
    user_file.write_text(re.sub(r"architecture = .*", 'architecture = "timm_vit"', entry))
    with pytest.raises(ContractError, match="needs weights or random_seed"):
        load_catalog([user_file])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("depth = 2", "deepness = 2", r"my.toml: \[models.mine\]: .*field 'deepness'"),
        ("depth = 2", "depth = -1", r"\[models.mine\]: field 'depth'.*found -1"),
        ('"B04", "B03"', '"B04", "B04"', "bands are named twice"),
        ("high = 10000.0", "mean = [1.0, 2.0]", "normalisation.mean has 2 values, expected 3"),
        (
            "{ high = 10000.0 }",
            '{ kind = "image_clip", clip = true }',
            "normalisation kind 'image_clip' does not take clip",
        ),
        ("[models.mine]", "[models.mae_vits16]", "already exists"),
        ("[models.mine]", "[models.mae_vits16_random]", "is the name of the random twin of 'mae_vits16'"),
        ("[models.mine]", "[models.mae_vits16_rgb]", "is the name of the RGB-only variant of 'mae_vits16'"),
        ("[models.mine]", "[models.mae_vits16_mine]", "'mae_vits16_mine' contains 'mae_vits16'. Choose another name"),
        ("[models.mine]", "[models.ridge_mine]", "cannot distinguish: 'ridge_mine' contains 'ridge'"),
        ("[models.mine]", "[models.ridge_mine]", r"\(a model and an adaptation\)\. Choose another name$"),
        (
            "[models.mine]",
            "[models.block00_mine]",
            r"'block00_mine' contains 'block00' \(a model and a layer or test\)",
        ),
        ('title = "Mine"', 'title = "Mine"\nvariant_of = "mae_vits16"', "'mine' does not begin with 'mae_vits16_'"),
        ("depth = 2", 'depth = 2\nreads = ["B08"]', r"\[models.mine\]: reads has B08, which is not in bands"),
        ("depth = 2", 'depth = 2\nreads = ["B04", "B03"]', "missing must be 'fill' or 'mask', found 'refuse'"),
        ("depth = 2", 'depth = 2\nreads = ["B4", "B04", "B03"]', "bands are named twice"),
        ('bands = ["B04", "B03", "B02"]', 'bands = ["B04", "B4", "B02"]', "bands are named twice"),
        ('bands = ["B04", "B03", "B02"]', "bands = []", "bands is empty"),
        ('bands = ["B04", "B03", "B02"]', 'bands = ["*", "B02"]', "'\\*' stands for all bands"),
        ("[models.mine]", "[model.mine]", "section 'model' is unknown"),
        ('title = "Mine"', 'title = "Mine', "not a readable TOML file"),
    ],
)
def test_bad_entries_name_file_entry_and_field(user_file: Path, old: str, new: str, message: str):
    user_file.write_text(MODEL.replace(old, new))
    with pytest.raises(ContractError, match=message):
        load_catalog([user_file])


def test_names_that_are_variants_are_accepted(user_file: Path):
    user_file.write_text(MODEL.replace("[models.mine]", '[models.mae_vits16_mine]\nvariant_of = "mae_vits16"'))
    assert load_catalog([user_file]).model("mae_vits16_mine_random").variant_of == "mae_vits16_mine"


def test_absent_user_file_is_named(tmp_path: Path):
    with pytest.raises(ContractError, match=r"nowhere.toml: catalog file does not exist"):
        load_catalog([tmp_path / "nowhere.toml"])


TASK = """
[tasks.mine]
title = "Mine"
reader = "eurosat"
root = "data"
bands = ["B04", "B03"]
product = "L1C"
plausible = { DN = [0.0, 10000.0] }
classes = ["a"]
"""


@pytest.mark.parametrize(
    ("statistics", "message"),
    [
        ('{ mean = [1.0], std = [1.0, 2.0], source = "s" }', "statistics.mean has 1 value, expected 2"),
        ('{ mean = [1.0, 1.0], std = [1.0, 0.0], source = "s" }', r"field 'statistics.std.1'.*greater than 0"),
        ("{ mean = [1.0, 1.0], std = [1.0, 1.0] }", "field 'statistics.source'"),
    ],
)
def test_statistics_that_do_not_fit_the_bands_are_refused(tmp_path: Path, statistics: str, message: str):
    path = tmp_path / "my.toml"
    path.write_text(f"{TASK}statistics = {statistics}\n")
    with pytest.raises(ContractError, match=message):
        load_catalog([path])


def test_recipe_that_fills_with_raw_zeros_is_refused(tmp_path: Path):
    path = tmp_path / "my.toml"
    path.write_text('[recipes.mine]\ntitle = "m"\nfill = "raw_zero"\n')
    with pytest.raises(ContractError, match=r"field 'fill': Input should be 'band_mean' \(found 'raw_zero'\)"):
        load_catalog([path])


def test_built_in_recipes_fill_with_band_means_and_say_their_version():
    recipes = load_catalog().recipes
    assert {slug: (one.version, one.fill) for slug, one in recipes.items()} == {
        "probing": (2, "band_mean"), "pangaea": (2, "band_mean")
    }  # fmt: skip


def test_multispectral_models_carry_the_band_means_of_their_corpus():
    without = {
        slug
        for slug, model in load_catalog().models.items()
        if model.bands != ("*",) and set(model.bands) != set(RGB) and model.fill_means is None
    }
    # DOFA leaves absent bands out, and means of its corpus are published for some of its bands only.
    assert without == {"dofa_base", "dofa_base_random", "dofa_base_rgb"}


def test_entries_with_radar_name_its_product():
    catalog = load_catalog()
    for spec in (*catalog.models.values(), *catalog.tasks.values()):
        if {"VV", "VH"} & set(spec.bands):
            assert spec.radar_product in ("GRD", "RTC"), spec.slug


def test_published_models_say_where_they_come_from():
    for slug, model in load_catalog().models.items():
        if model.weights is not None:
            fields = (model.licence, model.citation, model.source, model.parameters, model.normalisation.source)
            assert all(fields), slug


def test_an_entry_takes_from_another_what_it_does_not_give(tmp_path: Path):
    path = tmp_path / "my.toml"
    path.write_text(
        '[models.mine]\nlike = "mae_vits16"\ntitle = "Mine"\nweights = { file = "weights/mine.pth" }\n'
        '[tasks.fields]\nlike = "eurosat"\nroot = "data/fields"\n[tasks.fields_few]\nlike = "fields"\ndraws = 2\n'
        'variant_of = "fields"\n'
    )
    catalog = load_catalog([path])
    mine, known = catalog.model("mine"), catalog.model("mae_vits16")
    assert (mine.bands, mine.normalisation, mine.depth) == (known.bands, known.normalisation, known.depth)
    assert (mine.title, mine.weights.file, mine.weights.url) == ("Mine", "weights/mine.pth", None)
    assert (catalog.task("fields_few").root, catalog.task("fields_few").draws) == ("data/fields", 2)


def test_an_entry_like_an_unknown_one_is_refused(tmp_path: Path):
    path = tmp_path / "my.toml"
    path.write_text('[models.mine]\nlike = "mae_vits61"\n')
    with pytest.raises(ContractError, match=r"\[models.mine\] like = 'mae_vits61' is not an earlier entry.*mae_vits16"):
        load_catalog([path])


def test_images_smaller_than_what_a_model_sees_make_no_case():
    catalog = load_catalog()
    pixel = catalog.task("fuel_moisture_sim")
    assert not compatible(catalog.model("rcf"), pixel)
    assert not compatible(catalog.model("galileo_nano"), pixel)
    assert compatible(catalog.model("band_stats"), pixel)
    assert compatible(catalog.model("mae_vits16"), pixel), "a model with a size of its own gets the pixel resized"


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "9" * 6000,
        f'[models.mine]\ntitle = "{"a" * 100_000}"\nfamily = "{"b" * 100_000}"\n',
        f"[{'x' * 10_000}.y]\na = 1\n",
        f'[models.{"x" * 5_000}]\nlike = "{"y" * 5_000}"\n',
        '[models.mine]\nlike = "qqqq"\n',
        "[models.mine]\n",
        f'[models.{"x" * 5_000}]\nlike = "mae_vits16"\n[models.{"x" * 5_000}y]\nlike = "mae_vits16"\n',
    ],
)
def test_a_hostile_catalog_ends_in_a_message_of_bounded_length(tmp_path: Path, text: str):
    path = tmp_path / "own.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ContractError, match=r"own\.toml") as caught:
        load_catalog([path])
    assert len(str(caught.value).replace(str(path), "")) <= 400


def test_an_unknown_name_ends_in_a_message_of_bounded_length():
    for name in ("qqqq", "x" * 5_000):
        with pytest.raises(ContractError, match="is unknown; known: moco_vits16") as caught:
            load_catalog().model(name)
        assert len(str(caught.value)) <= 400
