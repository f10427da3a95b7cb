"""Items that cannot be measured are dropped and counted; wrong units and labels are refused."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec
from geofm_eval.data import inspection
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers import READERS
from geofm_eval.data.split import Split
from geofm_eval.datasets import check_splits, open_splits
from geofm_eval.errors import ContractError, DataError

NAN = np.nan
TASK = TaskSpec(
    slug="flood",
    title="Flood",
    kind="segmentation",
    metric="miou",
    reader="memory",
    root="data/flood",
    bands=("VV", "B04"),
    product="L1C",
    scale=(1.0, 10000.0),
    inspect=True,
    classes=("dry", "water"),
)


def image(vv: float = -12.0, red: float = 0.1) -> np.ndarray:
    return np.stack([np.full((4, 4), vv), np.full((4, 4), red)]).astype(np.float32)


def label(value: int = 0) -> np.ndarray:
    return np.full((4, 4), value, np.int64)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images and labels by id, one good item in every split; a test adds its own to the split of its name."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    (tmp_path / "data/flood").mkdir(parents=True)
    (tmp_path / "data/flood/file").write_text("x")
    found = {f"{name}_good": (image(), label(1)) for name in ("train", "val", "test")}

    def reader(task: TaskSpec, root: Path) -> Listing:
        items = {
            name: tuple(Item(i, root / "file", None, target=root / "file") for i in found if i.startswith(name))
            for name in ("train", "val", "test")
        }
        return Listing(root, items, "custom", lambda item: found[item.id][0], lambda item: found[item.id][1])

    monkeypatch.setitem(READERS, "memory", reader)
    return found


def test_items_without_pixel_or_label_are_dropped_and_counted(data):
    data["train_nan"] = (image(vv=NAN), label(1))
    data["train_blank"] = (image(), label(-1))
    half = image()
    half[0, :, :2] = NAN
    shadowed = label(-1)
    shadowed[:, :2] = 1
    data["test_apart"] = (half, shadowed)
    splits = open_splits(TASK)
    assert splits["train"].ids == ("train_good",)
    assert splits["train"].dropped == {
        inspection.NO_PIXEL: ("train_nan",),
        inspection.NO_LABEL: ("train_blank",),
    }
    # Its labels lie only where it has no pixels.
    assert splits["test"].dropped == {inspection.NO_LABEL: ("test_apart",)}
    assert splits["val"].dropped == {}


def test_a_data_set_is_inspected_once(data, monkeypatch):
    first = open_splits(TASK)
    monkeypatch.setattr(inspection, "_unusable", lambda *_: pytest.fail("inspected again"))
    assert open_splits(TASK)["train"].ids == first["train"].ids


def test_without_any_usable_item_the_reasons_are_told(data):
    data["test_good"] = (image(vv=NAN), label(1))
    with pytest.raises(DataError, match=r"split 'test' is empty \(0 \(1 dropped: no valid pixel\)\)"):
        open_splits(TASK)


@pytest.mark.parametrize(
    ("pixels", "target", "message"),
    [
        (image(red=1200.0), label(), r"median value is 1.2e\+07 DN, expected 20 to 20000"),
        (image(vv=25.0), label(), r"25 dB, expected -40 to 10.*linear backscatter"),
        (image(), label(2), r"label values range from 2 to 2, expected 0 to 1, or -1 for ignored pixels"),
        (image(), label()[:2], r"label map has \(2, 4\) pixels but the image has \(4, 4\)"),
        (image()[:1], label(), r"shape is \(1, 4, 4\), expected 2 bands \(VV, B04\)"),
    ],
)
def test_files_that_are_not_as_declared_are_refused(data, pixels, target, message):
    data["val_bad"] = (pixels, target)
    with pytest.raises(DataError, match=message):
        open_splits(TASK)


def test_scale_per_band(data):
    split = open_splits(TASK)["train"]
    found = split.read(0).pixels
    np.testing.assert_allclose(found[:, 0, 0], [-12.0, 1000.0], rtol=1e-6)
    np.testing.assert_array_equal(split.read_target(0), label(1))


def test_a_dense_task_has_no_label_per_item(data):
    with pytest.raises(ContractError, match="one label per pixel, not per sample"):
        _ = open_splits(TASK)["train"].labels


REGRESSION = TASK.model_copy(
    update={"kind": "regression", "metric": "r2", "classes": (), "target_range": (0.0, 500.0), "target_unit": "t/ha"}
)


def regression_reader(labels: dict[str, float]):
    def reader(task: TaskSpec, root: Path) -> Listing:
        items = {"all": tuple(Item(i, root / "file", value) for i, value in labels.items())}
        return Listing(root, items, "official", lambda item: image())

    return reader


def test_targets_that_are_nan_are_dropped_and_counted(data, monkeypatch):
    task = REGRESSION.model_copy(update={"protocol": "shuffle_splits"})
    monkeypatch.setitem(READERS, "memory", regression_reader({"a": 1.5, "b": NAN, "c": 300.0}))
    splits = open_splits(task)
    assert list(splits) == ["all"]
    assert splits["all"].labels.tolist() == [1.5, 300.0]
    assert splits["all"].dropped == {"the target is NaN": ("b",)}


def test_a_target_in_another_unit_is_refused(data, monkeypatch):
    task = REGRESSION.model_copy(update={"protocol": "shuffle_splits"})
    monkeypatch.setitem(READERS, "memory", regression_reader({"a": 15_000.0}))
    with pytest.raises(DataError, match="sample 'a' has the target 15000, expected 0 to 500 t/ha"):
        open_splits(task)


def test_groups_may_be_shared_where_the_task_says_so(tmp_path):
    items = [Item(name, tmp_path, None, group="event") for name in ("a", "b", "c")]

    def splits(task: TaskSpec) -> dict[str, Split]:
        return {
            name: Split(task, name, (item,), "official", lambda _: image())
            for name, item in zip(("train", "val", "test"), items, strict=True)
        }

    with pytest.raises(DataError, match="group 'event' is in splits 'train' and 'val'"):
        check_splits(splits(TASK))
    check_splits(splits(TASK.model_copy(update={"shared_groups": True})))
