"""Is what the committed archive of records gives still what is committed, and what it gave before?"""

import hashlib
import json
import os
import re
import shutil
from pathlib import Path

import pytest

from benchmarks.studies.reference import REFERENCE, copy_pages
from geofm_eval.report.collation import collate
from geofm_eval.report.drift import page as drift

pytestmark = pytest.mark.slow

ARCHIVE = REFERENCE / "study.tar.xz"
GOLDEN = Path(__file__).parent / "golden" / "reference_csv.json"

RENEW = "GEOFM_RENEW=1 pytest tests/test_reference_pages.py -k csv"

DIGITS = 6
"""Significant digits that are compared: other processors round the last ones differently."""

NOISE = 1e-9
"""Numbers below it are rounding errors of a zero."""


@pytest.fixture(scope="module")
def collated(unpacked_reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the reference, collated once without what costs most: drawing, and the values of every drift."""
    folder = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(folder / "cache"))
        patch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", lambda canvas, path: path.touch())
        patch.setattr(drift, "value_rows", lambda *_: [])
        run = shutil.copytree(unpacked_reference, folder / "study")
        collate(run)
    return run


def digest(path: Path) -> str:
    """SHA-256 of a CSV, with its numbers rounded."""

    def rounded(number: re.Match[str]) -> str:
        value = float(number[0])
        return "0" if abs(value) < NOISE else f"{value:.{DIGITS}g}"

    text = re.sub(r"(?<![\w.])-?\d+(\.\d+)?(e[-+]?\d+)?(?![\w.])", rounded, path.read_text(encoding="utf-8"))
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_committed_pages_are_what_the_archive_gives(collated: Path, tmp_path: Path):
    """To renew: python -m benchmarks.studies.reference."""
    copy_pages(collated, tmp_path)
    found = {path.name: path.read_bytes() for path in (tmp_path / "tables").iterdir()}
    committed = {path.name: path.read_bytes() for path in (REFERENCE / "tables").iterdir()}
    differ = sorted(name for name in {*found, *committed} if found.get(name) != committed.get(name))
    assert not differ, f"{len(differ)} pages differ, run python -m benchmarks.studies.reference: {', '.join(differ)}"


def test_the_committed_pages_and_figures_have_the_names_that_the_archive_gives(collated: Path, tmp_path: Path):
    copy_pages(collated, tmp_path)
    for kind in ("tables", "figures"):
        names = {path.name for path in (tmp_path / kind).iterdir()}
        assert names == {path.name for path in (REFERENCE / kind).iterdir()}, kind


def test_every_csv_of_the_reference_is_as_before(collated: Path):
    """To renew: ``RENEW``, after the reference was measured again or a number was changed on purpose."""
    paths = sorted((collated / "tables").glob("*.csv"))
    csv = {path.name: digest(path) for path in paths if not path.name.endswith("-drift-values.csv")}
    found = {"archive": hashlib.sha256(ARCHIVE.read_bytes()).hexdigest(), "csv": csv}
    if os.environ.get("GEOFM_RENEW"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert found["archive"] == golden["archive"], f"the archive is another one: {RENEW}"
    differ = sorted(name for name in {*csv, *golden["csv"]} if csv.get(name) != golden["csv"].get(name))
    assert not differ, f"{len(differ)} CSV files have other numbers, if on purpose: {RENEW}\n{', '.join(differ)}"


def test_a_digest_ignores_last_digits_and_nothing_else(tmp_path: Path):
    def of(text: str) -> str:
        (tmp_path / "a.csv").write_text(text)
        return digest(tmp_path / "a.csv")

    base = of("a-b_1,0.1234567,1.0,3,1e-17")
    assert of("a-b_1,0.12345670000001,1.0,3,-2e-16") == base
    for other in (
        "a-b_2,0.1234567,1.0,3,0",
        "a-b_1,0.123458,1.0,3,0",
        "a-b_1,-0.1234567,1.0,3,0",
        "a-b_1,0.1234567,1.0,4,0",
    ):
        assert of(other) != base
