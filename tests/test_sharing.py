"""Folders that several processes build at once without locks are right, and nothing alive is removed."""

import errno
import logging
import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from geofm_eval import sharing
from geofm_eval.cache import list_cache, prune_cache
from geofm_eval.paths import geofm_cache
from geofm_eval.sharing import ABANDONED_DAYS, TEMPORARY, building, is_abandoned, locked, writer_name
from geofm_eval.store import publish_directory, remember

MANIFEST = "manifest.json"
PROCESSES = multiprocessing.get_context("spawn")


def no_locks(number: int = errno.ENOLCK) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture
def final() -> Path:
    return geofm_cache() / "features" / "v1" / "key"


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("filelock.FileLock.acquire", no_locks())


def build(folder: Path, text: str = "whole") -> dict[str, Any]:
    (folder / "a.txt").write_text(text)
    return {}


def build_slowly(folder: Path) -> dict[str, Any]:
    (folder / "a.txt").write_text("half")
    time.sleep(1.0)
    return build(folder)


def publish_unlocked(final: Path) -> None:
    """Run in a process of its own: as on a mount without locks, where nobody waits."""
    sharing.FileLock.acquire = no_locks()  # type: ignore[method-assign]
    publish_directory(final, build_slowly, MANIFEST)
    assert (final / "a.txt").read_text() == "whole"


def test_processes_without_locks_build_the_same_folder_and_all_succeed(final: Path) -> None:
    processes = [PROCESSES.Process(target=publish_unlocked, args=(final,)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(path.name for path in final.parent.iterdir() if TEMPORARY in path.name) == []
    assert [entry.kind for entry in list_cache()] == ["features"]


@pytest.mark.usefixtures("without_locks")
def test_the_loser_throws_its_copy_away(final: Path) -> None:
    def overtaken(folder: Path) -> dict[str, Any]:
        publish_directory(final, lambda first: build(first, "first"), MANIFEST)
        return build(folder, "second")

    publish_directory(final, overtaken, MANIFEST)
    assert (final / "a.txt").read_text() == "first"
    assert [entry.kind for entry in list_cache()] == ["features"]


@pytest.mark.usefixtures("without_locks")
def test_a_damaged_folder_that_another_process_mended_meanwhile_is_not_set_aside(final: Path) -> None:
    publish_directory(final, build, MANIFEST)
    (final / "a.txt").write_text("hole!")

    def overtaken(folder: Path) -> dict[str, Any]:
        publish_directory(final, build, MANIFEST)
        return build(folder)

    publish_directory(final, overtaken, MANIFEST)
    assert (final / "a.txt").read_text() == "whole"
    assert sorted(entry.kind for entry in list_cache()) == ["damaged", "features"]


def temporary(final: Path, host: str, process: int, days: float) -> Path:
    folder = final.with_name(f".{final.name}{TEMPORARY}{host}-{process}-abcdef")
    folder.mkdir(parents=True)
    (folder / "a.txt").write_text("half")
    moment = time.time() - days * 86_400
    for path in (folder / "a.txt", folder):
        os.utime(path, (moment, moment))
    return folder


@pytest.fixture
def dead() -> int:
    """Number of a process that has ended."""
    process = PROCESSES.Process(target=time.sleep, args=(0,))
    process.start()
    process.join(30)
    return process.pid or 0


def test_only_what_nobody_can_be_at_work_on_is_removed(final: Path, dead: int) -> None:
    here, old = writer_name().split("-")[0], ABANDONED_DAYS + 1
    removed = [temporary(final, here, dead, 0), temporary(final, "elsewhere.0", 1, old)]
    kept = [temporary(final, here, os.getpid(), old), temporary(final, "elsewhere.0", dead, 1)]
    publish_directory(final, build, MANIFEST)
    assert [path.exists() for path in (*removed, *kept)] == [False, False, True, True]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no list of processes")
def test_a_killed_process_is_dead_before_its_parent_asks(final: Path) -> None:
    child = subprocess.Popen(["sleep", "60"])
    folder = temporary(final, writer_name().split("-")[0], child.pid, 0)
    assert not is_abandoned(folder)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert is_abandoned(folder)
    child.wait()


def test_a_folder_of_another_host_that_grows_is_alive(final: Path) -> None:
    folder = temporary(final, "elsewhere.0", 1, ABANDONED_DAYS + 1)
    (folder / "part").mkdir()
    (folder / "part" / "b.txt").write_text("new")
    assert not is_abandoned(folder)


@pytest.mark.usefixtures("without_locks")
def test_pruning_leaves_what_a_process_builds_where_there_are_no_locks(final: Path) -> None:
    publish_directory(final, build, MANIFEST)
    alive = temporary(final.with_name("other"), "elsewhere.0", 1, 0)
    assert [entry.kind for entry in prune_cache()] == ["features"]
    assert alive.exists()


def test_names_are_unique_and_tell_hosts_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = writer_name(), writer_name()
    assert first != second
    assert first.split("-")[:2] == second.split("-")[:2]
    sharing._host.cache_clear()
    monkeypatch.setattr("platform.node", lambda: "node-17")
    assert writer_name().split("-")[0] != first.split("-")[0]
    sharing._host.cache_clear()


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks"), NotImplementedError("flock")])
def test_a_file_system_without_locks_stops_nothing(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with locked(tmp_path / "folder" / "key"):
        pass


def test_an_error_under_a_lock_is_that_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="own"), locked(tmp_path / "key"):
        raise ValueError("own")


def test_what_was_not_published_is_removed(final: Path) -> None:
    with building(final) as folder:
        (folder / "a.txt").write_text("half")
    assert list(final.parent.iterdir()) == []


def test_notes_that_cannot_be_kept_are_computed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "notes" / "a.json"
    assert remember(path, lambda: {"a": 1}) == remember(path, lambda: {"a": 2}) == {"a": 1}
    shutil.rmtree(path.parent)
    path.parent.write_text("a file")
    with caplog.at_level(logging.WARNING):
        assert remember(path, lambda: {"a": 3}) == {"a": 3}
    assert "not stored" in caplog.text


def test_a_cache_of_links_to_a_shared_one_is_read_and_added_to(final: Path, tmp_path: Path) -> None:
    """As ``cp -rs SHARED OWN`` makes it: folders of one's own, files of the other's."""
    publish_directory(final, build, MANIFEST)
    own = tmp_path / "own" / "key"
    own.mkdir(parents=True)
    for path in final.iterdir():
        (own / path.name).symlink_to(path)
    publish_directory(own, lambda _: pytest.fail("built again"), MANIFEST)
    publish_directory(own.with_name("more"), build, MANIFEST)
    assert not final.with_name("more").exists()
