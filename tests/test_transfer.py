"""Downloads that survive interruptions, changed files and full disks."""

import errno
import json
import shutil
import threading
from pathlib import Path

import pytest

from geofm_eval.errors import Unavailable
from geofm_eval.fetch.transfer import CHUNK, download
from geofm_eval.store import StoreError
from tests.http_files import CONTENT, FileServer, serving

PART = 16 * CHUNK
"""Where connections break: less than the content, and a whole number of chunks."""


@pytest.fixture
def server():
    with serving({"/w.pt": CONTENT}) as running:
        yield running


def leave_a_part(server: FileServer, path: Path) -> None:
    """Have a download break after ``PART`` bytes."""
    server.breaks_after = PART
    with pytest.raises(Unavailable):
        download(f"{server.url}/w.pt", path)
    server.breaks_after = None
    server.asked.clear()


def visible(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("[!.]*") if path.is_file())


def test_changed_file_is_never_glued_to_the_old_part(server, tmp_path):
    leave_a_part(server, tmp_path / "w.pt")
    server.files["/w.pt"] = CONTENT[::-1]
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT[::-1]
    assert [wanted for _, _, wanted in server.asked] == [f"bytes={PART}-", None]


def test_changed_file_that_is_shorter_than_the_part_starts_again(server, tmp_path):
    leave_a_part(server, tmp_path / "w.pt")
    server.files["/w.pt"] = b"short"
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == b"short"


def test_interruption_right_after_a_change_leaves_nothing_to_glue(server, tmp_path):
    def interrupt(name: str, total: int) -> None:
        raise KeyboardInterrupt

    leave_a_part(server, tmp_path / "w.pt")
    server.files["/w.pt"] = CONTENT[::-1]
    with pytest.raises(KeyboardInterrupt):
        download(f"{server.url}/w.pt", tmp_path / "w.pt", interrupt)
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT[::-1]


def test_tag_of_a_hub_counts_more_than_that_of_the_storage_behind_it(server, tmp_path):
    server.hub = True
    server.breaks_after = PART
    with pytest.raises(Unavailable):
        download(f"{server.url}/hub/w.pt", tmp_path / "w.pt")
    server.breaks_after = None
    download(f"{server.url}/hub/w.pt", tmp_path / "w.pt")
    assert server.asked[-1] == ("GET", "/w.pt", f"bytes={PART}-")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_server_without_ranges_sends_the_whole_file_again(server, tmp_path):
    leave_a_part(server, tmp_path / "w.pt")
    server.ranges = False
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_part_without_a_tag_is_not_trusted(server, tmp_path):
    server.tags = False
    leave_a_part(server, tmp_path / "w.pt")
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert server.asked == [("GET", "/w.pt", None)]
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


@pytest.mark.parametrize("note", [None, "no json", '{"address": "http://other/w.pt", "tag": "1", "bytes": 9}'])
def test_part_of_unknown_origin_is_not_trusted(server, tmp_path, note):
    (tmp_path / "w.pt.part").write_bytes(b"something else")
    if note is not None:
        (tmp_path / "w.pt.part.json").write_text(note)
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_whole_part_is_used_without_asking_the_server(server, tmp_path):
    (tmp_path / "w.pt.part").write_bytes(CONTENT)
    note = {"address": f"{server.url}/w.pt", "tag": "1", "bytes": len(CONTENT)}
    (tmp_path / "w.pt.part.json").write_text(json.dumps(note))
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert server.asked == []
    assert visible(tmp_path) == ["w.pt"]


def test_progress_follows_the_bytes_that_are_still_to_come(server, tmp_path):
    seen = []

    class Follow:
        def __init__(self, name, total):
            seen.append((name, total))

        def update(self, n):
            seen.append(n)

        def done(self):
            seen.append("done")

    leave_a_part(server, tmp_path / "w.pt")
    download(f"{server.url}/w.pt", tmp_path / "w.pt", Follow)
    assert seen[0] == ("w.pt", len(CONTENT) - PART)
    assert sum(seen[1:-1]) == len(CONTENT) - PART
    assert seen[-1] == "done"


def test_log_has_one_line_per_transfer(server, tmp_path, caplog):
    with caplog.at_level("INFO"):
        download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert any(line.startswith("w.pt: 3.1 MB in ") for line in caplog.messages)


def test_full_disk_keeps_what_arrived(server, tmp_path, monkeypatch):
    true_open, written = Path.open, []

    class Filling:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

        def write(self, chunk):
            if written:
                raise OSError(errno.ENOSPC, "No space left on device")
            written.append(self.file.write(chunk))

    def limited_open(path, mode="r", *arguments, **options):
        file = true_open(path, mode, *arguments, **options)
        return Filling(file) if path.suffix == ".part" and mode in ("ab", "wb") else file

    monkeypatch.setattr(Path, "open", limited_open)
    with pytest.raises(StoreError, match=r"No space left on device\. The disk is full: free some space"):
        download(f"{server.url}/w.pt", tmp_path / "w.pt")
    monkeypatch.undo()
    assert (tmp_path / "w.pt.part").stat().st_size == written[0] > 0
    download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert server.asked[-1] == ("GET", "/w.pt", f"bytes={written[0]}-")
    assert (tmp_path / "w.pt").read_bytes() == CONTENT


def test_file_that_cannot_fit_is_not_begun(server, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(StoreError, match=r"3\.1 MB are needed but 1\.0 MB are free\. The disk is full"):
        download(f"{server.url}/w.pt", tmp_path / "w.pt")
    assert visible(tmp_path) == []


def test_folder_that_cannot_be_written_is_named(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"file: .*move that file away"):
        download(f"{server.url}/w.pt", tmp_path / "file" / "w.pt")


def test_silent_server_is_given_up(server, tmp_path, monkeypatch):
    monkeypatch.setattr("geofm_eval.fetch.transfer.TIMEOUT", (1.0, 0.2))
    server.waits = threading.Event()
    with pytest.raises(Unavailable, match=r"/w\.pt \(.*Check the network"):
        download(f"{server.url}/w.pt", tmp_path / "w.pt")
    server.waits.set()


def test_unreachable_server_is_told_in_a_few_words(tmp_path):
    with serving({}) as gone:
        address = f"{gone.url}/w.pt"
    with pytest.raises(
        Unavailable, match=r"w\.pt \(Failed to establish a new connection: .*refused\)\. Check the network"
    ):
        download(address, tmp_path / "w.pt")
