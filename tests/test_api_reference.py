"""The reference of the API has every public name, with its docstring."""

import subprocess
import sys
from pathlib import Path

import pytest

import geofm_eval


@pytest.mark.docs
def test_every_public_name_has_a_page(repository: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(repository / "docs" / "build_api.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warn" not in done.stderr, done.stderr
    page = (tmp_path / "geofm_eval.html").read_text(encoding="utf-8")
    missing = [name for name in geofm_eval.__all__ if f'id="{name}"' not in page]
    assert not missing, f"no entry in the reference: {missing}"


def test_public_names_have_docstrings():
    without = [name for name in geofm_eval.__all__ if name != "__version__" and not getattr(geofm_eval, name).__doc__]
    assert not without
