"""The check of models and tasks before a run: everything is loaded, and what would fail is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from typer.testing import CliRunner

from geofm_eval.catalog import ModelSpec, Normalisation, TaskSpec, WeightsSpec, load_catalog
from geofm_eval.checking import BackboneCheck, check_embeddings, check_model, check_task, preview_input
from geofm_eval.checking.leaks import find_leaks
from geofm_eval.checking.synthetic import synthetic_data
from geofm_eval.cli import app
from geofm_eval.cli.checks import named
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers import READERS
from geofm_eval.errors import ContractError, DataError, Unavailable, WeightsError
from tests.chip_files import write_tif
from tests.own_data import own_task, write_image
from tests.six_images import PER_SPLIT, six_images
from tests.small_vit import load, small_vit

CATALOG = load_catalog()


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    return six_images(tmp_path, monkeypatch)


def lines_of(task: TaskSpec) -> list[str]:
    return list(check_task(task).lines)


def test_complete_copy_is_counted_and_called_complete(task):
    assert lines_of(task) == [
        "eurosat_rgb: readable and complete",
        "  train    3 of 3 samples; the first, River_0, is 3 x 64 x 64, 100% valid",
        "  val      2 of 2 samples; the first, River_3, is 3 x 64 x 64, 100% valid",
        "  test     1 of 1 samples; the first, River_5, is 3 x 64 x 64, 100% valid",
        "  split    official",
    ]


def test_copy_with_fewer_items_than_published_is_not_complete(task):
    larger = task.model_copy(update={"official_sizes": (3, 2, 7)})
    with pytest.raises(DataError, match=r"split 'test' has 1 samples, but the complete data set has 7"):
        lines_of(larger)


def test_copy_with_a_split_file_of_its_own_is_called_custom(task, tmp_path):
    rows = [f"River/River_{n}.jpg,River,{split}" for n, split in enumerate(["train", "val", "test"])]
    (tmp_path / "data/eurosat_rgb/splits.csv").write_text("\n".join(["file,class,split", *rows]))
    lines = lines_of(task)
    assert lines[1].startswith("  train    1 of 3 samples; ")
    assert "custom (from the folder's split file)" in lines[-1]


def test_damaged_image_is_named(task, tmp_path):
    (tmp_path / "data/eurosat_rgb/River/River_3.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"River_3\.jpg: not a readable image"):
        lines_of(task)


def test_absent_data_come_with_instructions(task, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(Unavailable, match=r"eurosat_rgb does not exist\. Unpack EuroSAT\.zip"):
        lines_of(task)


def test_targets_of_dense_tasks_are_read_and_dropped_items_are_counted(tmp_path, monkeypatch):
    chip = tmp_path / "chip.tif"
    chip.touch()

    def read_listing(task: TaskSpec, root: Path) -> Listing:
        items = {name: (Item(f"{name}_0", chip, None, target=chip),) for name in PER_SPLIT}
        dropped = {"test": {"label is NaN": ("a", "b")}}
        pixels, target = np.full((1, 8, 6), 500.0, np.float32), np.zeros((8, 6), np.int64)
        return Listing(root, items, "official", lambda item: pixels, lambda item: target, dropped)

    monkeypatch.setitem(READERS, "made_up", read_listing)
    dense = TaskSpec(
        slug="dense", title="Dense", kind="segmentation", metric="miou", reader="made_up", root=str(tmp_path),
        bands=("B04",), product="L1C", classes=("land", "water"), official_sizes=(1, 1, 3),
    )  # fmt: skip
    lines = lines_of(dense)
    assert lines[1] == "  train    1 of 1 samples; the first, train_0, is 1 x 8 x 6, target 8 x 6, 100% valid"
    assert lines[3].startswith("  test     1 of 3 samples; 2 dropped: label is NaN; the first, ")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, r"\(nodata 0 is background; to ignore it, set label_nodata = 'ignore'\)"),
        ("ignore", r"\(nodata 0: no label\)"),
    ],
)
def test_what_the_nodata_of_labels_means_is_said(tmp_path, monkeypatch, told, says):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    fields = load_catalog().task("ai4smallfarms").model_copy(update={"official_sizes": (1, 1, 1), "label_nodata": told})
    for number, split in enumerate(("train", "validate", "test")):
        folder = tmp_path / fields.root / "sentinel-2-asia" / split
        write_tif(folder / "images" / f"{number}.tif", np.full((4, 6, 6), 900, np.uint16))
        write_tif(folder / "masks" / f"{number}.tif", np.eye(6, dtype=np.uint8), nodata=0)
    assert re.search(says, lines_of(fields)[1])


def test_simulated_data_can_be_checked():
    task = load_catalog().task("eurosat_sim")
    lines = lines_of(task.model_copy(update={"sizes": (20, 10, 10)}))
    assert lines[0] == "eurosat_sim: readable and complete"
    assert lines[1].startswith("  train    20 of 20 samples; the first, AnnualCrop_1, is 13 x 64 x 64")


CLASSES = ("crop", "forest", "water")


def chips(root: Path, east: bool = False, split: str = "", first: int = 0, step: float = 2000.0) -> None:
    """Twelve images of three classes, on one line if they have places."""
    for number in range(first, first + 12):
        name = root / split / CLASSES[number % 3] / f"{number}.tif"
        write_image(name, 400 + number, east=step * number if east else None)


def test_own_data_are_read_counted_and_divided(tmp_path: Path):
    chips(tmp_path, east=True)
    found = check_task(own_task(tmp_path, protocol="folds"))
    assert found.lines[0] == "fields: readable"
    assert "12 samples; the first, crop/0.tif, is 4 x 8 x 8, 100% valid" in found.lines[1]
    assert "own data, by blocks, block_m" in found.lines[-1]
    assert len(found.counts) == 5
    assert sum(map(sum, found.counts.values())) == 12
    assert [band.unit for band in found.bands] == ["DN"] * 4
    assert "fewer than 10 training samples" in found.warnings[-1]


def test_bands_that_are_not_named_are_refused(tmp_path: Path):
    chips(tmp_path)
    with pytest.raises(ContractError, match=r"bands are \?, \?, \?, \?\. Name each band in the order of the files"):
        check_task(own_task(tmp_path, bands=("?",) * 4))


def test_colours_as_bands_are_warned_about_with_the_names_to_use(tmp_path: Path):
    chips(tmp_path)
    found = check_task(own_task(tmp_path, bands=("Blue", "Green", "Red", "NIR")))
    assert "did you mean B02 for Blue, B03 for Green, B04 for Red, B08 for NIR?" in found.warnings[0]


def test_equal_files_in_two_splits_are_refused_unless_accepted(tmp_path: Path):
    for number, split in enumerate(("train", "val", "test")):
        chips(tmp_path, split=split, first=12 * number)
    write_image(tmp_path / "test/crop/copy.tif", 400)  # as train/crop/0.tif
    with pytest.raises(DataError, match=r"2 samples have the same bytes as a sample of another split, first .*0\.tif"):
        check_task(own_task(tmp_path))
    accepted = check_task(own_task(tmp_path, shared_groups=True))
    assert accepted.warnings[0].startswith("2 samples have the same bytes")


def test_overlapping_images_in_two_splits_are_refused(tmp_path: Path):
    for number, split in enumerate(("train", "val", "test")):
        chips(tmp_path, east=True, split=split, first=12 * number)
    write_image(tmp_path / "test/crop/near.tif", 999, east=40.0)  # half of train/crop/0.tif
    with pytest.raises(DataError, match=r"2 samples show the same place .*crop/0\.tif.*\(train\).*near\.tif.*\(test\)"):
        check_task(own_task(tmp_path))


def item(name: str, **fields: object) -> Item:
    return Item(name, Path(f"{name}.tif"), 0, **fields)  # type: ignore[arg-type]


def test_groups_and_coordinates_in_two_splits_are_found():
    parts = {
        "train": [item("a", group="g"), item("b", lonlat=(1.0, 2.0))],
        "test": [item("c", group="g"), item("d", lonlat=(1.0, 2.0))],
    }
    assert [(leak.what, leak.count) for leak in find_leaks(parts, {})] == [
        ("are of the same group", 2), ("are at the same coordinates", 2),
    ]  # fmt: skip


def test_windows_of_one_scene_are_no_copies():
    boxes = {"train": (0.0, 0.0, 1.0, 1.0), "test": (2.0, 0.0, 3.0, 1.0)}
    parts = {name: [Item(name, Path("scene.tif"), 0, box=box)] for name, box in boxes.items()}
    assert find_leaks(parts, {Path("scene.tif"): "0" * 64}) == []


def test_one_file_under_two_names_in_two_splits_is_a_leak():
    parts = {name: [Item(name, Path("chip.png"), 0)] for name in ("train", "test")}
    (leak,) = find_leaks(parts, {Path("chip.png"): "0" * 64})
    assert "have the same bytes" in str(leak)


def test_rows_of_a_table_without_images_are_no_copies():
    parts = {name: [Item(name, Path("rows.csv"), 0)] for name in ("train", "test")}
    assert find_leaks(parts, {Path("rows.csv"): "0" * 64}) == []


NAMES = st.sampled_from(["a", "b", "c", None])


@given(st.lists(st.tuples(st.sampled_from(["train", "val", "test"]), NAMES), max_size=12))
def test_a_group_leaks_exactly_if_it_is_in_two_splits(rows: list[tuple[str, str | None]]):
    parts: dict[str, list[Item]] = {}
    for number, (split, group) in enumerate(rows):
        parts.setdefault(split, []).append(item(f"{number}", group=group))
    splits_of = {group: {split for split, one in rows if one == group} for _, group in rows if group is not None}
    found = find_leaks(parts, {})
    assert bool(found) == any(len(splits) > 1 for splits in splits_of.values())


def checked(spec: ModelSpec, **arguments: object) -> BackboneCheck:
    return check_model(spec, CATALOG.recipe("probing"), **arguments)  # type: ignore[arg-type]


def test_a_model_alone_encodes_synthetic_images():
    found = checked(small_vit())
    assert found.read == "4 synthetic images, input 13 x 16 x 16"
    assert found.taps == dict.fromkeys(("embed", "block00", "block01", "block02", "final"), (5, 16))
    assert found.repeated
    assert found.warnings == []
    assert "tokens   grid 2 x 2, 1 prefix tokens" in found.lines


@pytest.mark.parametrize("slug", [slug for slug, model in CATALOG.models.items() if model.architecture != "pocket"])
def test_synthetic_images_fit_every_model_of_the_catalog(slug: str):
    model = CATALOG.model(slug)
    data = synthetic_data(
        model.model_copy(update={"image_size": model.image_size and 16}), 2 if model.temporal else None
    )
    batch = InputAdapter(model.model_copy(update={"image_size": None}), data.task, CATALOG.recipe("probing"))(
        data.images
    )
    assert bool(batch.pixels.isfinite().all())


def test_a_prefix_that_would_help_is_named(tmp_path: Path):
    weights = {f"module.{key}": value for key, value in load(small_vit()).backbone.network.state_dict().items()}
    torch.save(weights, tmp_path / "wrapped.pt")
    spec = small_vit().model_copy(
        update={"weights": WeightsSpec(file=str(tmp_path / "wrapped.pt")), "random_seed": None}
    )
    with pytest.raises(WeightsError, match=r"fit with strip_prefix = 'module\.' under the entry's weights"):
        checked(spec)


class Noisy(nn.Module):
    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return tokens + torch.rand_like(tokens)


def test_a_backbone_that_is_random_is_refused(monkeypatch: pytest.MonkeyPatch):
    loaded = load(small_vit())
    loaded.backbone.network.blocks[1].register_forward_hook(lambda _, __, tokens: Noisy()(tokens))
    monkeypatch.setattr("geofm_eval.checking.backbone.load_backbone", lambda *_, **__: loaded)
    with pytest.raises(
        ContractError, match=r"features do not depend on each image alone.*It is random or keeps a state"
    ):
        checked(small_vit())


def test_equal_features_of_all_images_are_warned_about(monkeypatch: pytest.MonkeyPatch):
    loaded = load(small_vit())
    loaded.backbone.network.patch_embed.proj.weight.zero_()
    monkeypatch.setattr("geofm_eval.checking.backbone.load_backbone", lambda *_, **__: loaded)
    assert checked(small_vit()).warnings == [
        "features of embed to final are equal for all images: check normalisation and weights"
    ]


def test_controls_without_normalisation_raise_no_alarm(tmp_path: Path):
    chips(tmp_path)
    task = own_task(tmp_path)
    images = check_task(task).images
    for model, alarms in (("band_stats", 0), ("rcf", 0)):
        assert len(preview_input(CATALOG.model(model), task, CATALOG.recipe("probing"), images).warnings) == alarms
    wrong = small_vit(bands=task.bands, missing="refuse", normalisation=Normalisation(high=10.0), fill_means=None)
    found = preview_input(wrong, task, CATALOG.recipe("probing"), images).warnings
    assert "check unit and scale" in found[-1]


def test_embeddings_are_looked_up_for_every_sample(tmp_path: Path):
    rows = "".join(f"p{number},{'xy'[number % 2]},{number}.5,1\n" for number in range(12))
    (tmp_path / "rows.csv").write_text(f"id,label,e0,e1\n{rows}")
    task = TaskSpec(
        slug="plots", title="Plots", reader="table", root=str(tmp_path / "rows.csv"), classes=("x", "y"), bands=(),
        product="any",
    )  # fmt: skip
    model = ModelSpec.model_validate(
        {
            "slug": "rows01", "title": "Rows", "architecture": "table", "tasks": ["plots"],
            "options": {"file": str(tmp_path / "rows.csv")},
        }
    )  # fmt: skip
    found = check_task(task)
    assert "12 samples without images" in found.lines[1]
    looked = check_embeddings(model, task, found.splits)
    assert "12 rows of 2 numbers; 0 belong to no sample, 0 of 12 samples have no row" in looked.lines[1]
    assert looked.warnings == ("tap final: 1 of 2 numbers are equal in all samples",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], "'a' is neither a model nor a task"),
        (["rcf", "band_stats"], "rcf and band_stats are both models; give a model, a task, or one of each"),
        (["eurosat", "eurosat_rgb"], "are both tasks"),
        (["rcf", "eurosat", "mados"], "found 3 names"),
    ],
)
def test_names_that_are_not_a_model_and_a_task_are_refused(names: list[str], message: str):
    with pytest.raises(ContractError, match=message):
        named(CATALOG, names)


def test_names_are_recognised_in_either_order():
    pair = CATALOG.model("rcf"), CATALOG.task("eurosat")
    assert named(CATALOG, ["rcf", "eurosat"]) == named(CATALOG, ["eurosat", "rcf"]) == pair
    assert named(CATALOG, ["eurosat"]) == (None, pair[1])


def test_a_checkpoint_that_cannot_load_is_refused_by_the_command(tmp_path: Path):
    torch.save(load(small_vit()).backbone.network.state_dict(), tmp_path / "w.pt")
    done = CliRunner().invoke(app, ["check", "pocket_mae", "--weights", str(tmp_path / "w.pt")])
    assert isinstance(done.exception, WeightsError)
    assert "nothing found that would stop a run" not in done.output


def test_the_command_prints_licence_taps_and_the_verdict():
    done = CliRunner().invoke(app, ["check", "pocket_mae"])
    assert done.exit_code == 0
    for text in (
        "licence  MIT; commercial use: yes",
        "embed to final",
        "pocket_mae: nothing found that would stop a run",
    ):
        assert text in done.output
