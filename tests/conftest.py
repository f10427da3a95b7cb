"""Shared by the tests of the tool: real samples where they exist, and no user's home or cache ever touched."""

import os
import sys

# One thread per process, before torch and numpy are loaded: the workers of a test run share two cores.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

# Byte code is kept, whatever the environment says: each of some hundred processes would compile the package again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

from pathlib import Path  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

if TYPE_CHECKING:
    from geofm_eval.records import Record

ROOT = Path(__file__).resolve().parent.parent

# No example has a time limit: on a busy machine it measures the other processes.
settings.register_profile("geofm", deadline=None)
settings.load_profile("geofm")


@pytest.fixture(autouse=True)
def isolated_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache of its own and no home, whatever the environment says."""
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.delenv("GEOFM_HOME", raising=False)


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that all workers of a test run share: stand-ins of full size, and their features, are made once."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if base.name.startswith("popen-") else base) / "shared-cache"


@pytest.fixture(scope="session")
def real_home() -> Path:
    """A home with real weights and imagery; skipped where there is none."""
    path = Path(os.environ.get("GEOFM_TEST_REAL", ROOT.parent / "shared" / "real"))
    if not (path / "data").is_dir():
        pytest.skip(f"no real samples at {path}: set GEOFM_TEST_REAL to a home with weights/ and data/")
    return path


@pytest.fixture(scope="session")
def repository() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def unpacked_reference(shared_cache: Path) -> Path:
    """Folder of the committed reference, to read: unpacked and verified once."""
    from geofm_eval.records import unpack

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(shared_cache))
        return unpack(ROOT / "reports" / "reference" / "study.tar.xz")


@pytest.fixture(scope="session")
def reference_records(unpacked_reference: Path, shared_cache: Path) -> list["Record"]:
    """Records of the committed reference: reading them takes seconds, so that a process does it once."""
    from geofm_eval.records import read_records

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(shared_cache))
        records, problems = read_records(unpacked_reference)
    assert not problems
    return records


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collations of the test draw no figures."""
    from tests.collating import no_figures  # here, so that other tests do not load the report

    no_figures(monkeypatch)


@pytest.fixture
def run(tmp_path: Path, without_figures: None) -> Path:
    """Folder of a small run, collated without figures."""
    from tests.collating import small_run

    return small_run(tmp_path)
