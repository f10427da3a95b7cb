"""What a collation writes: tables, page, CSV."""

import csv
import errno
import os
import re
from pathlib import Path

import pytest

from geofm_eval.errors import DataError
from geofm_eval.records import read_record, record_path
from geofm_eval.report.collation import collate
from geofm_eval.results import pairs as choice
from geofm_eval.stats.scores import Interval
from geofm_eval.store import StoreError
from tests.collating import (
    CATALOG,
    MODEL,
    SMALL,
    change,
    fail,
    page,
)
from tests.synthetic_run import Synthetic, write_run

GOLDEN = Path(__file__).parent / "golden"


def test_tables_are_golden(run: Path, monkeypatch: pytest.MonkeyPatch):
    """To renew: GEOFM_RENEW=1 pytest tests/test_collate_output.py -k golden, then read the difference."""
    monkeypatch.setattr(choice, "paired_interval", lambda a, b, *_, **__: Interval(-0.01, 0.02, 0.95, "fixed", "items"))
    collation = collate(run, CATALOG)
    text = collation.text.replace(str(run), "RUN")
    names = ("ranking.md", "ranking.csv", "ranking.tex", "depth.md", "labels.md")
    found = {f"eurosat_sim-linear-{n}": (run / "tables" / f"eurosat_sim-linear-{n}").read_text("utf-8") for n in names}
    found |= {"text.txt": text + "\n", "index.md": page(run)}
    for name, content in found.items():
        golden = GOLDEN / "tables" / name
        if os.environ.get("GEOFM_RENEW"):
            golden.parent.mkdir(exist_ok=True)
            golden.write_text(content, encoding="utf-8")
        assert content == golden.read_text(encoding="utf-8"), name


def test_two_collations_are_equal_and_stale_files_are_removed(run: Path):
    collate(run)
    before = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    (run / "tables" / "gone-linear-ranking.md").write_text("stale", encoding="utf-8")
    (run / "tables" / "notes.txt").write_text("the user's own", encoding="utf-8")
    collate(run)
    after = {path.name: path.read_bytes() for path in (run / "tables").iterdir()}
    assert after.pop("notes.txt") == b"the user's own"
    assert after == before


def test_every_link_of_the_page_leads_somewhere_and_every_model_is_credited(tmp_path: Path):
    run = write_run(tmp_path / "linked", SMALL, ("eurosat_sim", "eurosat_rgb"), ("linear",))
    collation = collate(run)
    links = re.findall(r"\]\(([^)]+)\)", page(run))
    assert len(links) == 30
    assert all((collation.index.parent / link).is_file() for link in links)
    assert "galileo_nano: Galileo nano; licence MIT; Tseng et al. 2025" in page(run)
    assert "eurosat_rgb: EuroSAT, RGB edition; licence MIT; Helber et al. 2019" in page(run)
    for figure in (run / "figures").glob("*.png"):
        assert figure.read_bytes().startswith(b"\x89PNG")
        assert figure.stat().st_size > 20_000


def test_no_output_holds_nan(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "partial", SMALL, ("eurosat_sim",), ("linear", "knn"))
    change(run, MODEL, "final", fail)
    collate(run)
    for path in (*(run / "tables").iterdir(), *(run / "figures").glob("*.csv")):
        words = re.findall(r"[A-Za-z]+", path.read_text(encoding="utf-8").lower())
        assert not {"nan", "none", "inf"} & set(words), path.name


def test_csv_holds_what_the_records_hold(run: Path):
    collate(run)
    with (run / "figures" / "eurosat_sim-linear-labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["model"] == "galileo_nano" and row["fraction"] == "0.1"]
    record = read_record(record_path(run, "probe", f"galileo_nano-eurosat_sim-linear-{rows[0]['tap']}"))
    assert [float(row["draw_score"]) for row in rows] == list(record.scores["0.1"].per_draw)
    assert {row["n_train"] for row in rows} == {"200"}
    assert {row["evidence"] for row in rows} == {"simulated"}


def test_a_model_that_the_catalog_lacks_is_listed_with_the_cure(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "own", (Synthetic("mine", (0.5, 0.7, 0.6)),), ("eurosat_sim",), ("linear",))
    collate(run)
    assert "mine: not in the catalog: give the file that defines it with --catalog" in page(run)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="no such run"):
        collate(tmp_path / "absent")
    with pytest.raises(DataError, match="holds no records"):
        collate(tmp_path)


def test_a_full_disk_is_named(run: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(StoreError, match="disk is full"):
        collate(run)
