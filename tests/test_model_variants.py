"""RGB-only variants, radar entries, and what an entry may miss."""

import numpy as np
import pytest
import torch

from geofm_eval.catalog import compatible, load_catalog, missing_bands, probe_cases
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.pixels import RawImage
from tests.reduced_models import CATALOG, images, subject

pytest.importorskip("timm")
RGB_ONLY = [slug for slug, model in CATALOG.models.items() if model.reads]


@pytest.mark.parametrize("slug", RGB_ONLY)
def test_rgb_only_variant_sees_red_green_and_blue_and_nothing_else(slug):
    _, adapter, backbone = subject(slug)
    raw = images(adapter.task)
    expected = backbone(adapter(raw))
    read = np.isin(adapter.task.bands, adapter.model.reads)
    unread = [RawImage(np.where(read[:, None, None], image.pixels, 3 * image.pixels), image.valid) for image in raw]
    same = backbone(adapter(unread))
    for band in adapter.model.reads:
        # A power, because scaling by the image's own statistics would take a factor out again.
        power = np.where(np.array(adapter.task.bands) == band, 0.5, 1.0).astype(np.float32)[:, None, None]
        other = backbone(adapter([RawImage(np.abs(image.pixels) ** power, image.valid) for image in raw]))
        assert not torch.allclose(other["final"], expected["final"], rtol=1e-4, atol=1e-5), band
    for tap in backbone.taps:
        assert torch.equal(same[tap], expected[tap]), tap
    report = adapter.report
    assert set(report.real_bands) == {"B04", "B03", "B02"}
    assert set(report.filled_bands + report.masked_bands) == set(adapter.bands) - {"B04", "B03", "B02"}


def test_every_multispectral_model_that_may_miss_bands_has_an_rgb_only_variant():
    bases = {slug.removesuffix("_rgb") for slug in RGB_ONLY}
    assert bases == {
        "moco_vits16", "dino_vits16", "mae_vits16", "prithvi_v1", "terramind_v1_l1c", "croma_optical",
        "softcon_vits14", "dofa_base", "galileo_nano", "galileo_tiny", "galileo_base",
    }  # fmt: skip
    for slug in RGB_ONLY:
        variant, base = CATALOG.model(slug), CATALOG.model(slug.removesuffix("_rgb"))
        assert (variant.reads, variant.variant_of) == (("B04", "B03", "B02"), base.slug)
        assert (variant.weights, variant.bands, variant.temporal) == (base.weights, base.bands, base.temporal)
        assert variant.suites == ("extended",)
        assert f"{slug}_random" not in CATALOG.models


def test_rgb_only_variant_is_measured_where_it_differs_from_its_model():
    variant = CATALOG.model("mae_vits16_rgb")
    assert len(missing_bands(variant, CATALOG.task("eurosat"))) == 10
    assert compatible(variant, CATALOG.task("eurosat"))
    assert not compatible(variant, CATALOG.task("eurosat_rgb"))
    assert not compatible(variant, CATALOG.task("eurosat").model_copy(update={"bands": ("B04", "B03", "B08")}))
    assert not compatible(CATALOG.model("prithvi_v1_rgb"), CATALOG.task("eurosat").model_copy(update={
        "bands": ("B04", "B03", "B02", "B10")
    }))  # fmt: skip


def test_own_entry_that_may_miss_bands_gets_the_variant_too(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(
        '[models.mine]\ntitle = "Mine"\nfamily = "reconstruction"\narchitecture = "mine:build"\ndepth = 2\n'
        'width = 8\nbands = ["B8", "B4", "B3", "B2"]\nproduct = "L2A"\nmissing = "fill"\n'
        'normalisation = { high = 10000.0 }\nweights = { file = "w.pt" }\n'
        'fill_means = { mean = [4.0, 3.0, 2.0, 1.0], unit = "DN", source = "my corpus" }\n',
        encoding="utf-8",
    )
    assert load_catalog([path]).model("mine_rgb").reads == ("B04", "B03", "B02")
    path.write_text(path.read_text(encoding="utf-8").replace('"fill"', '"refuse"'), encoding="utf-8")
    assert "mine_rgb" not in load_catalog([path]).models


def test_study_holds_the_studys_models_and_leaves_variants_to_the_extended_suite():
    study = {case.model for case in probe_cases(CATALOG, "study")}
    extended = {case.model for case in probe_cases(CATALOG, "extended")}
    assert not study & {*RGB_ONLY, "croma_sar", "croma_joint", "terramind_v1_s1", "terramind_v1_s1s2"}
    models = {"moco_vits16", "dino_vits16", "mae_vits16", "prithvi_v1", "croma_optical", "terramind_v1"}
    models |= {"terramind_v1_l1c", "imagenet_vitb16", "galileo_nano"}
    pockets = {slug for slug in CATALOG.models if slug.startswith("pocket_")}
    assert study == models | {f"{slug}_random" for slug in models} | pockets | {"band_stats", "rcf"}
    assert set(RGB_ONLY) <= extended


@pytest.mark.parametrize(
    ("slug", "product"), [("croma_sar", "GRD"), ("terramind_v1_s1", "GRD"), ("croma_joint", "L2A")]
)
def test_radar_entries_name_the_product_of_their_pixels(slug, product):
    assert CATALOG.model(slug).product == product


@pytest.mark.parametrize(
    ("slug", "found", "mismatch"),
    [
        ("mae_vits16", "L2A", True),
        ("mae_vits16", "L1C", False),
        ("terramind_v1_l1c", "L2A", True),
        ("terramind_v1", "L2A", False),
        ("mae_vits16_rgb", "L2A", True),
        ("terramind_v1_rgb", "L1C", True),
        ("terramind_v1_rgb", "L2A", False),
        ("imagenet_vitb16", "L2A", False),
    ],
)
def test_surface_reflectance_into_a_top_of_atmosphere_model_is_recorded(slug, found, mismatch):
    task = CATALOG.task("eurosat").model_copy(update={"product": found})
    report = InputAdapter(CATALOG.model(slug), task, CATALOG.recipe("probing")).report
    assert (report.product_found, report.product_mismatch) == (found, mismatch)


def test_radar_of_another_product_is_recorded_beside_optics_of_the_right_one():
    task = CATALOG.task("terramesh_examples")
    report = InputAdapter(CATALOG.model("terramind_v1_s1s2"), task, CATALOG.recipe("probing")).report
    assert (report.product_expected, report.product_found) == ("L2A + GRD", "L2A + RTC")
    assert report.product_mismatch
    radar = task.model_copy(update={"bands": ("VV", "VH")})
    for slug, mismatch in (("terramind_v1_s1rtc", False), ("terramind_v1_s1", True), ("galileo_nano", True)):
        report = InputAdapter(CATALOG.model(slug), radar, CATALOG.recipe("probing")).report
        assert (report.product_found, report.product_mismatch) == ("RTC", mismatch), slug


def test_sen1floods11_has_an_entry_for_its_own_products():
    task, recipe = CATALOG.task("sen1floods11_s1s2"), CATALOG.recipe("probing")
    report = InputAdapter(CATALOG.model("terramind_v1_l1c_s1"), task, recipe).report
    assert (report.product_expected, report.product_found) == ("L1C + GRD", "L1C + GRD")
    assert report.filled_bands == ()


def test_own_rgb_entry_takes_the_place_of_the_variant_and_is_measured_on_rgb_tasks():
    own = CATALOG.model("terramind_v1_rgb")
    assert (own.reads, own.bands, own.options["modalities"]) == ((), ("B04", "B03", "B02"), ["RGB"])
    assert own.rgb_only
    assert own.weights == CATALOG.model("terramind_v1").weights
    for name in ("eurosat", "eurosat_rgb", "hls_burn_scars"):
        assert compatible(own, CATALOG.task(name)), name
        report = InputAdapter(own, CATALOG.task(name), CATALOG.recipe("probing")).report
        assert (report.real_bands, report.filled_bands) == (("B04", "B03", "B02"), ())


def test_joint_models_refuse_a_task_without_radar_rather_than_fill_it():
    for slug in ("croma_joint", "terramind_v1_s1s2"):
        assert not compatible(CATALOG.model(slug), CATALOG.task("eurosat"))
