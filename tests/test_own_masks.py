"""Own images with masks: pairs, formats of masks, meanings of values, split lists, and what can be wrong."""

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Pool
from geofm_eval.data.readers import masks
from geofm_eval.data.readers.mask_files import read_mask
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError
from tests.chip_files import write_lines, write_tif
from tests.own_tasks import own_task, scene, write_scene

SIDE, COUNT = 8, 10
FOLDERS = {"images": "images", "masks": "masks"}
NAMES = tuple(f"chip{number}" for number in range(COUNT))


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path_factory.mktemp("cache")))


def classes(seed: int, values: tuple[int, ...] = (0, 1)) -> np.ndarray:
    return np.random.default_rng(seed).choice(values, (SIDE, SIDE)).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten pairs in two folders, far from each other on Earth."""
    for number, name in enumerate(NAMES):
        place = (500_000 + 1000 * number, 4_500_000)
        write_scene(tmp_path / f"images/{name}.tif", scene(SIDE, number), *place)
        write_scene(tmp_path / f"masks/{name}.tif", classes(number), *place)
    return tmp_path


def task(root: Path, options: dict[str, Any] | None = None, **fields: Any) -> TaskSpec:
    return own_task(root, "masks", FOLDERS if options is None else options, **fields)


def pool(root: Path, options: dict[str, Any] | None = None, **fields: Any) -> Pool:
    return masks.read_pool(task(root, options, **fields), root)


def targets(found: Pool) -> dict[str, np.ndarray]:
    assert found.load_target is not None
    return {item.id: found.load_target(item) for item in found.items}


def save_png(path: Path, pixels: np.ndarray, mode: str, palette: list[int] | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels, mode) if mode != "P" else Image.fromarray(pixels, "L")
    if mode == "P":
        image = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
        image.putpalette(palette or [255, 0, 0, 0, 255, 0])
    image.save(path)


def png_masks(root: Path, mode: str = "L", values: tuple[int, ...] = (0, 1)) -> dict[str, np.ndarray]:
    """Replace the masks of a folder by PNG."""
    found = {}
    for number, name in enumerate(NAMES):
        (root / f"masks/{name}.tif").unlink()
        found[name] = classes(number, values)
        save_png(root / f"masks/{name}.png", found[name], mode)
    return found


def test_end_to_end(root: Path):
    splits = open_splits(task(root))
    assert sum(len(split) for split in splits.values()) == COUNT
    for split in splits.values():
        for index, id in enumerate(split.ids):
            image, target = split.read_pair(index)
            number = NAMES.index(id)
            assert np.array_equal(image.pixels, scene(SIDE, number))
            assert np.array_equal(target, classes(number))
            assert split.items[index].box is not None


def test_patterns_pair_by_what_the_star_matches(tmp_path: Path):
    for folder in ("training", "validation"):
        write_tif(tmp_path / folder / "one_merged.tif", scene(SIDE))
        write_tif(tmp_path / folder / "one.mask.tif", classes(0))
    found = pool(tmp_path, {"image": "*_merged.tif", "mask": "*.mask.tif"})
    assert [item.id for item in found.items] == ["training/one", "validation/one"]
    assert found.given == {"training/one": "train", "validation/one": "val"}


@pytest.mark.parametrize(
    ("image", "mask", "names", "id"),
    [
        ("*.tif", "*.mask.tif", ("a.tif", "a.mask.tif"), "a"),
        ("*_x.tif", "*.tif", ("a_x.tif", "a.tif"), "a"),
        ("img_*.tif", "lab_*.png", ("s/img_1.tif", "s/lab_1.png"), "s/1"),
        ("*/images/*.tif", "*/masks/*.tif", ("p/images/1.tif", "p/masks/1.tif"), "p/1"),
        ("images/*.tif", "masks/*.png", ("images/k/1.tif", "masks/k/1.png"), "k/1"),
        ("*(1).tif", "*(2).tif", ("a(1).tif", "a(2).tif"), "a"),
    ],
)
def test_patterns(tmp_path: Path, image: str, mask: str, names: tuple[str, str], id: str):
    write_tif(tmp_path / names[0], scene(SIDE))
    if names[1].endswith(".png"):
        save_png(tmp_path / names[1], classes(0), "L")
    else:
        write_tif(tmp_path / names[1], classes(0))
    assert [item.id for item in pool(tmp_path, {"image": image, "mask": mask}).items] == [id]


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_pictures_may_be_the_images(root: Path, suffix: str):
    for name in NAMES:
        (root / f"images/{name}.tif").unlink()
        Image.fromarray(np.full((SIDE, SIDE, 3), 90, np.uint8)).save(root / f"images/{name}.{suffix}")
    fields = {"bands": ("B04", "B03", "B02"), "scale": 10.0}
    splits = open_splits(task(root, **fields))
    image, target = splits["train"].read_pair(0)
    assert image.pixels.shape == (3, SIDE, SIDE)
    assert np.array_equal(target, classes(NAMES.index(splits["train"].ids[0])))


@pytest.mark.parametrize("mode", ["L", "P"])
def test_grey_values_and_palette_indices_are_classes(root: Path, mode: str):
    expected = png_masks(root, mode)
    for id, target in targets(pool(root)).items():
        assert np.array_equal(target, expected[id])


def write_packed(path: Path, values: np.ndarray, bits: int) -> None:
    """Write a grey PNG with fewer than 8 bits per pixel, which Pillow cannot write."""
    rows = b"".join(
        b"\0" + np.packbits(np.unpackbits(row[:, None].astype(np.uint8), axis=1)[:, 8 - bits :].ravel()).tobytes()
        for row in values
    )
    height, width = values.shape
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_values_of_few_bits_are_not_stretched(tmp_path: Path, bits: int):
    values = np.random.default_rng(0).integers(0, 2**bits, (SIDE, SIDE))
    write_packed(tmp_path / "mask.png", values, bits)
    assert np.array_equal(read_mask(tmp_path / "mask.png", None)[0].pixels[0], values)


def test_grey_values_of_sixteen_bits(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, 2**16, (SIDE, SIDE)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "mask.png")
    assert np.array_equal(read_mask(tmp_path / "mask.png", None)[0].pixels[0], values)


def test_transparent_pixels_have_no_label(root: Path):
    png_masks(root)
    layers = np.stack([classes(0), np.full((SIDE, SIDE), 255, np.uint8)], axis=-1)
    layers[0, :, 1] = 0
    Image.fromarray(layers, "LA").save(root / "masks/chip0.png")
    target = targets(pool(root))["chip0"]
    assert (target[0] == -1).all()
    assert np.array_equal(target[1:], classes(0)[1:])


def test_npy_masks(root: Path):
    for number, name in enumerate(NAMES):
        (root / f"masks/{name}.tif").unlink()
        np.save(root / f"masks/{name}.npy", classes(number).astype(bool))
    for id, target in targets(pool(root)).items():
        assert np.array_equal(target, classes(NAMES.index(id)))


@settings(deadline=None, max_examples=30)
@given(
    meaning=st.dictionaries(st.integers(0, 255), st.sampled_from("abc"), min_size=3, max_size=9).filter(
        lambda found: set(found.values()) == set("abc")
    ),
    seed=st.integers(0, 99),
)
def test_values_mean_what_the_map_says(tmp_path_factory: pytest.TempPathFactory, meaning: dict[int, str], seed: int):
    root = tmp_path_factory.mktemp("values")
    ignored = next(value for value in range(256) if value not in meaning)
    stored = classes(seed, (*meaning, ignored))
    write_tif(root / "images/x.tif", scene(SIDE))
    write_tif(root / "masks/x.tif", stored)
    options = {**FOLDERS, "values": {str(value): name for value, name in meaning.items()}, "ignore": [ignored]}
    found = targets(pool(root, options, classes=("a", "b", "c")))["x"]
    expected = [["abc".index(meaning[value]) if value in meaning else -1 for value in row] for row in stored.tolist()]
    assert np.array_equal(found, expected)


def cvat(root: Path, *lines: str) -> None:
    write_lines(root / "labelmap.txt", "# label:color_rgb:parts:actions", *lines)


COLOURS = np.array([[250, 50, 83], [0, 0, 0], [52, 209, 183]], np.uint8)
MAP = ("a:250,50,83::", "background:0,0,0::", "b:52,209,183::")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_labelmap_of_cvat(tmp_path: Path, mode: str):
    index = classes(3, (0, 1, 2))
    write_tif(tmp_path / "images/x.tif", scene(SIDE))
    pixels = index if mode == "P" else COLOURS[index]
    if mode == "RGBA":
        pixels = np.concatenate([pixels, np.full((SIDE, SIDE, 1), 255, np.uint8)], axis=-1)
    save_png(tmp_path / "SegmentationClass/x.png", pixels, mode, COLOURS.ravel().tolist())
    cvat(tmp_path, *MAP)
    options = {"images": "images", "masks": "SegmentationClass", "ignore": ["background"]}
    found = pool(tmp_path, options)
    assert np.array_equal(targets(found)["x"], np.array([0, -1, 1])[index])
    assert found.items[0].target_others == (tmp_path / "labelmap.txt",)


def test_another_legend_gives_another_identity(tmp_path: Path):
    for name in NAMES:
        write_tif(tmp_path / f"images/{name}.tif", scene(SIDE))
        save_png(tmp_path / f"masks/{name}.png", COLOURS[classes(3, (0, 2))], "RGB")
    seen = set()
    for lines in (("a:250,50,83::", "b:52,209,183::"), ("b:250,50,83::", "a:52,209,183::")):
        cvat(tmp_path, *lines)
        seen.add(open_splits(task(tmp_path))["train"].labels_sha256)
    assert len(seen) == 2


def test_order_of_classes_is_part_of_the_identity(root: Path):
    options = {**FOLDERS, "values": {"0": "a", "1": "b"}}
    one = open_splits(task(root, options, classes=("a", "b")))["train"]
    two = open_splits(task(root, options, classes=("b", "a")))["train"]
    assert one.labels_sha256 != two.labels_sha256
    assert one.items_sha256 == two.items_sha256


def test_nodata_of_a_mask_has_no_label(root: Path):
    stored = classes(0)
    stored[0] = 255
    write_scene(root / "masks/chip0.tif", stored, 500_000, 4_500_000, nodata=255)
    target = targets(pool(root))["chip0"]
    assert (target[0] == -1).all()
    assert np.array_equal(target[1:], stored[1:])


@pytest.mark.parametrize("suffix", ["tif", "npy", "png"])
def test_numbers_per_pixel(root: Path, suffix: str):
    stored = np.random.default_rng(0).integers(1, 200, (SIDE, SIDE)).astype(np.uint8 if suffix == "png" else np.float32)
    stored[0, 0] = 7
    if suffix != "png":
        stored[1, 1] = np.nan
    (root / "masks/chip0.tif").unlink()
    if suffix == "tif":
        write_scene(root / "masks/chip0.tif", stored, 500_000, 4_500_000)
    elif suffix == "npy":
        np.save(root / "masks/chip0.npy", stored)
    else:
        save_png(root / "masks/chip0.png", stored, "L")
    target = targets(pool(root, {**FOLDERS, "ignore": 7}, kind="dense_regression"))["chip0"]
    expected = np.where(stored == 7, np.nan, stored)
    assert target.dtype == np.float32
    assert np.array_equal(target, expected.astype(np.float32), equal_nan=True)


@pytest.mark.parametrize("place", ["", "lists/", "ImageSets/Segmentation/"])
def test_split_lists(root: Path, place: str):
    write_lines(root / f"{place}train.txt", *NAMES[:6])
    write_lines(root / f"{place}valid.txt", *NAMES[6:8], "", "absent")
    write_lines(root / f"{place}test.txt", f"{NAMES[8]}.tif")
    found = pool(root)
    assert found.given == {name: "train" if k < 6 else "val" if k < 8 else "test" for k, name in enumerate(NAMES[:9])}
    assert found.dropped == {
        "is in a split list but has no image and mask": ("absent",),
        "is in no split list": ("chip9",),
    }
    splits = open_splits(task(root))
    assert splits["val"].ids == NAMES[6:8]


def test_split_folders(root: Path):
    for number, name in enumerate(NAMES):
        folder = ("train", "Validation", "test")[number % 3]
        for kind in ("images", "masks"):
            (root / kind / folder).mkdir(exist_ok=True)
            (root / kind / f"{name}.tif").rename(root / kind / folder / f"{name}.tif")
    found = pool(root)
    assert set(found.given.values()) == {"train", "val", "test"}
    assert found.given["Validation/chip1"] == "val"
    assert [len(split) for split in open_splits(task(root)).values()] == [4, 3, 3]


def test_one_list_or_folder_alone_does_not_divide(root: Path, caplog: pytest.LogCaptureFixture):
    write_lines(root / "train.txt", *NAMES)
    assert pool(root).given == {}
    assert "the only list" in caplog.text


def test_files_without_a_partner_are_counted(root: Path):
    (root / "masks/chip0.tif").unlink()
    (root / "images/chip1.tif").unlink()
    assert pool(root).dropped == {"image without a mask": ("chip0",), "mask without an image": ("chip1",)}
    dropped = [split.dropped for split in open_splits(task(root)).values()]
    assert {reason for reasons in dropped for reason in reasons} == {"image without a mask", "mask without an image"}


def test_mask_without_labels_is_dropped(root: Path):
    write_scene(root / "masks/chip0.tif", np.full((SIDE, SIDE), 9, np.uint8), 500_000, 4_500_000)
    splits = open_splits(task(root, {**FOLDERS, "ignore": [9]}))
    assert [ids for split in splits.values() for ids in split.dropped.values()] == [("chip0",)]


def test_hidden_files_are_not_images(root: Path):
    (root / "images/._chip0.tif").write_bytes(b"")
    assert len(pool(root).items) == COUNT


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "image and mask"),
        ({"image": "*.tif"}, "found image"),
        ({**FOLDERS, "image": "*.tif", "mask": "*.png"}, "image and mask"),
        ({"image": "*.tif", "mask": "a.tif"}, r"expected as many \*"),
        ({"image": "a", "mask": "b"}, "at least one"),
        ({"images": 3, "masks": "masks"}, "option images is 3"),
        ({"images": "masks", "masks": "masks"}, "expected two folders"),
        ({**FOLDERS, "colour": 1}, "option colour is unknown"),
        ({**FOLDERS, "values": {"0": "a"}}, "does not name every class"),
        ({**FOLDERS, "values": {"0": "a", "1": "b", "2": "sea"}}, "names sea, not among"),
        ({**FOLDERS, "values": {"0": "a", "x": "b"}}, "option values is"),
        ({**FOLDERS, "values": ["a", "b"]}, "option values is"),
        ({**FOLDERS, "ignore": [0]}, "ignore contains .0., but 0 means class 'a'"),
        ({**FOLDERS, "ignore": [1.5]}, "option ignore is"),
    ],
)
def test_wrong_options(root: Path, options: dict[str, Any], message: str):
    with pytest.raises(ContractError, match=message) as error:
        pool(root, options)
    assert len(str(error.value)) <= 400


def test_one_label_per_image_needs_another_reader(root: Path):
    with pytest.raises(ContractError, match="reader = 'folder' or 'table'"):
        pool(root, kind="classification")


def test_series_need_a_table(root: Path):
    with pytest.raises(ContractError, match="but dates = 3"):
        pool(root, dates=3)


def refused(root: Path, message: str, options: dict[str, Any] | None = None, **fields: Any) -> None:
    with pytest.raises(DataError, match=message) as error:
        open_splits(task(root, options, **fields))
    assert len(str(error.value)) <= 400 + 2 * len(str(root))


def test_value_outside_the_map(root: Path):
    write_scene(root / "masks/chip3.tif", classes(3, (0, 1, 7)), 503_000, 4_500_000)
    refused(root, r"chip3.tif: label values 0, 1, 7 are out of range, expected -1, 0, 1. Set values = ")


def test_folder_that_does_not_exist(root: Path):
    refused(root, "not a folder. Set the options", {"images": "images", "masks": "labels"})


def test_no_pair(root: Path):
    (root / "labels").mkdir()
    refused(root, r"no image has a mask \(10 images, for example 'chip0' and 0 masks\)", {**FOLDERS, "masks": "labels"})


def test_two_images_of_one_name(root: Path):
    np.save(root / "images/chip0.npy", scene(SIDE))
    refused(root, "'chip0' is also the name of")


def test_sizes_that_differ(root: Path):
    (root / "masks/chip2.tif").unlink()
    save_png(root / "masks/chip2.png", np.zeros((SIDE, SIDE + 1), np.uint8), "L")
    refused(root, r"chip2.png: the label map has \(8, 9\) pixels but the image has \(8, 8\)")


def test_grids_that_differ(root: Path):
    write_scene(root / "masks/chip2.tif", classes(2), 502_005, 4_500_000)
    refused(root, "masks/chip2.tif: the grid .* differs from that of images/chip2.tif")


def test_colours_without_a_legend(root: Path):
    (root / "masks/chip2.tif").unlink()
    save_png(root / "masks/chip2.png", COLOURS[classes(0)], "RGB")
    refused(root, "the mask is coloured, but there is no labelmap.txt")


def test_colour_outside_the_legend(root: Path):
    (root / "masks/chip2.tif").unlink()
    save_png(root / "masks/chip2.png", COLOURS[classes(0, (0, 2))], "RGB")
    cvat(root, "a:250,50,83::", "b:1,1,1::")
    refused(root, "1 colours are not in labelmap.txt, for example 52,209,183")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (("a:250,50::",), "line 2: found 'a:250,50::', expected name:r,g,b::"),
        (("a:1,1,1::", "b:1,1,1::"), "line 3: 'b' has the colour 1,1,1 of 'a'"),
    ],
)
def test_damaged_legend(root: Path, lines: tuple[str, ...], message: str):
    png_masks(root)
    cvat(root, *lines)
    refused(root, message)


def test_legend_with_a_name_that_is_no_class(root: Path):
    png_masks(root)
    cvat(root, "sea:1,1,1::", "a:2,2,2::")
    with pytest.raises(ContractError, match="sea are not classes of task 'mine'"):
        pool(root)


def test_lists_that_name_nothing(root: Path):
    write_lines(root / "train.txt", "x")
    write_lines(root / "test.txt", "y")
    refused(root, "name none of the 10 images")


def test_image_in_two_lists(root: Path):
    write_lines(root / "train.txt", "chip0", "chip1")
    write_lines(root / "test.txt", "chip1")
    refused(root, r"'chip1' is also in test.txt|'chip1' is also in train.txt")


def test_two_lists_of_one_split(root: Path):
    write_lines(root / "train.txt", "chip0")
    write_lines(root / "lists/training.txt", "chip1")
    refused(root, "split 'train' has two lists")


def test_some_images_outside_the_split_folders(root: Path):
    for name, folder in (("chip0", "train"), ("chip1", "test")):
        for kind in ("images", "masks"):
            (root / kind / folder).mkdir()
            (root / kind / f"{name}.tif").rename(root / kind / folder / f"{name}.tif")
    refused(root, "2 samples are in folders of splits .test, train., but 8 are not")


def test_name_that_fits_two_images(root: Path):
    for place in ("p", "q"):
        write_tif(root / f"images/{place}/z.tif", scene(SIDE))
        write_tif(root / f"masks/{place}/z.tif", classes(0))
    write_lines(root / "train.txt", "z")
    write_lines(root / "test.txt", "chip0")
    refused(root, "'z' fits 2 samples")


@pytest.mark.parametrize("name", ["chip2.png", "chip2.npy"])
def test_damaged_mask(root: Path, name: str):
    (root / "masks/chip2.tif").unlink()
    (root / "masks" / name).write_bytes(b"nothing")
    refused(root, f"{name}: not a readable")


def test_jpeg_is_no_mask(root: Path):
    (root / "masks/chip2.tif").rename(root / "masks/chip2.jpg")
    assert pool(root).dropped == {"image without a mask": ("chip2",)}
    with pytest.raises(DataError, match=r"masks end in \.tif"):
        read_mask(root / "masks/chip2.jpg", None)


def test_mask_without_a_place_on_a_south_up_image(root: Path):
    from rasterio.transform import Affine

    write_tif(
        root / "images/chip2.tif", scene(SIDE, 2), crs="EPSG:32630", transform=Affine(10, 0, 502_000, 0, 10, 4_499_920)
    )
    (root / "masks/chip2.tif").unlink()
    save_png(root / "masks/chip2.png", classes(2), "L")
    refused(root, "images/chip2.tif: its pixels are not stored north-up, and masks/chip2.png has no")


def test_south_up_mask_of_an_image_without_a_place(root: Path):
    from rasterio.transform import Affine

    write_tif(root / "images/chip2.tif", scene(SIDE, 2))
    place = Affine(10, 0, 502_000, 0, 10, 4_499_920)
    write_tif(root / "masks/chip2.tif", classes(2), crs="EPSG:32630", transform=place)
    refused(root, "masks/chip2.tif: its pixels are not stored north-up, and images/chip2.tif has no")


def test_masks_in_a_folder_of_the_images(tmp_path: Path):
    write_tif(tmp_path / "a.tif", scene(SIDE))
    write_tif(tmp_path / "masks/a.tif", classes(0))
    found = pool(tmp_path, {"images": ".", "masks": "masks"})
    assert ([item.id for item in found.items], found.dropped) == (["a"], {})


def test_mask_outside_the_folder(root: Path, tmp_path_factory: pytest.TempPathFactory):
    other = tmp_path_factory.mktemp("other") / "secret.tif"
    write_tif(other, classes(0))
    (root / "masks/chip2.tif").unlink()
    (root / "masks/chip2.tif").symlink_to(other)
    refused(root, "outside the data set")
