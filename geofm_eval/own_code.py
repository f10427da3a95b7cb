"""A user's own code: import of its functions, and the hash of its file and of what it imports from its own folder."""

import ast
import importlib
import importlib.util
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from geofm_eval.errors import ContractError
from geofm_eval.store import content_hash, file_sha256

_IMPORTERS = ("import_module", "__import__")
_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})

# Hash of the code that this process has imported, by its first file.
_imported: dict[str, str] = {}


def own_function(slug: str, named: str, signature: str) -> tuple[Callable[..., Any], str]:
    """Import a user's function.

    Args:
        slug: entry of the catalog, for messages.
        named: ``file.py:function``, or ``module:function``.
        signature: arguments of the function, for messages.

    Returns:
        The function, and the hash of its code; see :func:`code_sha256`.

    Raises:
        ContractError: the file or function does not exist, or cannot be imported.
    """
    source, _, name = named.rpartition(":")
    module, code = _module(slug, source)
    function = getattr(module, name, None)
    if not callable(function):
        raise ContractError(f"{slug}: {source} has no function '{name}' (expected {name}({signature}))")
    return function, code


def code_sha256(path: Path) -> str:
    """Return the SHA-256 over a source file and its direct and indirect imports from its own folder.

    Imports are read from the source without running it. Imports inside functions, and
    ``importlib.import_module("name")`` with a literal name, are included; installed modules are not. The hash covers
    contents and relative paths, so a copy in another folder has the same one.
    """
    root = _root(path.resolve())
    return content_hash({file.relative_to(root).as_posix(): file_sha256(file) for file in source_files(path)})


def source_files(path: Path) -> list[Path]:
    """Return the file and the files that it imports from its own folder, sorted."""
    first = path.resolve()
    root = _root(first)
    packages = {folder / "__init__.py" for folder in first.parents if folder != root and folder.is_relative_to(root)}
    found, waiting = {first, *packages}, [first, *packages]
    while waiting:
        for file in _imports(waiting.pop(), first.parent, root):
            if file not in found:
                found.add(file)
                waiting.append(file)
    return sorted(found)


def fresh_code(path: Path | None) -> str:
    """Hash the current code of a user, and make Python import exactly this code.

    Otherwise Python would reuse modules of this process, or bytecode of a source with the same size and modification
    second, and results would be stored under the hash of code that did not run.

    Args:
        path: file that is imported next; None for a module without source.

    Returns:
        See :func:`code_sha256`; empty for a module without source.
    """
    if path is None:
        return ""
    found, files = code_sha256(path), source_files(path)
    if _imported.setdefault(str(path.resolve()), found) != found:
        names = {str(file) for file in files}
        for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", None) in names]:
            del sys.modules[name]
        _imported[str(path.resolve())] = found
    for file in files:
        if not any(file.is_relative_to(folder) for folder in _INSTALLED):
            with suppress(OSError):
                Path(importlib.util.cache_from_source(str(file))).unlink()
    return found


def _module(slug: str, source: str) -> tuple[ModuleType, str]:
    """Import a user's module by name or path; also return the hash of its code."""
    if not source.endswith(".py"):
        try:
            code = fresh_code(_file_of(source))
            return importlib.import_module(source), code
        except ImportError as error:
            raise ContractError(f"{slug}: module '{source}' cannot be imported: {error}") from error
    path = Path(source)
    if not os.path.isfile(path):  # unlike Path.is_file, not an error if the name is too long for a file
        raise ContractError(f"{slug}: {source[:200]} does not exist; the path is relative to the catalog file")
    code = fresh_code(path)
    name = f"geofm_eval_own_{code[:16]}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ContractError(f"{slug}: {path} cannot be imported: {type(error).__name__}: {error}") from error
    return module, code


def _file_of(name: str) -> Path | None:
    """Source file of a module that is not imported yet; None if there is none."""
    try:
        found = importlib.util.find_spec(name)
    except ValueError:  # for example for __main__
        return None
    return None if found is None or found.origin is None or not found.origin.endswith(".py") else Path(found.origin)


def _root(path: Path) -> Path:
    """Folder in which absolute imports of a package's own modules start: above the topmost package of a file."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def _imports(file: Path, own: Path, root: Path) -> Iterator[Path]:
    """Files in the own folder or package that a file imports."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return  # the import itself will raise
    for node in ast.walk(tree):
        for level, name in _names(node):
            bases = [file.parents[level - 1]] if level else [own, root]
            for base in bases:
                yield from _files(base, [part for part in name.split(".") if part])


def _names(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Level (leading dots) and dotted name of everything that a statement may import."""
    if isinstance(node, ast.Import):
        yield from ((0, alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        yield from ((node.level, f"{module}.{alias.name}") for alias in node.names)
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", None))
        if called in _IMPORTERS and isinstance(node.args[0].value, str):
            yield 0, node.args[0].value


def _files(base: Path, parts: list[str]) -> Iterator[Path]:
    """Files that run when a dotted name is imported: its packages, and the module itself."""
    folder = base
    for part in parts:
        for candidate in (folder / part / "__init__.py", folder / f"{part}.py"):
            if candidate.is_file():
                yield candidate.resolve()
                break
        folder = folder / part
