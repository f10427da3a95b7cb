"""Users without a home, folders that cannot be written, plain terminals: each works, or says which variable to set."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.cases import plain_node
from fixtures.controller import interrupt_on_signals
from fixtures.runs import RunFolder, claim
from fixtures.scheduler import group_of
from geofm_eval import paths
from geofm_eval.catalog import load_catalog
from geofm_eval.compare import find_run
from geofm_eval.errors import ContractError, DataError
from geofm_eval.paths import geofm_cache, geofm_home, geofm_runs, home_line
from geofm_eval.results.locate import run_folder
from geofm_eval.store import StoreError, publish_directory, write_json
from tests.small_suite import ROOT

CASE = "benchmarks/test_probe.py::test_probe[rcf-eurosat_sim-knn-final]"


def homeless() -> Any:
    raise RuntimeError("Could not determine home directory.")


def build(folder: Path) -> dict[str, Any]:
    (folder / "a.txt").write_text("whole")
    return {}


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No variable names a cache; the temporary folder is the test's."""
    for variable in ("GEOFM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    paths._temporary_cache.cache_clear()
    return tmp_path


@pytest.fixture(params=["no home", "home below a file"])
def without_home(request: pytest.FixtureRequest, unset: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (unset / "file").write_text("")
    home: Callable[[], Path] = homeless if request.param == "no home" else lambda: unset / "file" / "me"
    monkeypatch.setattr(Path, "home", home)
    monkeypatch.setattr(os, "access", lambda *_: False)
    return unset


def test_a_user_without_a_home_gets_a_cache_that_others_cannot_read(
    without_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = geofm_cache()
    assert cache == without_home / f"geofm_eval-{os.getuid()}"
    assert cache.stat().st_mode & 0o077 == 0
    assert geofm_cache() == cache
    assert caplog.text.count("set GEOFM_CACHE") == 1
    publish_directory(cache / "features" / "v1" / "key", build, "manifest.json")


def test_a_temporary_folder_of_another_user_is_refused(without_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (without_home / "geofm_eval-4711").mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    with pytest.raises(ContractError, match="belongs to another user; set GEOFM_CACHE"):
        geofm_cache()


def test_a_cache_of_the_home_that_is_there_is_kept_though_read_only(
    unset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: unset)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "access", lambda *_: False)
    (unset / ".cache" / "geofm_eval").mkdir(parents=True)
    assert geofm_cache() == unset / ".cache" / "geofm_eval"


@pytest.mark.parametrize(
    ("variable", "read"), [("GEOFM_CACHE", geofm_cache), ("GEOFM_HOME", geofm_home), ("GEOFM_RUNS", geofm_runs)]
)
@pytest.mark.parametrize("value", ["~nosuchuser/x", os.fsdecode(b"/bad\xff")], ids=["no user", "no text"])
def test_a_variable_that_names_no_folder_is_named(
    variable: str, read: Callable[[], Any], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ContractError, match=rf"{variable}=.*set {variable} to the full path") as caught:
        read()
    assert str(caught.value).isascii()


def test_a_home_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home_line("unset") == "unset"
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path / "absent"))
    assert "absent (not a folder; set GEOFM_HOME" in home_line("unset")


@pytest.mark.parametrize("variable", ["GEOFM_CACHE", "GEOFM_HOME", "GEOFM_RUNS"])
@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "The disk is full"),
        (errno.EROFS, "cannot be written"),
        (errno.ENOENT, "cannot be made, or has vanished"),
        (errno.ENAMETOOLONG, "too long"),
        (errno.ESTALE, "does not answer"),
    ],
)
def test_a_refusal_names_the_folder_and_its_variable(
    variable: str, number: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    monkeypatch.setenv(variable, str(place))

    def refuse(path: Any, *_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number), str(place))  # a folder above the file, as mkdir says it

    monkeypatch.setattr(os, "mkdir", refuse)
    with pytest.raises(StoreError, match=rf"(?s)place.*{said}.*set {variable}") as caught:
        write_json(place / "below" / "a.json", {})
    assert len(str(caught.value)) <= 400


def test_a_cache_that_cannot_be_made_is_named_however_deep_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", "/proc/nope")
    with pytest.raises(StoreError, match=r"/proc/nope: .*set GEOFM_CACHE"):
        publish_directory(geofm_cache() / "features" / "v1" / "key", build, "manifest.json")


def test_an_entry_that_its_owner_keeps_private_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    final = geofm_cache() / "features" / "v1" / "key"
    publish_directory(final, build, "manifest.json")

    def private(folder: Path, manifest: str) -> dict[str, Any]:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder / manifest))

    monkeypatch.setattr("geofm_eval.store.read_manifest", private)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StoreError, match=r"cannot be read, and its owner must allow that: set GEOFM_CACHE"):
        publish_directory(final, build, "manifest.json")


def test_runs_can_be_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_RUNS", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert run_folder(Path("mine")) == tmp_path / "mine"
    with pytest.raises(DataError, match=f"its name in {tmp_path}"):
        find_run(Path("other"))


def test_a_folder_of_runs_that_cannot_be_made_names_its_variable(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(pytest.UsageError, match="set GEOFM_RUNS, or --runs DIR"):
        claim(RunFolder("mine", tmp_path / "runs" / "mine", resume=False))


@pytest.mark.parametrize("command", ["tasks", "--help"])
def test_a_terminal_that_knows_ascii_alone_gets_plain_characters(command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from geofm_eval.cli import run; run()", command],
        env={**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONPATH": str(ROOT), "COLUMNS": "60"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()


@pytest.mark.parametrize("added", ["{}-1-2", "flake_3-{}", "{}"])
@pytest.mark.parametrize("case", ["rcf-eurosat_sim-knn-final"])
def test_cases_are_known_whatever_a_plugin_adds_to_their_ids(case: str, added: str) -> None:
    catalog = load_catalog()
    node = CASE.replace(case, added.format(case))
    assert plain_node(node, catalog) == CASE
    assert group_of(catalog)(node) == group_of(catalog)(CASE) == "rcf@eurosat_sim"


@pytest.mark.parametrize("node", ["tests/test_x.py::test_y", "benchmarks/test_x.py::test_y[a-b-c-d]", "x[1]"])
def test_what_is_no_case_keeps_its_id(node: str) -> None:
    assert plain_node(node, load_catalog()) == node


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_signals_that_end_a_job_interrupt_it(name: str) -> None:
    number = getattr(signal, name)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        interrupt_on_signals()
        with pytest.raises(KeyboardInterrupt, match=f"{name} received"):
            signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_DFL, "a second one ends the session at once"
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        interrupt_on_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
