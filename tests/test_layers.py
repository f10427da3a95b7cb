"""The floors of the package: an import goes down, and what reads records never imports what measures."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "geofm_eval"

FLOORS = (
    ("errors", "memo", "garbage", "progress", "terminal", "seeds", "version"),
    ("paths", "metric"),
    ("sharing", "seals"),
    ("store", "devices"),
    ("cache", "catalog", "environment", "own_code"),
    ("gaps", "stats"),
    ("records", "starters"),
    # What measures.
    ("data",),
    ("simulation",),
    ("datasets",),
    ("fetch",),
    ("backbones",),
    ("extraction",),
    ("lookup",),
    ("features", "similarity"),
    ("probes",),
    ("dense",),
    ("workspace",),
    # What reads records.
    ("results",),
    ("ranking", "factors"),
    ("findings",),
    ("advice", "expected", "compare"),
    # What stands above both.
    ("measure", "checking"),
    ("looking",),
    ("report",),
    ("cli",),
    ("__main__",),
)
"""Packages and modules of geofm_eval, lowest first; those of one floor do not import each other."""

READS = ("results", "ranking", "factors", "findings", "advice", "expected", "compare", "report")
MEASURES = (
    "data", "simulation", "datasets", "fetch", "backbones", "extraction", "lookup", "features", "similarity", "probes",
    "dense", "workspace", "measure",
)  # fmt: skip

EXCEPTION = ("compare/feature_change.py", "similarity")
"""The only import from what reads to what measures: the CKA of stored features, imported where both are cached."""

FLOOR = {name: number for number, floor in enumerate(FLOORS) for name in floor}


def room_of(path: Path) -> str:
    """Package or module directly below ``geofm_eval`` that a file belongs to."""
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    """Dotted names of this package that a file imports anywhere, those of names in ``from`` imports included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "geofm_eval":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "geofm_eval")


FILES = [path for path in sorted(LIBRARY.rglob("*.py")) if path != LIBRARY / "__init__.py"]


def rooms_imported(path: Path) -> Iterator[str]:
    for name in imported(path):
        room = name.split(".")[1] if "." in name else ""
        if room in FLOOR and room != room_of(path):
            yield room


def test_every_package_has_a_floor():
    assert {room_of(path) for path in FILES} <= set(FLOOR)


def test_imports_go_down():
    climbing = [
        f"{path.relative_to(ROOT)} (floor {FLOOR[room_of(path)]}) imports {room} (floor {FLOOR[room]})"
        for path in FILES
        for room in rooms_imported(path)
        if FLOOR[room] >= FLOOR[room_of(path)]
    ]
    assert not climbing, climbing


def test_what_reads_records_does_not_import_what_measures():
    crossing = [
        (path.relative_to(LIBRARY).as_posix(), room)
        for path in FILES
        if room_of(path) in READS
        for room in rooms_imported(path)
        if room in MEASURES
    ]
    assert set(crossing) <= {EXCEPTION}, crossing


def test_only_the_command_line_and_pytest_present():
    presenting = [path for path in FILES if room_of(path) not in ("report", "cli") and "report" in rooms_imported(path)]
    assert not presenting, presenting


def test_records_are_made_by_what_measures():
    allowed = [LIBRARY / "measure", LIBRARY / "records", ROOT / "fixtures" / "outcomes.py"]
    files = [path for folder in ("geofm_eval", "fixtures", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    making = [
        path.relative_to(ROOT).as_posix()
        for path in files
        if not any(path.is_relative_to(place) for place in allowed)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Record"
    ]
    # The fault campaign makes the records that it damages.
    assert set(making) <= {"benchmarks/studies/trust/faults/world.py"}, making


@pytest.mark.parametrize("room", [*READS, "measure", "stats", "records", "catalog"])
def test_what_reads_loads_no_torch(room: str):
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in FILES
        if room_of(path) == room and (room != "measure" or path.name in ("__init__.py", "case.py"))
        if path != LIBRARY / EXCEPTION[0]
    ]
    code = f"import sys, {', '.join(modules)}; print([m for m in ('torch', 'timm', 'pandas') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize(
    "package", sorted(LIBRARY.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(ROOT))
)
def test_no_module_is_hidden_by_a_name_of_its_package(package: Path):
    modules = {path.stem for path in package.parent.iterdir()} - {"__init__", "__pycache__"}
    for node in ast.walk(ast.parse(package.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module != ".".join(package.parent.relative_to(ROOT).parts):
            assert not {alias.asname or alias.name for alias in node.names} & modules
