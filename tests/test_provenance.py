import io
import json
import logging
import subprocess
import sys

import numpy as np
import pytest

import geofm_eval
from geofm_eval import environment
from geofm_eval.environment import process_provenance
from geofm_eval.progress import LogProgress, TerminalProgress, progress_on


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_provenance_is_plain_and_complete() -> None:
    found = process_provenance(threads=3)
    assert json.loads(json.dumps(found)) == found
    assert found["code"]["version"] == geofm_eval.__version__
    assert found["versions"]["numpy"] == np.__version__
    assert found["device"]["name"] == "cpu"
    assert found["threads"] == 3
    assert found["time"].endswith("+00:00")


def test_provenance_of_two_calls_is_not_shared() -> None:
    process_provenance()["code"]["version"] = "changed"
    assert process_provenance()["code"]["version"] == geofm_eval.__version__


def test_outside_a_checkout_the_commit_is_unknown(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    environment._code.cache_clear()
    assert process_provenance()["code"] == {"version": geofm_eval.__version__, "commit": None, "dirty": None}
    environment._code.cache_clear()


def test_an_uncommitted_change_is_seen(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    file = tmp_path / "a.txt"  # type: ignore[operator]
    file.write_text("1")
    git("init", "-q")
    git("add", "a.txt")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(environment, "_ROOT", tmp_path)
    for text, dirty in (("1", False), ("2", True)):
        file.write_text(text)
        environment._code.cache_clear()
        assert process_provenance()["code"]["dirty"] is dirty
        assert len(process_provenance()["code"]["commit"]) == 40
    environment._code.cache_clear()


def test_provenance_imports_no_torch() -> None:
    code = "import sys, geofm_eval.environment as p; p.process_provenance(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_terminal_sees_rate_and_time_left_and_the_log_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "geofm_eval")
    terminal = Terminal()
    progress = progress_on(terminal)("tiny on squares/train", 100)
    assert isinstance(progress, TerminalProgress)
    progress._started -= 10  # ten seconds ago
    progress.update(25)
    assert "tiny on squares/train: 25/100 items, 2 items/s, 30 s left" in terminal.getvalue()
    progress.update(75)
    progress.done()
    assert terminal.getvalue().endswith("\r\x1b[K")
    assert [record.getMessage() for record in caplog.records] == [
        "tiny on squares/train: 100 items in 10.0 s (10 items/s)"
    ]


def test_without_a_terminal_only_the_log_speaks(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "geofm_eval")
    progress = progress_on(io.StringIO())("tiny", 4)
    assert type(progress) is LogProgress
    progress.update(3)
    progress.done()
    assert "tiny: stopped after 3 of 4 items" in caplog.records[0].getMessage()


@pytest.mark.parametrize(("seconds", "text"), [(8.4, "8 s left"), (200, "3 min 20 s left"), (7500, "2 h 05 min left")])
def test_time_left_is_readable(seconds: float, text: str) -> None:
    terminal = Terminal()
    progress = TerminalProgress("tiny", 2, terminal)
    progress._started -= seconds
    progress.update(1)
    assert text in terminal.getvalue()
