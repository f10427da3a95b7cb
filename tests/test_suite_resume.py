"""Runs are named, protected, interrupted and resumed."""

import os
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.runs import RunFolder, claim, discard_if_empty, name_run, note_cases
from geofm_eval.catalog import Case
from geofm_eval.measure.case import earlier_record
from geofm_eval.records import Outcome, append_skip, read_manifest, write_record
from tests.small_suite import LAYERS, OPTIONS, SmallSuite, install
from tests.synthetic_run import MODELS, make_record

SELECTION = ("--models", "oak,elm", "--tasks", "colours", "--adaptations", "knn", "--run", "run")
OAK = len(LAYERS)


def interrupted(suite: SmallSuite) -> tuple[int, str]:
    """Start a session whose second model never ends, and press Ctrl-C when the first one is through."""
    with subprocess.Popen(
        suite.command(*SELECTION, "-n", "2"),
        cwd=suite.folder,
        env=suite.environment(WAITS="elm"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A test run in the background of a script ignores Ctrl-C, and would hand that on.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            deadline = time.monotonic() + 240
            while len(suite.records("run")) < OAK or not (suite.folder / "elm.started").exists():
                assert time.monotonic() < deadline, "the session got nowhere"
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.2)
            os.killpg(process.pid, signal.SIGINT)
            text, _ = process.communicate(timeout=240)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, text


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    suite = install(tmp_path)
    status, text = interrupted(suite)
    assert status == pytest.ExitCode.INTERRUPTED, text
    assert f"interrupted: {OAK} records kept in reports/runs/run" in text
    assert "--run run --resume" in text
    assert {record["outcome"]["status"] for record in suite.records("run").values()} == {"passed"}
    assert len(suite.records("run")) == OAK, "the case that was interrupted left a record"

    refused = suite.run(*SELECTION)
    assert refused.status == pytest.ExitCode.USAGE_ERROR
    assert "run 'run' already exists" in refused.text

    passes, record = suite.items_passed()["oak"], tmp_path / "reports/runs/run/probe/oak-colours-knn-embed.json"
    written = record.stat().st_mtime_ns
    for folder in ("features", "sweeps"):  # what was computed is not needed to re-use a record
        (tmp_path / "cache" / folder).rename(tmp_path / f"away-{folder}")
    done = suite.run(*SELECTION, "--resume", "-v")
    assert done.status == 0, done.text
    assert f"resumed: {OAK} records reused" in done.text
    assert done.text.count("PASSED (from its record)") == OAK
    assert suite.items_passed()["oak"] == passes
    assert record.stat().st_mtime_ns == written
    assert [record["outcome"]["status"] for record in suite.records("run").values()] == ["passed"] * 2 * OAK


def test_only_a_whole_record_of_the_same_content_that_passed_is_used_again(tmp_path: Path) -> None:
    model = next(model for model in MODELS if model.slug == "galileo_nano")
    case = Case("probe", "galileo_nano", "eurosat_sim", "linear", "final")
    record, arrays = make_record(model, case.task, case.adaptation, case.layer)
    record = record.model_copy(update={"content_key": "a" * 64})
    path = write_record(record, arrays, tmp_path)
    assert earlier_record(tmp_path, case, "a" * 64) is not None
    assert earlier_record(tmp_path, case, "b" * 64) is None, "its content has changed since"
    assert earlier_record(tmp_path, replace(case, layer="embed"), "a" * 64) is None
    path.with_suffix(".npz").write_bytes(b"PK")
    assert earlier_record(tmp_path, case, "a" * 64) is None, "its per-item outcomes are damaged"
    failed = record.model_copy(update={"outcome": Outcome(status="failed", verdict="no_range", reason="low")})
    write_record(failed, arrays, tmp_path)
    assert earlier_record(tmp_path, case, "a" * 64) is None, "it failed"
    path.write_text('{"schema_version": 1, "ru', encoding="utf-8")
    assert earlier_record(tmp_path, case, "a" * 64) is None, "it is truncated"


def test_a_run_is_named_by_time_unless_it_is_named(tmp_path: Path) -> None:
    first, second = name_run(OPTIONS, tmp_path), name_run(OPTIONS, tmp_path)
    assert first.name != second.name
    assert first.folder == tmp_path / first.name
    assert name_run(replace(OPTIONS, run="mine"), tmp_path).name == "mine"


def test_resuming_needs_a_name_and_says_the_newest(tmp_path: Path) -> None:
    with pytest.raises(pytest.UsageError, match="--resume needs --run NAME, and none exists yet"):
        name_run(replace(OPTIONS, resume=True), tmp_path)
    (tmp_path / "latest").mkdir()
    with pytest.raises(pytest.UsageError, match="the newest run is latest"):
        name_run(replace(OPTIONS, resume=True), tmp_path)


def test_a_name_is_claimed_once(tmp_path: Path) -> None:
    run = RunFolder("mine", tmp_path / "runs" / "mine", resume=False)
    claim(run)
    with pytest.raises(pytest.UsageError, match=r"run 'mine' already exists.*continue it with --resume"):
        claim(run)
    claim(replace(run, resume=True))


def test_a_run_whose_folder_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(pytest.UsageError, match="cannot create the run's folder"):
        claim(RunFolder("mine", tmp_path / "runs" / "mine", resume=False))


def test_the_list_of_cases_grows_when_a_run_goes_on(tmp_path: Path) -> None:
    run = RunFolder("mine", tmp_path / "mine", resume=True)
    claim(run)
    note_cases(
        run,
        ["benchmarks/test_probe.py::test_probe[a-b-knn-final]", "benchmarks/test_throughput.py::test_throughput[x]"],
    )
    note_cases(run, ["benchmarks/test_probe.py::test_probe[c-b-knn-final]"])
    manifest = read_manifest(run.folder)
    assert manifest is not None
    assert manifest.cases == ("test_probe[a-b-knn-final]", "test_probe[c-b-knn-final]")


def test_a_run_without_any_result_leaves_no_folder(tmp_path: Path) -> None:
    run = RunFolder("mine", tmp_path / "mine", resume=False)
    claim(run)
    note_cases(run, ["benchmarks/test_probe.py::test_probe[a-b-knn-final]"])
    append_skip(run.folder, "main", "a-b-knn-final", "data", "b", "Fetch it.")
    discard_if_empty(run)
    assert run.folder.is_dir(), "what was skipped is worth keeping"
    (run.folder / "skipped-main.jsonl").unlink()
    discard_if_empty(run)
    assert not run.folder.exists()
