"""A run packed into one file, and the committed reference of ``make study``."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.studies.reference import make_reference, renew_pages, without_dead_links
from geofm_eval.catalog import dense_cases, load_catalog
from geofm_eval.errors import DataError
from geofm_eval.records import content_of, pack, read_records, record_path, unpack
from geofm_eval.report.collation import collate
from geofm_eval.store import write_json
from tests.collating import no_figures, small_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return small_run(tmp_path / "runs")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


def test_an_archive_gives_back_every_record(run, tmp_path):
    records, _ = read_records(run)
    assert pack(run, tmp_path / "small.tar.xz", {record.case.id for record in records}) == len(records)
    folder = unpack(tmp_path / "small.tar.xz")
    assert folder.name == "small"
    assert read_records(folder) == (records, [])
    for record in records:
        name = f"{record.case.id}.npz"
        assert (folder / "probe" / name).read_bytes() == (run / "probe" / name).read_bytes()
    assert unpack(tmp_path / "small.tar.xz") == folder


def test_the_same_records_give_the_same_bytes(run, tmp_path):
    for name in ("a", "b"):
        pack(run, tmp_path / name / "small.tar.xz", set())
    assert (tmp_path / "a" / "small.tar.xz").read_bytes() == (tmp_path / "b" / "small.tar.xz").read_bytes()


def test_a_reference_says_the_same_as_its_run(run, tmp_path, monkeypatch):
    no_figures(monkeypatch)
    folder = tmp_path / "reference"
    assert make_reference(run, folder) == len(read_records(run)[0])
    again = collate(unpack(folder / "small.tar.xz"))
    for table in ("eurosat_sim-linear-ranking.md", "eurosat_sim-linear-ranks.md", "eurosat_sim-linear-depth.md"):
        assert (again.index.parent / table).read_text() == (run / "tables" / table).read_text()
        assert (folder / "tables" / table).read_text() == (run / "tables" / table).read_text()
    assert (folder / "small.tar.xz").stat().st_size < sum(p.stat().st_size for p in (run / "probe").iterdir()) / 5


def test_a_reference_keeps_the_outcomes_of_the_tap_that_each_label_fraction_chooses(run, tmp_path, monkeypatch):
    no_figures(monkeypatch)
    for record in read_records(run)[0]:
        if record.case.layer == "block01":
            choices = [replace(one, val_score=0.99) if one.fraction < 1 else one for one in record.selection.choices]
            selection = record.selection.model_copy(update={"choices": tuple(choices)})
            path = record_path(run, "probe", record.case.id)
            write_json(path, content_of(record.model_copy(update={"selection": selection})))
    folder = tmp_path / "reference"
    make_reference(run, folder)
    again = collate(unpack(folder / "small.tar.xz"))
    table = "eurosat_sim-linear-ranks.md"
    assert (again.index.parent / table).read_text() == (run / "tables" / table).read_text()


def test_pages_are_renewed_from_the_archive_alone(run, tmp_path, monkeypatch):
    no_figures(monkeypatch)
    folder = tmp_path / "reference"
    make_reference(run, folder)
    before = {path.name: path.read_bytes() for path in (folder / "tables").iterdir()}
    (folder / "tables" / "eurosat_sim-linear-ranking.md").write_text("old")
    (folder / "tables" / "gone.md").write_text("a table of former times")
    renew_pages(folder)
    assert {path.name: path.read_bytes() for path in (folder / "tables").iterdir()} == {
        name: page.replace(b"# Run runs", b"# Run small") for name, page in before.items()
    }
    with pytest.raises(DataError, match="expected one archive of records, found 0"):
        renew_pages(tmp_path / "empty")


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_a_damaged_archive_is_named(run, tmp_path, kept):
    archive = tmp_path / "small.tar.xz"
    pack(run, archive, set())
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"small\.tar\.xz: not a complete archive.*git checkout"):
        unpack(archive)
    assert not list((tmp_path / "cache").glob("references/*/small"))


def test_an_absent_archive_and_a_run_with_a_damaged_record_are_refused(run, tmp_path):
    with pytest.raises(DataError, match="there is no such archive"):
        unpack(tmp_path / "none.tar.xz")
    next((run / "probe").glob("*.json")).write_text("{")
    with pytest.raises(DataError, match=r"not a readable record.*a reference needs a complete run"):
        pack(run, tmp_path / "small.tar.xz", set())


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    import tarfile

    with tarfile.open(tmp_path / "evil.tar.xz", "w:xz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil.json"))
    with pytest.raises(DataError, match="not a complete archive"):
        unpack(tmp_path / "evil.tar.xz")
    assert not list(tmp_path.rglob("evil.json"))


def test_links_to_what_is_not_committed_are_left_out(tmp_path):
    (tmp_path / "a.md").write_text("table")
    row = "| t | [table](a.md), [CSV](a.csv) | [figure](b.png), [table](a.md) | ![x](b.png) [web](https://a.b) |"
    assert without_dead_links(row, tmp_path) == "| t | [table](a.md) | [table](a.md) | ![x](b.png) [web](https://a.b) |"


def test_the_reference_holds_the_whole_case_study_of_floods(reference_records):
    records = reference_records
    ours = {r.case.id for r in records if r.case.kind == "segment" and r.case.task == "sen1floods11_sim"}
    whole = {case.id for case in dense_cases(load_catalog(), "extended", tasks=["sen1floods11_sim"])}
    assert ours == whole
    for record in (r for r in records if r.case.kind == "segment" and r.case.id in ours):
        training = record.training
        assert [one.seed for one in training.seeds] == [0, 1, 2]
        same = {one.backbone_sha256 == (one.initial_sha256 or training.backbone_sha256) for one in training.seeds}
        assert same == {training.tuning == "frozen"}, f"{record.case.id}: {training.tuning}, unchanged backbone: {same}"
        assert record.outcomes_sha256 is not None
