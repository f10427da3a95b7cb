import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geofm_eval.cache import KINDS, list_cache, prune_cache
from geofm_eval.errors import ContractError
from geofm_eval.paths import geofm_cache
from geofm_eval.store import StoreError, content_hash, publish_directory, write_json

MANIFEST = "manifest.json"
PROCESSES = multiprocessing.get_context("spawn")


class Build:
    """Writes one file, counting how often."""

    def __init__(self, text: str = "hello") -> None:
        self.text = text
        self.calls = 0

    def __call__(self, folder: Path) -> dict[str, Any]:
        self.calls += 1
        (folder / "a.txt").write_text(self.text)
        return {"answer": 42}


def failing(number: int) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def final() -> Path:
    return geofm_cache() / "features" / "v1" / "key"


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if ".tmp-" in path.name]


def test_a_directory_is_built_once_and_its_manifest_is_complete(final: Path) -> None:
    build = Build()
    first = publish_directory(final, build, MANIFEST)
    assert publish_directory(final, build, MANIFEST) == first
    assert build.calls == 1
    assert first["answer"] == 42
    assert first["key"] == "key"
    assert first["files"]["a.txt"]["size"] == 5
    assert leftovers(final.parent) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: (f / "a.txt").write_text("jello"), "does not match its sha256"),
        (lambda f: (f / "a.txt").write_text("hell"), "has 4 bytes, expected 5"),
        (lambda f: (f / "a.txt").unlink(), "a.txt is absent"),
        (lambda f: (f / MANIFEST).unlink(), "manifest.json is absent"),
        (lambda f: (f / MANIFEST).write_text('{"files": '), "manifest.json is not readable"),
        (lambda f: (f / MANIFEST).write_text("[]"), "manifest.json is not readable"),
    ],
    ids=["flipped", "truncated", "absent", "no-manifest", "half-manifest", "other-manifest"],
)
def test_a_damaged_directory_is_moved_aside_and_rebuilt(
    final: Path, damage: Callable[[Path], Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    build = Build()
    publish_directory(final, build, MANIFEST)
    for times in (1, 2):
        damage(final)
        publish_directory(final, build, MANIFEST)
        assert build.calls == 1 + times
        assert (final / "a.txt").read_text() == "hello"
        assert final.with_name(f"key.damaged-{times}").is_dir()
    assert said in caplog.text
    assert "moved to key.damaged-1" in caplog.text


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_named_with_its_cure_and_leaves_nothing(final: Path, number: int) -> None:
    with pytest.raises(StoreError, match=rf"{final.parent}.*disk is full.*GEOFM_CACHE"):
        publish_directory(final, failing(number), MANIFEST)
    assert not final.exists()
    assert leftovers(final.parent) == []
    assert publish_directory(final, Build(), MANIFEST)["answer"] == 42


def test_a_full_disk_that_shows_when_data_reach_it_is_named_too(final: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSPC))
    with pytest.raises(StoreError, match="disk is full"):
        publish_directory(final, Build(), MANIFEST)
    assert not final.exists()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_read_only_cache_serves_what_it_holds_and_names_what_it_cannot_write(
    final: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = publish_directory(final, Build(), MANIFEST)
    for function in ("mkdir", "rename", "utime"):
        monkeypatch.setattr(os, function, failing(number))
    monkeypatch.setattr("filelock.FileLock.acquire", failing(number))
    assert publish_directory(final, Build(), MANIFEST) == expected
    with pytest.raises(StoreError, match=r"cannot be written: set GEOFM_CACHE"):
        publish_directory(final.with_name("other"), Build(), MANIFEST)


def test_a_file_where_the_cache_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StoreError, match=r"cache: .*Expected a folder: move that file away"):
        publish_directory(tmp_path / "cache" / "key", Build(), MANIFEST)


def test_refusals_that_do_not_come_from_the_cache_are_left_alone(final: Path, tmp_path: Path) -> None:
    def build(folder: Path) -> dict[str, Any]:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "image.tif"))

    with pytest.raises(PermissionError, match=r"image\.tif"):
        publish_directory(final, build, MANIFEST)


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_build_leaves_nothing(final: Path, error: type[BaseException]) -> None:
    def build(folder: Path) -> dict[str, Any]:
        (folder / "a.txt").write_text("half")
        raise error

    with pytest.raises(error):
        publish_directory(final, build, MANIFEST)
    assert not final.exists()
    assert leftovers(final.parent) == []


def slow_build(folder: Path) -> dict[str, Any]:
    with (folder.parent / "calls").open("a") as calls:
        calls.write("x")
    (folder / "a.txt").write_text("half")
    time.sleep(0.5)
    (folder / "a.txt").write_text("whole")
    return {}


def endless_build(folder: Path) -> dict[str, Any]:
    (folder / "a.txt").write_text("half")
    time.sleep(60)
    return {}


def test_two_processes_build_once(final: Path) -> None:
    processes = [PROCESSES.Process(target=publish_directory, args=(final, slow_build, MANIFEST)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(30)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (final.parent / "calls").read_text() == "x"
    assert (final / "a.txt").read_text() == "whole"


def test_a_killed_build_is_never_read_and_is_cleaned_up(final: Path) -> None:
    process = PROCESSES.Process(target=publish_directory, args=(final, endless_build, MANIFEST))
    process.start()
    deadline = time.monotonic() + 30
    while not list(final.parent.glob(".key.tmp-*/a.txt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join(10)
    assert not final.exists()
    assert [entry.kind for entry in list_cache()] == ["unfinished"]
    publish_directory(final, Build(), MANIFEST)
    assert (final / "a.txt").read_text() == "hello"
    assert leftovers(final.parent) == []


def test_json_is_old_or_new_and_never_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "a.json"
    write_json(path, {"value": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"value": float("nan")})
    monkeypatch.setattr(os, "replace", failing(errno.ENOSPC))
    with pytest.raises(StoreError, match="disk is full"):
        write_json(path, {"value": 2})
    assert json.loads(path.read_text()) == {"value": 1}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_content_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert content_hash({"a": 1, "b": (2, 3)}) == content_hash({"b": [2, 3], "a": 1})
    assert content_hash({"a": 1}) != content_hash({"a": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        content_hash(float("inf"))


@pytest.fixture
def filled_cache() -> Path:
    root = geofm_cache()
    publish_directory(root / "features" / "v1" / "old", Build("x" * 100), MANIFEST)
    publish_directory(root / "features" / "v1" / "new", Build("x" * 500), MANIFEST)
    publish_directory(root / "sweeps" / "v1" / "sweep", Build(), MANIFEST)
    (root / "features" / "v1" / "old.damaged-1").mkdir()
    standin = root / "standins" / "eurosat_sim" / "v1-1" / "Forest"
    standin.mkdir(parents=True)
    (standin / "Forest_1.tif").write_bytes(b"12345")
    week_ago = time.time() - 7 * 86_400
    os.utime(root / "features" / "v1" / "old", (week_ago, week_ago))
    return root


def test_the_cache_is_listed_by_kind_size_and_age(filled_cache: Path) -> None:
    entries = {(entry.kind, entry.key): entry for entry in list_cache()}
    assert set(entries) == {
        ("features", "old"),
        ("features", "new"),
        ("sweeps", "sweep"),
        ("damaged", "old.damaged-1"),
        ("standins", "eurosat_sim/v1-1"),
    }
    assert entries["features", "new"].bytes > 500
    assert entries["standins", "eurosat_sim/v1-1"].bytes == 5
    assert entries["features", "old"].age_days == pytest.approx(7, abs=0.01)
    assert [entry.key for entry in list_cache("features", older_days=1)] == ["old"]


def test_pruning_removes_what_was_asked_for_and_nothing_else(filled_cache: Path) -> None:
    assert [entry.key for entry in prune_cache("features", older_days=1)] == ["old"]
    assert [entry.key for entry in prune_cache("damaged")] == ["old.damaged-1"]
    assert {entry.key for entry in list_cache()} == {"new", "sweep", "eurosat_sim/v1-1"}
    prune_cache()
    assert list_cache() == []


def test_files_of_the_cache_are_listed_and_pruned_too(filled_cache: Path) -> None:
    for name in ("contents/v1/data.json", "inspections/data.json", "verified/run.json", "weights/mae.pth"):
        (filled_cache / name).parent.mkdir(parents=True)
        (filled_cache / name).write_bytes(b"123")
    (filled_cache / "weights" / ".mae.pth.lock").touch()
    files = {(entry.kind, entry.key): entry.bytes for entry in list_cache() if entry.bytes == 3}
    assert set(files) == {
        ("contents", "data.json"),
        ("inspections", "data.json"),
        ("verified", "run.json"),
        ("weights", "mae.pth"),
    }
    assert [entry.key for entry in prune_cache("contents")] == ["data.json"]
    assert not (filled_cache / "contents" / "v1" / "data.json").exists()
    assert (filled_cache / "inspections" / "data.json").exists()


def test_use_keeps_an_entry_young(filled_cache: Path) -> None:
    publish_directory(filled_cache / "features" / "v1" / "old", Build(), MANIFEST)
    assert list_cache("features", older_days=1) == []


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ContractError, match=f"'blocks' is unknown; known kinds: {', '.join(KINDS)}"):
        prune_cache("blocks")


def test_what_is_being_built_is_not_pruned(final: Path) -> None:
    removed = []

    def build(folder: Path) -> dict[str, Any]:
        removed.extend(prune_cache())
        return Build()(folder)

    publish_directory(final, build, MANIFEST)
    assert removed == []
    assert final.is_dir()
