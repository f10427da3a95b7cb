"""The floors of the package: an import goes down, and what reads records never imports what measures."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "geofm_eval"

FLOORS = (
    ("errors", "memo", "garbage", "plurals", "progress", "terminal", "seeds", "version"),
    ("paths", "metric", "installation"),
    ("sharing", "seals"),
    ("store", "devices"),
    ("cache", "catalog", "environment", "own_code"),
    ("gaps", "stats"),
    ("records", "starters"),
    ("costs",),
    # What measures.
    ("data",),
    ("simulation",),
    ("datasets",),
    ("fetch",),
    ("backbones",),
    ("extraction",),
    ("lookup",),
    ("feature_blocks", "similarity"),
    ("probes",),
    ("dense",),
    ("workspace",),
    # What reads records.
    ("results",),
    ("ranking", "factors"),
    ("findings",),
    ("advice", "expected", "compare"),
    ("answer",),
    # What stands above both.
    ("measure", "checking"),
    ("exporting", "looking"),
    ("report",),
    ("cli",),
    ("__main__",),
)
"""Packages and modules of geofm_eval, lowest first; those of one floor do not import each other."""

READS = ("results", "ranking", "factors", "findings", "advice", "expected", "compare", "answer", "report")
MEASURES = (
    "data", "simulation", "datasets", "fetch", "backbones", "extraction", "lookup", "feature_blocks", "similarity",
    "probes", "dense", "workspace", "measure", "exporting",
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


@cache
def rooms_imported(path: Path) -> tuple[str, ...]:
    rooms = [name.split(".")[1] if "." in name else "" for name in imported(path)]
    return tuple(room for room in rooms if room in FLOOR and room != room_of(path))


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


PACKAGES = [
    path.parent for folder in ("geofm_eval", "fixtures", "benchmarks") for path in (ROOT / folder).rglob("__init__.py")
]


def names_of(path: Path) -> Iterator[str]:
    """Names that a file defines or imports at its top, without the modules of its own package."""
    package = ".".join(path.parent.relative_to(ROOT).parts)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    for node in [*body, *(own for block in body if isinstance(block, ast.If) for own in block.body)]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.ImportFrom) and node.module != package:
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("package", sorted(PACKAGES), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_is_named_like_what_its_package_holds(package: Path):
    """Else ``from package import name`` gives one or the other, and the reader cannot tell which is meant."""
    # Names of test functions are part of the ids of cases.
    files = [path for path in package.glob("*.py") if not path.name.startswith("test_")]
    modules = {path.stem for path in files} | {path.parent.name for path in package.glob("*/__init__.py")}
    shared = {path.name: both for path in files if (both := modules & set(names_of(path)))}
    assert not shared, shared


def test_no_module_is_named_like_a_function_in_it():
    files = [path for package in PACKAGES for path in package.glob("*.py") if not path.name.startswith("test_")]
    inside = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == path.stem
    ]
    assert not inside, inside


def test_no_two_classes_share_a_name():
    """A name found in an error message, a traceback or a search stands for one thing."""
    files = [path for folder in ("geofm_eval", "fixtures", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    defined: dict[str, list[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                defined.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    shared = {name: paths for name, paths in defined.items() if len(paths) > 1}
    assert not shared, shared
