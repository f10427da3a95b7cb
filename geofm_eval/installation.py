"""The pytest suite: where it is, in a checkout or installed from a wheel, and the command that runs it."""

from pathlib import Path

from geofm_eval.errors import ContractError

_BESIDE = Path(__file__).resolve().parents[1]
_PACKAGE = _BESIDE / "geofm_eval_suite"
"""Folder next to this package that a wheel installs the suite in; a checkout has none."""


def suite_root() -> Path:
    """Return the folder of the suite: its package if installed from a wheel, else the root of the checkout.

    Raises:
        ContractError: there is no suite.
    """
    root = _PACKAGE if _PACKAGE.is_dir() else _BESIDE
    if not (root / "benchmarks" / "test_probe.py").is_file():
        raise ContractError(f"the suite is not in {root}; install geofm_eval again from its wheel, or use a checkout")
    return root


def suite_command(file: str = "") -> str:
    """Return the command that runs the suite: ``geofm-eval run`` if installed, ``pytest benchmarks`` in a checkout.

    Args:
        file: only this file of ``benchmarks/``.
    """
    path = f"benchmarks/{file}" if file else ""
    return f"geofm-eval run {path}".rstrip() if _PACKAGE.is_dir() else f"pytest {path or 'benchmarks'}"
