"""Hashes of files: right after any change, whatever the size and times, and not computed twice."""

import os
import time
from pathlib import Path

import pytest

from geofm_eval.data import contents as module
from geofm_eval.data.contents import hashes_of
from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.store import file_sha256

OLD = time.time() - 3600


@pytest.fixture(autouse=True)
def forgetful(monkeypatch: pytest.MonkeyPatch):
    """Every test is a new process, which remembers nothing but what the cache holds."""
    monkeypatch.setattr(module, "_known", {})


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were hashed."""
    found: list[str] = []

    def noted(path: Path) -> str:
        found.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(module, "file_sha256", noted)
    return found


def settle(monkeypatch: pytest.MonkeyPatch, seconds: float = 10) -> None:
    """Let time pass since the files were written: their change time cannot be set."""
    now = time.time_ns
    monkeypatch.setattr(module.time, "time_ns", lambda: now() + int(seconds * 1e9))


def files(folder: Path, count: int = 3) -> list[Path]:
    made = [folder / f"{number}.bin" for number in range(count)]
    for number, path in enumerate(made):
        path.write_bytes(bytes([number]) * 100)
    return made


def again(paths: list[Path]) -> dict[Path, str]:
    """What another process finds."""
    module._known.clear()
    return hashes_of(paths, "data")


def test_a_file_that_did_not_change_is_hashed_once(tmp_path, hashed, monkeypatch):
    settle(monkeypatch)
    paths = files(tmp_path, 200)
    found = hashes_of(paths, "data")
    assert found == {path: file_sha256(path) for path in paths}
    assert sorted(hashed) == sorted(path.name for path in paths)
    hashed.clear()
    assert again(paths[::-1]) == found
    assert not hashed


@pytest.mark.parametrize("kept", ["size", "size and times"])
def test_a_file_of_the_same_size_and_times_is_noticed(tmp_path, monkeypatch, kept):
    settle(monkeypatch)
    paths = files(tmp_path)
    before, status = hashes_of(paths, "data"), paths[0].stat()
    paths[0].write_bytes(b"x" * 100)
    if kept != "size":
        os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    after = again(paths)
    assert [path for path in paths if before[path] != after[path]] == paths[:1]


def test_a_swap_of_two_files_of_one_size_is_noticed(tmp_path, monkeypatch):
    settle(monkeypatch)
    one, other, _ = files(tmp_path)
    for path in (one, other):
        os.utime(path, (OLD, OLD))
    before = hashes_of([one, other], "data")
    one.rename(tmp_path / "aside")
    other.rename(one)
    (tmp_path / "aside").rename(other)
    assert again([one, other]) == {one: before[other], other: before[one]}


def test_a_hash_of_a_file_just_written_is_not_trusted(tmp_path, hashed):
    path = files(tmp_path)[0]
    hashes_of([path], "data")
    again([path])
    assert hashed == [path.name] * 2


def test_a_file_from_the_future_is_not_trusted(tmp_path, hashed, monkeypatch):
    settle(monkeypatch)
    path = files(tmp_path)[0]
    os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    hashes_of([path], "data")
    again([path])
    assert hashed == [path.name] * 2


@pytest.mark.parametrize("damage", ["cut", "digit", "nested", "other"])
def test_a_damaged_memory_is_not_believed(tmp_path, monkeypatch, caplog, damage):
    settle(monkeypatch)
    paths = files(tmp_path)
    found = hashes_of(paths, "data")
    store = next((geofm_cache() / "contents").rglob("*.json"))
    text = store.read_text()
    sha256 = found[paths[0]]
    store.write_text(
        {
            "cut": text[:-20],
            "digit": text.replace(sha256, ("0" if sha256[0] != "0" else "1") + sha256[1:]),
            "nested": "[" * 100_000,
            "other": "[1]",
        }[damage]
    )
    assert again(paths) == found
    assert "is damaged" in caplog.text
    caplog.clear()
    assert again(paths) == found
    assert "is damaged" not in caplog.text


def test_a_cache_that_cannot_be_written_only_costs_time(tmp_path, monkeypatch):
    settle(monkeypatch)
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "file" / "cache"))
    paths = files(tmp_path)
    assert hashes_of(paths, "data") == {path: file_sha256(path) for path in paths}


def test_a_folder_is_known_by_every_member_and_its_place(tmp_path):
    cube = tmp_path / "cube.zarr"
    (cube / "bands").mkdir(parents=True)
    (cube / "bands" / "0.0").write_bytes(b"a")
    (cube / ".zattrs").write_bytes(b"b")
    first = hashes_of([cube], "data")[cube]
    (cube / "bands" / "0.0").rename(cube / "bands" / "0.1")
    second = again([cube])[cube]
    (cube / ".zattrs").write_bytes(b"c")
    assert len({first, second, again([cube])[cube]}) == 3


def test_a_file_that_is_written_meanwhile_is_refused(tmp_path, monkeypatch):
    path = files(tmp_path)[0]

    def slow(path: Path) -> str:
        found = file_sha256(path)
        path.write_bytes(b"longer than before" * 100)
        return found

    monkeypatch.setattr(module, "file_sha256", slow)
    with pytest.raises(DataError, match=r"0\.bin: the file changed while it was being read\. Wait until no"):
        hashes_of([path], "data")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"gone.bin: cannot read the file \(No such file.*Complete the copy"):
        hashes_of([tmp_path / "gone.bin"], "data")


def test_progress_counts_the_files_that_are_hashed(tmp_path):
    seen: list[tuple[str, int]] = []

    class Shown:
        def __init__(self, name: str, total: int) -> None:
            seen.append((name, total))

        def update(self, n: int) -> None:
            seen.append(("update", n))

        def done(self) -> None:
            seen.append(("done", 0))

    hashes_of(files(tmp_path, 100), "data/mine", Shown)
    assert seen == [("hashing the files of data/mine", 100), ("update", 64), ("update", 36), ("done", 0)]
