"""Data run nothing and fill no memory: cubes, pictures, rasters and arrays made to do harm end in a sentence."""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zarr
from PIL import Image

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers.files import load_image
from geofm_eval.data.readers.neuco import _load_cube
from geofm_eval.data.readers.rasters import read_raster
from geofm_eval.data.readers.series import load_array
from geofm_eval.data.readers.zarrs import read_arrays
from geofm_eval.errors import DataError
from tests.chip_files import write_tif

SHAPE = (4, 12, 2, 2)
PLAIN = {
    "zarr_format": 2,
    "shape": SHAPE,
    "chunks": SHAPE,
    "dtype": "<u2",
    "compressor": None,
    "fill_value": 0,
    "order": "C",
    "filters": None,
}
PLAIN3 = {
    "zarr_format": 3,
    "node_type": "array",
    "shape": SHAPE,
    "data_type": "uint16",
    "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": SHAPE}},
    "chunk_key_encoding": {"name": "default"},
    "fill_value": 0,
    "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
}
ONES = np.ones(SHAPE, "<u2").tobytes()
OBJECT = {"dtype": "|O", "fill_value": ""}


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def task() -> TaskSpec:
    return load_catalog().task("neuco_biomass_mean_s2l2a")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cube.zarr.zip"


def write(path: Path, metadata: dict[str, Any], chunk: bytes = ONES, array: str = "bands") -> None:
    """A cube with one array as ``metadata`` say, and a harmless array of bands next to it if it is another."""
    with zipfile.ZipFile(path, "w") as archive:
        if metadata["zarr_format"] == 3:
            archive.writestr("zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')
            archive.writestr(f"{array}/zarr.json", json.dumps(metadata))
            archive.writestr(f"{array}/c/0/0/0/0", chunk)
            return
        archive.writestr(".zgroup", '{"zarr_format": 2}')
        arrays = {"bands": (PLAIN, ONES, "0.0.0.0")} | {
            array: (metadata, chunk, "0.0.0.0" if array == "bands" else "0")
        }
        for name, (described, content, key) in arrays.items():
            archive.writestr(f"{name}/.zarray", json.dumps(described))
            archive.writestr(f"{name}/{key}", content)


def names(**more: Any) -> dict[str, Any]:
    return {**PLAIN, "shape": [12], "chunks": [12], **more}


@pytest.mark.parametrize(
    "metadata",
    [
        PLAIN | OBJECT | {"filters": [{"id": "pickle"}]},
        PLAIN | {"filters": [{"id": "pickle"}]},
        PLAIN | {"compressor": {"id": "pickle"}},
        PLAIN | OBJECT | {"filters": [{"id": "vlen-utf8"}, {"id": "pickle"}]},
        PLAIN | OBJECT | {"filters": [{"id": "vlen-utf8"}], "compressor": {"id": "pickle"}},
        PLAIN | OBJECT | {"filters": [{"id": "vlen-bytes"}, {"id": "pickle"}]},
        PLAIN | OBJECT | {"filters": [{"id": "json2"}]},
        PLAIN3 | {"codecs": [*PLAIN3["codecs"], {"name": "numcodecs.pickle"}]},
        PLAIN3
        | {"codecs": [{"name": "sharding_indexed", "configuration": {"codecs": [{"name": "numcodecs.pickle"}]}}]},
    ],
)
def test_cube_cannot_name_a_codec_that_runs_code(path: Path, task: TaskSpec, metadata: dict[str, Any]):
    write(path, metadata, pickle.dumps(Bomb(path.with_name("ran"))))
    with pytest.raises(DataError, match=r"array 'bands' uses the codec"):
        _load_cube(path, "s2l2a", task)
    assert not path.with_name("ran").exists()


@pytest.mark.parametrize("filters", [[{"id": "pickle"}], [{"id": "vlen-utf8"}, {"id": "pickle"}]])
def test_names_of_bands_cannot_either(path: Path, task: TaskSpec, filters: list[dict[str, str]]):
    write(path, names(**OBJECT, filters=filters), pickle.dumps(Bomb(path.with_name("ran"))), "band")
    with pytest.raises(DataError, match="array 'band' uses the codec pickle"):
        _load_cube(path, "s2l2a", task)
    assert not path.with_name("ran").exists()


def test_second_description_of_an_array_is_not_read(path: Path, task: TaskSpec):
    harmful = PLAIN | OBJECT | {"filters": [{"id": "pickle"}]}
    write(path, PLAIN)
    with zipfile.ZipFile(path, "a") as archive:
        described = {"bands/.zarray": harmful, ".zgroup": {"zarr_format": 2}}
        archive.writestr(".zmetadata", json.dumps({"zarr_consolidated_format": 1, "metadata": described}))
    assert (_load_cube(path, "s2l2a", task) == 1).all()


@pytest.mark.parametrize("kind", ["<c8", "|O", "|V8", [["a", "<u2"]], "<M8[ns]"])
def test_cube_of_other_than_numbers_is_refused(path: Path, task: TaskSpec, kind: object):
    write(path, PLAIN | {"dtype": kind})
    with pytest.raises(DataError, match="array 'bands' has dtype"):
        _load_cube(path, "s2l2a", task)


@pytest.mark.parametrize("shape", [(4, 12, 10**6, 10**6), (10**18,)])
def test_cube_larger_than_memory_is_refused_before_it_is_read(path: Path, task: TaskSpec, shape: tuple[int, ...]):
    for metadata in (PLAIN | {"shape": shape}, PLAIN | {"chunks": shape}, PLAIN3 | {"shape": shape}):
        write(path, metadata)
        with pytest.raises(DataError, match="expected at most"):
            _load_cube(path, "s2l2a", task)


def test_metadata_nested_too_deeply_are_named(path: Path, task: TaskSpec):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(".zgroup", '{"zarr_format": 2}')
        archive.writestr("bands/.zarray", "[" * 100_000)
    with pytest.raises(DataError, match="not a readable zarr cube"):
        _load_cube(path, "s2l2a", task)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("text", ["<U3", str])
@pytest.mark.filterwarnings("ignore::zarr.errors.UnstableSpecificationWarning")
def test_cubes_as_xarray_writes_them_are_read(path: Path, version: Any, text: Any):
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, zarr_format=version)
        group.create_array("bands", data=np.ones(SHAPE, np.int16), chunks=(1, 12, 2, 2))
        band = group.create_array("band", shape=(2,), dtype=text)
        band[:] = np.array(["B01", "B02"], dtype=object if text is str else text)
    arrays, _ = read_arrays(path, "bands", ("band", "absent"))
    assert (arrays["bands"] == 1).all()
    assert [str(name) for name in arrays["band"]] == ["B01", "B02"]


def test_scale_of_a_cube_must_be_the_tasks(path: Path, task: TaskSpec):
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, zarr_format=2)
        group.create_array(
            "bands", data=np.ones(SHAPE, np.int16), attributes={"scale_factor": 1e-4, "add_offset": -0.1}
        )
    with pytest.raises(DataError, match="Set scale = 1 and offset = -1000"):
        _load_cube(path, "s2l2a", task)


def png(width: int, height: int) -> bytes:
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", zlib.compress(b"\0")) + part(b"IEND", b"")


def encoded(mode: str, kind: str) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, (8, 8)).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        png(20_000, 20_000),
        png(12_000, 9_000),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n",
        encoded("RGB", "GIF"),
        encoded("RGB", "TIFF"),
        encoded("P", "PNG"),
        encoded("CMYK", "JPEG"),
        b"",
    ],
)
def test_picture_of_another_kind_or_too_large_is_named(tmp_path: Path, content: bytes):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DataError, match=r"a.jpg: not a readable image"):
        load_image(tmp_path / "a.jpg")


def test_transparent_pixels_of_a_picture_are_no_data(tmp_path: Path):
    values = np.full((4, 4, 4), 90, np.uint8)
    values[0, :, 3] = 0
    Image.fromarray(values, "RGBA").save(tmp_path / "a.png")
    read = load_image(tmp_path / "a.png")
    assert np.isnan(read[:, 0]).all()
    assert (read[:, 1:] == 90).all()


def test_raster_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path):
    path = tmp_path / "a.tif"
    side = {"width": 60_000, "height": 60_000, "count": 1, "dtype": "uint8"}
    with rasterio.open(path, "w", driver="GTiff", SPARSE_OK=True, tiled=True, compress="deflate", **side):
        pass
    with pytest.raises(DataError, match="expected chips of at most"):
        read_raster(path)


@pytest.mark.parametrize("compress", [None, "deflate", "lzw"])
def test_truncated_raster_is_named_wherever_it_is_cut(tmp_path: Path, compress: str | None):
    path = tmp_path / "a.tif"
    pixels = np.random.default_rng(0).integers(1, 4000, (3, 16, 16)).astype(np.uint16)
    write_tif(path, pixels, compress=compress)
    whole = path.read_bytes()
    for length in (0, 4, 100, len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"a.tif: not a readable GeoTIFF"):
            read_raster(path)


@pytest.mark.parametrize("array", [np.ones(3, complex), np.array([{}], object), np.zeros(2, [("a", "f4")])])
def test_arrays_of_other_than_real_numbers_are_refused(tmp_path: Path, array: np.ndarray):
    np.save(tmp_path / "a.npy", array, allow_pickle=True)
    with pytest.raises(DataError, match=r"a.npy: (not a readable npy array|dtype is)"):
        load_array(tmp_path / "a.npy")


def test_a_message_does_not_say_how_to_run_what_is_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(pickle.dumps(Bomb(tmp_path / "made")))
    with pytest.raises(DataError, match=r"pickled \(object\) data\.\)") as caught:
        load_array(tmp_path / "a.npy")
    assert "allow_pickle" not in str(caught.value)
    assert not (tmp_path / "made").exists()
