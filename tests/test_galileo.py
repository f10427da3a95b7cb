"""Galileo: its own encoder's numbers, tokens at their places, whole groups or none."""

import json
import shutil

import pytest
import torch
from torch import Tensor

from geofm_eval.backbones import Backbone, load_backbone, pool
from geofm_eval.backbones.galileo import GROUPS, OPTICAL, groups_present
from geofm_eval.catalog import ModelSpec, TaskSpec, load_catalog
from geofm_eval.data.inputs import InputAdapter, ModelInput
from geofm_eval.errors import ContractError, Unavailable, WeightsError

pytest.importorskip("rslearn", reason="the extra galileo is not installed")
CATALOG = load_catalog()
S2_GROUPS = tuple(GROUPS)[1:]
RGB = tuple(band in GROUPS["S2_RGB"] for band in OPTICAL)
ALL = (True,) * 10


def spec(**fields) -> ModelSpec:
    """An entry without radar, unless ``bands`` says otherwise."""
    entry = CATALOG.model("galileo_nano_random")
    low, high = entry.normalisation.low, entry.normalisation.high
    optical = entry.normalisation.model_copy(update={"low": low[2:], "high": high[2:]})
    means = entry.fill_means.model_copy(update={"mean": entry.fill_means.mean[2:]})
    return entry.model_copy(update={"bands": OPTICAL, "normalisation": optical, "fill_means": means, **fields})


def with_radar(**fields) -> ModelSpec:
    small = {"depth": 2, "width": 32, "options": {"patch": 4}}
    return CATALOG.model("galileo_nano_random").model_copy(update={**small, **fields})


def load(model: ModelSpec | None = None, task: TaskSpec | str = "eurosat_rgb", **arguments):
    task = CATALOG.task(task) if isinstance(task, str) else task
    model = model or spec(depth=2, width=32, options={"patch": 4})
    return load_backbone(model, InputAdapter(model, task, CATALOG.recipe("probing")), **arguments)


def batch(count=2, side=16, present=RGB) -> ModelInput:
    pixels = torch.rand(count, len(present), side, side, generator=torch.Generator().manual_seed(0))
    return ModelInput(pixels, torch.ones(count, side, side, dtype=torch.bool), present)


def published_output(backbone: Backbone, images: ModelInput, patch: int, exit_after: int | None = None) -> Tensor:
    """The encoder as its authors call it: every Sentinel-2 group seen, June, (B, h, w, groups, D)."""
    from rslearn.models.galileo.galileo import GalileoModel

    pixels = images.pixels[:, -len(OPTICAL) :]
    given = GalileoModel.construct_galileo_input(s2=pixels.permute(0, 2, 3, 1)[:, :, :, None], normalize=False)
    output = backbone.network(**given._asdict(), patch_size=patch, exit_after=exit_after)
    return output[0][:, :, :, 0, 1:6]


def test_all_groups_equal_the_authors_call_at_every_block():
    backbone = load(task="eurosat_sim").backbone
    images = batch(present=ALL)
    taps = backbone(images)
    assert tuple(taps) == ("embed", "block00", "block01", "final")
    expected = published_output(backbone, images, patch=4)
    torch.testing.assert_close(taps["final"], expected.permute(0, 3, 1, 2, 4).flatten(1, 3))
    for blocks, tap in ((1, "block00"), (2, "block01")):
        stopped = published_output(backbone, images, 4, blocks).permute(0, 3, 1, 2, 4).flatten(1, 3)
        torch.testing.assert_close(backbone.network.norm(taps[tap]), stopped)
        torch.testing.assert_close(backbone.forward_to(images, blocks), stopped)


def test_layout_is_group_major_without_prefix():
    backbone = load().backbone
    layout = backbone.layout(batch())
    assert (layout.grid, layout.prefix, layout.groups) == ((4, 4), 0, S2_GROUPS)
    assert all(tokens.shape == (2, layout.tokens, 32) for tokens in backbone(batch()).values())


def test_missing_groups_are_masked_zero_and_invalid():
    backbone = load().backbone
    images = batch()
    mask = backbone.token_mask(images)
    assert mask[:, :16].all()
    assert not mask[:, 16:].any()
    for tokens in backbone(images).values():
        assert (tokens[:, 16:] == 0).all()
        assert (tokens[:, :16] != 0).any(dim=-1).all()


def test_masked_bands_have_no_influence():
    backbone = load().backbone
    images = batch()
    other = ModelInput(images.pixels.clone(), images.valid, images.present)
    other.pixels[:, 3:] = 1e6
    assert torch.equal(backbone(images)["final"], backbone(other)["final"])


def test_invalid_patches_are_masked_and_tokens_return_to_their_places():
    """Items of one batch lose different patches; each must come out as if it had been alone."""
    backbone = load().backbone
    images = batch(count=3)
    images.valid[0, :4, :4] = False
    images.valid[1, 8:, :] = False
    taps, mask = backbone(images), backbone.token_mask(images)
    assert mask.sum(dim=1).tolist() == [15, 8, 16]
    assert not mask[0, 0]
    for index in range(3):
        alone = backbone(ModelInput(images.pixels[index : index + 1], images.valid[index : index + 1], images.present))
        for tap in backbone.taps:
            torch.testing.assert_close(taps[tap][index], alone[tap][0], rtol=1e-4, atol=1e-5)
            assert (taps[tap][index][~mask[index]] == 0).all()
    changed = ModelInput(images.pixels.clone(), images.valid, images.present)
    changed.pixels[0, :, :4, :4] = 50.0
    assert torch.equal(backbone(changed)["final"], taps["final"])


def test_image_without_a_valid_pixel_spoils_nobody_else():
    backbone = load().backbone
    images = batch()
    images.valid[0] = False
    taps = backbone(images)
    assert not backbone.token_mask(images)[0].any()
    assert torch.isfinite(taps["final"]).all()


def test_group_of_which_only_a_part_exists_is_refused():
    task = CATALOG.task("eurosat_rgb").model_copy(update={"bands": ("B02", "B03", "B04", "B05")})
    with pytest.raises(ContractError, match=r"only a part of Galileo's group S2_Red_Edge .*B06, B07 missing"):
        load(task=task)
    with pytest.raises(ContractError, match="S2_SWIR"):
        groups_present((*ALL[:-1], False), S2_GROUPS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"patches": 8}}, r"unknown options \['patches'\] for galileo; known: patch, month"),
        ({"options": {"patch": 9}}, "patch 1 to 8"),
        ({"options": {"month": 13}}, "month must be 1 to 12"),
        ({"bands": tuple(reversed(OPTICAL))}, "bands must be VV, VH, B02, B03"),
        ({"bands": (*OPTICAL[:-2], "VV", "VH")}, "or begin with B02, without radar.*, found B02"),
        ({"prefix": 1}, "expected prefix = 0.*found prefix = 1"),
        ({"width": 40}, "a width divisible by 16 and num_heads.*width = 40"),
        ({"depth": 0}, "depth of at least 1.*depth = 0"),
        ({"image_size": 64}, "image_size must stay unset"),
    ],
)
def test_entries_that_galileo_cannot_serve_say_why(fields, message):
    with pytest.raises(ContractError, match=message):
        load(spec(**fields))


def test_images_that_the_patch_does_not_divide_are_refused():
    for side in (18, 2):
        with pytest.raises(ContractError, match=f"multiple of 4 pixels, found {side} x {side}"):
            load().backbone(batch(side=side))
    with pytest.raises(ContractError, match="blocks must be 1 to 2, found 0"):
        load().backbone.forward_to(batch(), 0)


def test_month_reaches_the_encoder():
    june, july = (load(spec(depth=2, width=32, options={"patch": 4, "month": month})).backbone for month in (6, 7))
    assert not torch.equal(june(batch())["embed"], july(batch())["embed"])


def test_missing_rslearn_is_a_skip_with_the_command(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rslearn.models.galileo.single_file_galileo", None)
    with pytest.raises(Unavailable, match=r"geofm-eval\[galileo\]"):
        load()


def test_catalog_normalises_as_rslearn_does():
    from rslearn.models.galileo.single_file_galileo import Normalizer

    published = Normalizer().shift_div_dict[13]
    rule = CATALOG.model("galileo_nano").normalisation
    low, extent = published["shift"][:12], published["div"][:12]
    assert rule.low == pytest.approx(low.tolist(), rel=1e-9)
    assert rule.high == pytest.approx((low + extent).tolist(), rel=1e-9)


def test_published_folder_gives_what_its_own_loader_gives(real_home, monkeypatch):
    from rslearn.models.galileo.single_file_galileo import Encoder

    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    loaded = load(CATALOG.model("galileo_nano"), task="eurosat_sim")
    assert (loaded.parameters, loaded.missing_keys, loaded.unexpected_keys) == (1037856, (), ())
    images = batch(side=32, present=(False, False, *ALL))
    taps = loaded.backbone(images)
    loaded.backbone.encoder = Encoder.load_from_folder(real_home / "weights/galileo_nano", torch.device("cpu")).eval()
    expected = published_output(loaded.backbone, images, patch=8).permute(0, 3, 1, 2, 4).flatten(1, 3)
    torch.testing.assert_close(taps["final"][:, 16:], expected, rtol=0, atol=0)
    assert (taps["final"][:, :16] == 0).all()


def test_folder_of_another_configuration_is_refused(real_home, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(real_home / "weights/galileo_nano", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    config = json.loads((folder / "config.json").read_text())
    config["model"]["encoder"]["num_heads"] = 4
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match="num_heads: file 4, entry 8"):
        load(CATALOG.model("galileo_nano"), weights=folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match="no Galileo configuration"):
        load(CATALOG.model("galileo_nano"), weights=folder)
    (folder / "encoder.pt").unlink()
    with pytest.raises(WeightsError, match=r"has no encoder\.pt; expected a folder"):
        load(CATALOG.model("galileo_nano"), weights=folder)


def test_pooled_features_of_one_group_are_its_own_mean():
    backbone = load().backbone
    images = batch()
    tokens = backbone(images)["block01"]
    pooled = pool(tokens, backbone.token_mask(images), backbone.layout(images), "mean")
    torch.testing.assert_close(pooled, tokens[:, :16].mean(dim=1))


@pytest.mark.parametrize("slug", ["galileo_tiny", "galileo_base"])
def test_larger_published_folders_load_by_their_configuration(tmp_path, slug):
    model = CATALOG.model(slug).model_copy(update={"depth": 1})
    source = load(CATALOG.model(f"{slug}_random").model_copy(update={"depth": 1, "random_seed": 3}), "eurosat_sim")
    heads = model.options["num_heads"]
    encoder = {"embedding_size": model.width, "depth": 1, "num_heads": heads, "mlp_ratio": 4, "max_patch_size": 8}
    (tmp_path / "config.json").write_text(json.dumps({"model": {"encoder": encoder}}))
    torch.save(source.backbone.network.state_dict(), tmp_path / "encoder.pt")
    loaded = load(model, "eurosat_sim", weights=tmp_path)
    images = batch(side=16, present=(False, False, *ALL))
    assert torch.equal(loaded.backbone(images)["final"], source.backbone(images)["final"])


RADAR_TASK = CATALOG.task("eurosat_sim").model_copy(update={"bands": ("VH", "VV"), "product": "GRD"})
BOTH_TASK = RADAR_TASK.model_copy(update={"bands": (*OPTICAL, "VH", "VV")})


@pytest.mark.parametrize(("task", "radar", "optical"), [(RADAR_TASK, True, False), (BOTH_TASK, True, True)])
def test_radar_equals_the_authors_call_with_and_without_sentinel2(task, radar, optical):
    from rslearn.models.galileo.galileo import GalileoModel

    backbone = load(with_radar(), task).backbone
    images = batch(present=(radar,) * 2 + (optical,) * 10)
    rows = images.pixels.permute(0, 2, 3, 1)[:, :, :, None]
    given = GalileoModel.construct_galileo_input(
        s1=rows[..., :2], s2=rows[..., 2:] if optical else None, normalize=False
    )
    expected = backbone.network(**given._asdict(), patch_size=4)[0][:, :, :, 0, :6]
    tokens = backbone(images)["final"]
    layout = backbone.layout(images)
    assert layout.groups == tuple(GROUPS)
    assert layout.groups[0] == "S1"
    assert backbone.groups_present(images) == (True, *(optical,) * 5)
    seen = 6 if optical else 1
    expected = expected.permute(0, 3, 1, 2, 4)[:, :seen].flatten(1, 3)
    torch.testing.assert_close(tokens[:, : seen * 16], expected)
    assert (tokens[:, seen * 16 :] == 0).all()
    assert backbone.token_mask(images).sum(dim=1).tolist() == [seen * 16] * 2


def test_entry_with_radar_gives_on_sentinel2_what_the_entry_without_gives():
    images = batch(present=ALL)
    wider = torch.cat([torch.full((2, 2, 16, 16), 7.0), images.pixels], dim=1)
    both = load(with_radar(), "eurosat_sim").backbone
    alone = load(task="eurosat_sim").backbone
    masked = ModelInput(wider, images.valid, (False, False, *ALL))
    given, expected = both(masked), alone(images)
    for tap in alone.taps:
        assert torch.equal(given[tap][:, 16:], expected[tap]), tap
        pooled = pool(given[tap], both.token_mask(masked), both.layout(masked), "mean")
        torch.testing.assert_close(pooled, expected[tap].mean(dim=1))


def test_one_polarisation_is_a_part_of_the_radar_group():
    with pytest.raises(ContractError, match=r"only a part of Galileo's group S1 \(VV, VH\): VH missing"):
        load(with_radar(), RADAR_TASK.model_copy(update={"bands": ("VV", "B08")}))
