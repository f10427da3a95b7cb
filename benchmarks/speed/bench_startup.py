"""Startup time of import, catalog and collection: wall clock of fresh processes."""

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3
IMPORT_LIMIT = 0.5
CATALOG_LIMIT = 0.2
COLLECT_LIMIT = 3.0


def test_import() -> None:
    bare = _seconds("-c", "pass")
    seconds = _seconds("-c", "import geofm_eval") - bare
    print(f"\nimport geofm_eval: {seconds:.3f} s, plus {bare:.3f} s for the interpreter (at most {IMPORT_LIMIT} s)")
    assert seconds <= IMPORT_LIMIT
    assert not _imported("import geofm_eval") & {"torch", "timm"}


def test_catalog() -> None:
    imports = "from geofm_eval.catalog import load_catalog"
    timed = "started = time.perf_counter(); load_catalog(); print(time.perf_counter() - started)"
    seconds = min(float(_run("-c", f"import time; {imports}; {timed}")) for _ in range(ROUNDS))
    before = _seconds("-c", imports) - _seconds("-c", "pass")
    print(f"\nload_catalog(): {seconds:.3f} s (at most {CATALOG_LIMIT} s) after {before:.3f} s of imports")
    assert seconds <= CATALOG_LIMIT
    assert not _imported(f"{imports}; load_catalog()") & {"torch", "timm"}


def test_collection() -> None:
    seconds = _seconds("-m", "pytest", "benchmarks", "--collect-only", "-q")
    cases = _run("-m", "pytest", "benchmarks", "--collect-only", "-q").count("::")
    print(f"\ncollection of the default suite, {cases} cases: {seconds:.2f} s (at most {COLLECT_LIMIT} s)")
    assert cases > 0
    assert seconds <= COLLECT_LIMIT


def _seconds(*arguments: str) -> float:
    """Return the shortest of a few runs, to exclude delays by other work of the machine."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        _run(*arguments)
        times.append(time.perf_counter() - started)
    return min(times)


def _imported(code: str) -> set[str]:
    return set(_run("-c", f"import sys; {code}; print(*sys.modules)").split())


def _run(*arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert finished.returncode == 0, f"{arguments} failed:\n{finished.stdout}\n{finished.stderr}"
    return finished.stdout
