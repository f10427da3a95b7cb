"""The look at own images with masks: how their names pair, and which stored values are classes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofm_eval.datasets import open_splits
from geofm_eval.looking import draft_entry, find_source
from tests.chip_files import write_tif
from tests.own_data import write_image


def masks(
    root: Path, names: tuple[str, str], values: tuple[int, ...] = (0, 1, 255), count: int = 6, **profile: Any
) -> Path:
    for number in range(count):
        image, mask = (root / name.format(number) for name in names)
        write_image(image, 400 + number)
        mask.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.resize(np.array(values, np.uint8), (8, 8))
        write_tif(mask, pixels[None], **profile)
    return root


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("images/{}.tif", "masks/{}.tif"), {"images": "images", "masks": "masks"}),
        (("a{}_merged.tif", "a{}.mask.tif"), {"image": "*_merged.tif", "mask": "*.mask.tif"}),
        (("image_{}.tif", "mask_{}.tif"), {"image": "image_*.tif", "mask": "mask_*.tif"}),
        (("train/images/{}.tif", "train/masks/{}.tif"), {"image": "*/images/*.tif", "mask": "*/masks/*.tif"}),
    ],
)
def test_images_with_masks_are_paired_by_their_names(names: tuple[str, str], options: dict[str, str], tmp_path: Path):
    draft = draft_entry(masks(tmp_path / "data", names), "shores", "B02,B03,B04,B08")
    assert {name: draft.task.options[name] for name in options} == options
    assert draft.task.kind == "segmentation"
    assert draft.task.classes == ("class_0", "class_1")
    assert draft.task.options["ignore"] == [255]
    assert draft.items == 6


def test_values_that_are_not_counted_from_zero_are_mapped(tmp_path: Path):
    source = find_source(masks(tmp_path, ("images/{}.tif", "masks/{}.tif"), (0, 255)))
    assert source.options["values"] == {"0": "class_0", "255": "class_255"}
    assert "ignore" not in source.options


@pytest.mark.parametrize(("values", "classes"), [((0, 1), 2), ((0, 1, 2), 3), ((0, 1, 255), 2)])
def test_a_class_0_that_is_declared_as_nodata_stays_a_class(values: tuple[int, ...], classes: int, tmp_path: Path):
    draft = draft_entry(masks(tmp_path, ("images/{}.tif", "masks/{}.tif"), values, nodata=0), "shores", "PlanetScope4")
    assert draft.task.classes == tuple(f"class_{number}" for number in range(classes))
    assert "0 is the nodata value of the masks and is kept as class_0" in " ".join(draft.warnings)
    target = open_splits(draft.task)["train"].read_target(0)
    assert set(np.unique(target)) - {draft.task.ignore} == set(range(classes))


def test_a_nodata_value_other_than_0_is_no_class(tmp_path: Path):
    source = find_source(masks(tmp_path, ("images/{}.tif", "masks/{}.tif"), (0, 1, 9), nodata=9))
    assert source.classes == ("class_0", "class_1")
    assert not source.warnings
