"""Data sets with a published address and checksum come into the home whole, checked and unpacked."""

import hashlib
import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.catalog.tasks import PublishedFile
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.fetch import fetch_task, plan_task
from geofm_eval.store import StoreError
from tests.chip_files import write_tif
from tests.http_files import FileServer, serving

pytestmark = pytest.mark.fast

CATALOG = load_catalog()
NESTED = "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
BIG = np.random.default_rng(0).integers(0, 16, 512_000).astype(np.uint8).tobytes()
"""Compresses to about half of its size."""

LISTS = {"train": ("River_1", "Forest_1"), "val": ("River_2",), "test": ("Forest_2",)}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Four GeoTIFFs in the published layout, by member name."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in (name for names in LISTS.values() for name in names):
        path = folder / NESTED / name.partition("_")[0] / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tif(path, rng.integers(100, 2000, (13, 64, 64)).astype(np.uint16))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*.tif"))}


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def served(task: TaskSpec, server: FileServer, contents: dict[str, bytes]) -> TaskSpec:
    """The entry of a task with addresses on the local server and the checksums of these contents."""
    server.files.update({f"/{name}": content for name, content in contents.items()})
    files = tuple(
        file.model_copy(
            update={"url": f"{server.url}/{file.name}", "md5": hashlib.md5(contents[file.name]).hexdigest()}
        )
        for file in task.files
    )
    return task.model_copy(update={"files": files, "official_sizes": None})


def eurosat_files(prefix: str, images: dict[str, bytes]) -> dict[str, bytes]:
    lists = {f"{prefix}-{split}.txt": "".join(f"{name}.jpg\n" for name in names) for split, names in LISTS.items()}
    return {"EuroSATallBands.zip": zipped(images), **{name: text.encode() for name, text in lists.items()}}


@pytest.fixture
def server():
    with serving({}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(("slug", "prefix"), [("eurosat", "eurosat"), ("eurosat_spatial", "eurosat-spatial")])
def test_eurosat_is_fetched_unpacked_and_readable(server, home, images, slug, prefix):
    task = served(CATALOG.task(slug), server, eurosat_files(prefix, images))
    lines = fetch_task(task)
    assert "EuroSATallBands.zip fetched, md5 as published, 4 files unpacked" in lines[1]
    assert {name: split.ids for name, split in open_splits(task).items()} == LISTS
    assert not list((home / "data/eurosat").glob("EuroSAT*.zip"))
    asked = len(server.asked)
    assert all(" exists" in line for line in fetch_task(task)[1:-1])
    assert len(server.asked) == asked


def test_two_tasks_of_one_data_set_share_the_archive(server, home, images):
    fetch_task(served(CATALOG.task("eurosat"), server, eurosat_files("eurosat", images)))
    fetch_task(served(CATALOG.task("eurosat_spatial"), server, eurosat_files("eurosat-spatial", images)))
    assert [path for _, path, _ in server.asked].count("/EuroSATallBands.zip") == 1


def test_pastis_is_unpacked_below_its_own_folder(server, home):
    content = zipped({"PASTIS-R/metadata.geojson": b"{}", "PASTIS-R/DATA_S2/S2_1.npy": b"1"})
    fetch_task(served(CATALOG.task("pastis"), server, {"PASTIS-R.zip": content}))
    assert (home / "data/pastis/PASTIS-R/DATA_S2/S2_1.npy").read_bytes() == b"1"


def pastis(server: FileServer, members: dict[str, bytes] | None = None) -> TaskSpec:
    content = zipped(members or {"PASTIS-R/big.npy": BIG})
    return served(CATALOG.task("pastis"), server, {"PASTIS-R.zip": content})


def test_interrupted_download_is_resumed(server, home):
    task = pastis(server)
    server.breaks_after = 2 * (1 << 16)
    with pytest.raises(Unavailable, match=r"the received part is kept"):
        fetch_task(task)
    server.breaks_after = None
    fetch_task(task)
    assert server.asked[-1][2] == f"bytes={2 * (1 << 16)}-"
    assert (home / "data/pastis/PASTIS-R/big.npy").stat().st_size == 512_000


def test_wrong_checksum_installs_nothing(server, home):
    task = pastis(server)
    wrong = task.model_copy(update={"files": (task.files[0].model_copy(update={"md5": "0" * 32}),)})
    with pytest.raises(DataError, match=f"md5 is [0-9a-f]{{32}}, expected {'0' * 32}"):
        fetch_task(wrong)
    assert [path for path in (home / "data/pastis").rglob("*") if path.suffix != ".lock"] == []


def test_full_disk_is_noticed_before_anything_is_unpacked(server, home, monkeypatch):
    task = pastis(server)
    monkeypatch.setattr("geofm_eval.fetch.transfer.shutil.disk_usage", lambda path: SimpleNamespace(free=511_999))
    with pytest.raises(StoreError, match=r"0\.5 MB are needed but 0\.5 MB are free"):
        fetch_task(task)
    assert not (home / "data/pastis/PASTIS-R").exists()


@pytest.mark.parametrize("member", ["../outside.txt", "/etc/outside.txt", "PASTIS-R/../../outside.txt"])
def test_member_that_leaves_the_folder_is_refused(server, home, member):
    with pytest.raises(DataError, match="do not use this archive"):
        fetch_task(pastis(server, {member: b"1"}))
    assert not list(home.parent.rglob("outside.txt"))


def test_folder_of_an_incomplete_copy_is_named_not_overwritten(server, home, images):
    task = served(CATALOG.task("eurosat"), server, eurosat_files("eurosat", images))
    (home / "data/eurosat/ds/mine").mkdir(parents=True)
    with pytest.raises(DataError, match=r"ds exists already.*Move it away"):
        fetch_task(task)
    assert (home / "data/eurosat/ds/mine").is_dir()


def test_archive_without_the_expected_folder_is_refused(server, home):
    with pytest.raises(DataError, match=r"holds other, expected PASTIS-R"):
        fetch_task(pastis(server, {"other/a.npy": b"1"}))


def test_plan_names_addresses_and_sizes_without_a_home(server, monkeypatch):
    monkeypatch.delenv("GEOFM_HOME", raising=False)
    task = pastis(server)
    assert any("would fetch PASTIS-R.zip (" in line and "MB) from" in line for line in plan_task(task))
    assert server.asked == [("HEAD", "/PASTIS-R.zip", None)]


def test_task_without_a_public_address_has_instructions(home):
    assert any("get it" in line for line in fetch_task(CATALOG.task("mados")))


def test_published_file_stays_in_its_folder():
    with pytest.raises(ValueError, match="name"):
        PublishedFile(name="../x.zip", url="https://example.org/x.zip", md5="0" * 32)
