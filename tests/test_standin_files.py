"""A stand-in whose files are not those that were written is written again, with one message."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.data import contents as contents_module
from geofm_eval.datasets import open_splits
from geofm_eval.simulation import standins
from geofm_eval.simulation.standins import ensure_standin
from geofm_eval.store import file_sha256

FEW = {"sizes": (2, 2, 2), "classes": ("Forest", "River")}
TASK = load_catalog().task("eurosat_sim").model_copy(update=FEW)
"""Six chips; every class costs a block of scenes, however few of them are chips."""


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): file_sha256(path) for path in folder.rglob("*.t*")}


def flip_a_bit(folder: Path) -> None:
    path = folder / "River/River_3.tif"
    content = bytearray(path.read_bytes())
    content[3000] ^= 64
    path.write_bytes(content)


def swap_test_images(folder: Path) -> None:
    one, other = folder / "River/River_3.tif", folder / "Forest/Forest_3.tif"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)


def change_a_split_list(folder: Path) -> None:
    path = folder / "eurosat-test.txt"
    path.write_text(path.read_text().replace("River_3", "River_1"))


def add_an_image(folder: Path) -> None:
    (folder / "River/River_9.tif").write_bytes((folder / "River/River_3.tif").read_bytes())


def edit_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "standin.json").read_text())
    manifest["files"].pop("River/River_3.tif")
    (folder / "standin.json").write_text(json.dumps(manifest))


def nest_the_manifest(folder: Path) -> None:
    (folder / "standin.json").write_text("[" * 100_000)


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, swap_test_images, change_a_split_list, add_an_image, edit_the_manifest, nest_the_manifest],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_stand_in_is_written_again(damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture):
    folder = ensure_standin(TASK)
    before = hashes(folder)
    damage(folder)
    assert len(open_splits(TASK)["test"]) == 2
    assert hashes(folder) == before
    told = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == 1
    assert str(folder) in told[0]
    assert "damaged" in told[0]
    caplog.clear()
    ensure_standin(TASK)
    assert not caplog.records


def test_files_that_did_not_change_are_not_read_again(monkeypatch: pytest.MonkeyPatch):
    folder = ensure_standin(TASK)
    old = os.stat(folder).st_mtime_ns + 10_000_000_000
    monkeypatch.setattr(contents_module.time, "time_ns", lambda: old)
    ensure_standin(TASK)
    monkeypatch.setattr(contents_module, "_known", {})
    monkeypatch.setattr(contents_module, "file_sha256", None)
    monkeypatch.setattr(standins, "GENERATORS", {"eurosat": None})
    assert ensure_standin(TASK) == folder
