"""Several sessions fill one run: no plan is lost, and none removes what another wrote."""

import json
import time
from pathlib import Path

import pytest

from fixtures.runs import RunFolder, claim, discard_if_empty, note_cases
from geofm_eval.compare import find_run
from geofm_eval.errors import DataError
from geofm_eval.records import append_skip, pack, read_manifest, read_records, read_skips, unpack, write_record
from geofm_eval.sharing import writer_name
from tests.processes import process
from tests.synthetic_run import MODELS, make_record

SESSIONS, CASES = 4, 50


def nodeids(model: str, count: int = 1) -> list[str]:
    return [f"benchmarks/test_probe.py::test_probe[{model}-t-knn-{number}]" for number in range(count)]


def note_at(folder: Path, model: str, moment: float) -> None:
    time.sleep(max(0.0, moment - time.time()))
    note_cases(RunFolder("r", folder, True), nodeids(model, CASES))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    claim(RunFolder("r", tmp_path / "r", False))
    return tmp_path / "r"


def planned(folder: Path) -> int:
    manifest = read_manifest(folder)
    return 0 if manifest is None else len(manifest.cases)


def test_sessions_that_start_together_lose_no_planned_case(folder: Path) -> None:
    moment = time.time() + 4.0
    started = [process(note_at, folder, f"m{number}", moment) for number in range(SESSIONS)]
    for one in started:
        one.start()
    for one in started:
        one.join(60)
    assert planned(folder) == SESSIONS * CASES
    assert len(json.loads((folder / "run.json").read_text())["cases"]) == SESSIONS * CASES


def test_a_plan_survives_whoever_writes_the_list_last(folder: Path) -> None:
    first, second = RunFolder("r", folder, True), RunFolder("r", folder, True)
    note_cases(first, nodeids("a"))
    early = (folder / "run.json").read_bytes()
    note_cases(second, nodeids("b"))
    (folder / "run.json").write_bytes(early)
    assert planned(folder) == 2


def test_a_session_without_results_leaves_the_plan_of_another(folder: Path) -> None:
    empty, busy = RunFolder("r", folder, True), RunFolder("r", folder, True)
    note_cases(empty, nodeids("a"))
    note_cases(busy, nodeids("b"))
    discard_if_empty(empty)
    assert (folder / "plan" / f"{busy.session}.json").is_file()
    assert planned(folder) >= 1
    discard_if_empty(busy)
    assert not (folder / "plan").exists()


def test_a_session_that_selects_nothing_leaves_an_earlier_plan(folder: Path) -> None:
    note_cases(RunFolder("r", folder, True), nodeids("a"))
    discard_if_empty(RunFolder("r", folder, True))
    assert planned(folder) == 1


def test_a_session_that_planned_nothing_leaves_no_folder(folder: Path) -> None:
    discard_if_empty(RunFolder("r", folder, False))
    assert not folder.exists()


def test_a_damaged_list_is_kept_for_readers_to_report(folder: Path) -> None:
    (folder / "run.json").write_text("{")
    note_cases(RunFolder("r", folder, True), nodeids("a"))
    assert (folder / "run.json").read_text() == "{"
    with pytest.raises(DataError, match=r"run\.json: not a readable list of cases"):
        read_manifest(folder)


def test_a_plan_is_no_record(folder: Path) -> None:
    note_cases(RunFolder("r", folder, True), nodeids("a"))
    assert read_records(folder) == ([], [])
    with pytest.raises(DataError, match="holds no records"):
        find_run(folder)


def test_an_archive_holds_the_plan_of_all_sessions(folder: Path, tmp_path: Path) -> None:
    for model in ("a", "b"):
        note_cases(RunFolder("r", folder, True), nodeids(model))
    record, arrays = make_record(MODELS[0], "eurosat_sim", "linear", "final")
    write_record(record, arrays, folder)
    (folder / "run.json").unlink()
    pack(folder, tmp_path / "r.tar.xz", ())
    assert planned(unpack(tmp_path / "r.tar.xz")) == 2


def test_sessions_write_their_skips_into_files_of_their_own(folder: Path) -> None:
    for what in ("old", "new"):
        append_skip(folder, f"main-{writer_name()}", "m-t-knn-final", "data", what, "Fetch it.")
        time.sleep(0.02)
    assert len(list(folder.glob("skipped-*.jsonl"))) == 2
    (skip,), _ = read_skips(folder)
    assert skip.what == "new"
