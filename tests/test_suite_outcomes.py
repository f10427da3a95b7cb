"""What becomes of a case when things go wrong: its record, its report, the summary."""

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fixtures import outcomes
from fixtures.outcomes import CAUSE, REUSED, VERDICT, measured, record_crash, settle, skipping
from fixtures.runs import RunFolder
from fixtures.scheduler import DIED, allow_restarts
from fixtures.session import own_device
from fixtures.suite import Suite, select_cases
from fixtures.summary import FEW, LINES, write_summary
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.records import Record, read_record, read_skips, record_path
from geofm_eval.store import storing
from tests.small_suite import OPTIONS
from tests.synthetic_run import MODELS, make_record

CATALOG = load_catalog()
CASE = Case("probe", "galileo_nano", "eurosat_sim", "linear", "final")
GAP = Unavailable("weights", "weights/x.pt", "Train it.")


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    cases = select_cases(replace(OPTIONS, models=("galileo_nano",), tasks=("eurosat_sim",)), CATALOG)
    return Suite(OPTIONS, CATALOG, cases, RunFolder("mine", tmp_path / "mine", resume=False), "main")


def item(measurement: object = None) -> Any:
    stash = pytest.Stash()
    if measurement is not None:
        stash[measured] = measurement  # type: ignore[assignment]
    return SimpleNamespace(callspec=SimpleNamespace(params={"case": CASE}), stash=stash)


def measurement(reused: bool = False) -> SimpleNamespace:
    model = next(model for model in MODELS if model.slug == "galileo_nano")
    record, arrays = make_record(model, CASE.task, CASE.adaptation, CASE.layer)
    outcomes = None if reused else arrays
    return SimpleNamespace(
        record=record, outcomes=outcomes, reused=reused, judgement=None, rewritten=False, examples=()
    )


def ended(suite: Suite, made: Any, raised: BaseException | None, when: Any = "call") -> pytest.TestReport:
    """Let a phase of a case end, and settle it."""

    def body() -> None:
        if raised is not None:
            with skipping(made, suite):
                raise raised

    call = pytest.CallInfo.from_call(body, when=when)
    outcome = "passed" if call.excinfo is None else "skipped" if call.excinfo.typename == "Skipped" else "failed"
    report = pytest.TestReport("benchmarks/test_probe.py::x", ("x", 1, "x"), {}, outcome, None, when)  # type: ignore[arg-type]
    settle(made, call, report, suite)
    return report


def record(suite: Suite) -> Record:
    return read_record(record_path(suite.run.folder, "probe", CASE.id))


def test_a_case_that_passes_leaves_its_record(suite: Suite) -> None:
    report = ended(suite, item(measurement()), None)
    assert (VERDICT, "no_range") in report.user_properties
    assert record(suite).outcome.status == "passed"
    assert record(suite).scores


def test_a_case_that_fails_leaves_its_record_with_scores_and_reason(suite: Suite) -> None:
    report = ended(suite, item(measurement()), AssertionError("accuracy 1.2\nassert 1.2 <= 1"))
    assert record(suite).outcome.status == "failed"
    assert record(suite).outcome.reason == "AssertionError: accuracy 1.2"
    assert record(suite).scores, "what was measured is kept"
    assert report.longrepr == "AssertionError: accuracy 1.2"


@pytest.mark.parametrize(("error", "explained"), [(DataError("a.tif: cut\nshort"), True), (KeyError("x"), False)])
def test_a_case_that_stops_leaves_a_record_with_the_cause(suite: Suite, error: Exception, explained: bool) -> None:
    report = ended(suite, item(), error, "setup")
    assert record(suite).outcome.status == "error"
    assert record(suite).scores == {}
    assert (report.longrepr == "DataError: a.tif: cut\nshort") is explained, "a bug keeps its traceback"


def test_a_record_that_is_used_again_stays_as_it_is(suite: Suite) -> None:
    report = ended(suite, item(measurement(reused=True)), None)
    assert (REUSED, True) in report.user_properties
    assert not suite.run.folder.exists()


def test_what_is_absent_is_skipped_with_the_reason(suite: Suite) -> None:
    report = ended(suite, item(), GAP, "setup")
    assert report.skipped
    (skip,), problems = read_skips(suite.run.folder)
    assert (skip.case_id, skip.kind, skip.what, skip.how) == (CASE.id, "weights", "weights/x.pt", "Train it.")
    assert problems == []
    assert not record_path(suite.run.folder, "probe", CASE.id).exists()


def test_what_is_absent_fails_when_all_is_required(suite: Suite) -> None:
    strict = replace(suite, options=replace(OPTIONS, require_all=True))
    report = ended(strict, item(), GAP, "setup")
    assert report.failed
    assert record(suite).outcome.status == "failed"
    assert record(suite).outcome.verdict == "unavailable"
    assert "weights/x.pt" in (record(suite).outcome.reason or "")


def test_a_record_that_cannot_be_written_fails_its_case(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(record: Record, arrays: object, run_dir: Path) -> None:
        with storing(run_dir):
            raise OSError(errno.ENOSPC, "No space left on device", str(run_dir))

    monkeypatch.setattr(outcomes, "write_record", full_disk)
    report = ended(suite, item(measurement()), None)
    assert report.failed
    assert "cannot write the record" in str(report.longrepr)
    assert "The disk is full" in str(report.longrepr)


def test_the_controller_writes_the_record_of_a_case_whose_worker_died(suite: Suite) -> None:
    record_crash(suite, f"benchmarks/test_probe.py::test_probe[{CASE.id}]", DIED)
    assert record(suite).outcome.status == "error"
    assert record(suite).outcome.reason == DIED
    record_crash(suite, "benchmarks/test_throughput.py::test_throughput[a-b-frozen-final]", DIED)


@pytest.mark.parametrize(("given", "expected"), [(None, "15"), ("1", "1")])
def test_one_bad_model_cannot_use_up_all_restarts(suite: Suite, given: str | None, expected: str) -> None:
    values = {"numprocesses": 3, "maxworkerrestart": given}
    config: Any = SimpleNamespace(option=SimpleNamespace(**values), getoption=lambda name, default=None: values[name])
    allow_restarts(config, suite)
    assert config.option.maxworkerrestart == expected


@pytest.mark.parametrize(
    ("wanted", "worker", "expected"),
    [("cpu", "gw1", "cpu"), ("cuda", "main", "cuda:0"), ("cuda", "gw3", "cuda:1"), ("cuda:1", "gw2", "cuda:1")],
)
def test_workers_share_the_gpus(suite: Suite, wanted: str, worker: str, expected: str) -> None:
    options = replace(OPTIONS, device=wanted)
    assert own_device(replace(suite, options=options, worker=worker), gpus=2) == expected


def test_an_absent_gpu_is_unavailable(suite: Suite) -> None:
    with pytest.raises(Unavailable, match=r"cuda:2 \(torch sees 2 GPUs\)"):
        own_device(replace(suite, options=replace(OPTIONS, device="cuda:2")), gpus=2)


def summary_of(suite: Suite, reports: list[pytest.TestReport], verbosity: int = 0) -> list[str]:
    lines: list[str] = []
    line: Callable[..., None] = lambda text, **_: lines.append(text)  # noqa: E731
    config = SimpleNamespace(get_verbosity=lambda: verbosity)
    reporter: Any = SimpleNamespace(stats={"": reports}, section=line, line=line, config=config)
    write_summary(reporter, suite, None, interrupted=False)
    return lines


def report(outcome: Any, longrepr: Any = None, **properties: object) -> pytest.TestReport:
    return pytest.TestReport("x", ("x", 1, "x"), {}, outcome, longrepr, "call", user_properties=[*properties.items()])


@pytest.mark.parametrize(("verbosity", "most"), [(0, FEW), (1, LINES)])
def test_the_summary_counts_instead_of_listing(suite: Suite, verbosity: int, most: int) -> None:
    skipped = [report("skipped", ("x.py", 1, f"Skipped: reason {index % 2}")) for index in range(900)]
    failed = [report("failed", "x", **{CAUSE: f"cause {index}"}) for index in range(most + 30)]
    lines = summary_of(suite, skipped + failed, verbosity)
    assert "skipped: 450 x reason 0" in lines
    assert "failed: 30 more for 30 other reasons" in lines
    assert len(lines) <= most + 5
