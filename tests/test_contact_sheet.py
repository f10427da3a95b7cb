"""Contact sheets: which chips, which colours, and that the file is a picture of the right thing."""

import numpy as np
import pytest
from PIL import Image

from geofm_eval.catalog import load_catalog
from geofm_eval.records.examples import Example, pick
from geofm_eval.report.trainings.contact_sheet import NOTHING, class_picture, composite, write_sheet

CATALOG = load_catalog()
FLOODS, HEIGHTS = CATALOG.task("sen1floods11_sim"), CATALOG.task("biomassters_sim")


def row(bands=("B04", "B03", "B02"), target=None, predicted=None, **more):
    rng = np.random.default_rng(0)
    target = np.pad(np.ones((8, 8), np.int64), 4) if target is None else target
    given = {
        "id": "chip",
        "image": rng.uniform(0, 3000, (len(bands), 16, 16)).astype(np.float32),
        "valid": np.ones((16, 16), bool),
        "bands": tuple(bands),
        "date": None,
        "target": target,
        "known": np.isfinite(target) & (target != -1),
        "predicted": np.zeros_like(target) if predicted is None else predicted,
        "score": 0.5,
    }
    return Example(**{**given, **more})


def test_best_median_and_worst_are_picked():
    assert pick([0.2, 0.9, 0.5, 0.1, 0.7]) == [1, 2, 3]
    assert pick([0.3, float("nan"), 0.4]) == [2, 0]
    assert pick([0.5]) == [0]
    assert pick([float("nan")]) == []
    assert pick([0.5, 0.5, 0.5]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("bands", "shown"),
    [
        (("B02", "B03", "B04", "B08"), "B04 B03 B02"),
        (("VV", "VH"), "VV VH VV/VH"),
        (("B08", "B11"), "B08"),
    ],
)
def test_the_composite_says_what_it_shows(bands, shown):
    picture, text = composite(row(bands))
    assert text == shown
    assert picture.shape == (16, 16, 3)
    assert 0 <= picture.min() <= picture.max() <= 1


def test_colours_follow_the_bands_and_what_is_invalid_is_grey():
    image = np.zeros((3, 16, 16), np.float32)
    image[2, :, 8:] = 1000.0
    valid = np.ones((3, 16, 16), bool)
    valid[1, 0] = False
    picture, text = composite(row(("B02", "B03", "B04"), image=image, valid=valid, date="2020-05-01"))
    assert picture[5, 12].tolist() == [1, 0, 0]
    assert picture[5, 2].tolist() == [0, 0, 0]
    assert np.allclose(picture[0], int(NOTHING[1:3], 16) / 255)
    assert text == "B04 B03 B02, 2020-05-01"


def test_a_class_has_the_same_colour_everywhere():
    classes = np.array([[0, 1], [1, -1]])
    picture = class_picture(classes, classes >= 0)
    assert picture[0, 1].tolist() == picture[1, 0].tolist() != picture[0, 0].tolist()
    assert picture[1, 1].tolist() == [int(NOTHING[1:3], 16) / 255] * 3


def test_a_sheet_is_written_whole(tmp_path):
    target = np.pad(np.ones((8, 8), np.int64), 4)
    target[0] = -1
    rows = [
        row(target=target, predicted=p)
        for p in (np.clip(target, 0, 1), np.zeros_like(target), 1 - np.clip(target, 0, 1))
    ]
    write_sheet(rows, FLOODS, "pocket_mae-sen1floods11_sim-lightms_frozen_p100-multi", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        pixels = np.asarray(picture.convert("RGB"))
    wrong = (pixels == [197, 27, 125]).all(-1)
    third = len(pixels) // 3
    assert wrong[:third].sum() < wrong[third : 2 * third].sum() < wrong[2 * third :].sum()
    assert [path.name for path in tmp_path.iterdir()] == ["sheet.png"]


def test_numbers_get_a_scale_with_their_unit(tmp_path):
    target = np.random.default_rng(1).uniform(0, 300, (16, 16)).astype(np.float32)
    target[0, 0] = np.nan
    write_sheet([row(target=target, predicted=target + 20)], HEIGHTS, "heights", tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as picture:
        assert picture.size[0] > 1000
