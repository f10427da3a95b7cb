"""The suite in processes of its own: the same numbers for any number of workers, one extraction, crashes survived."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from filelock import FileLock

from geofm_eval.backbones.contract import CHECKED_IMAGES
from tests.small_suite import ADAPTATIONS, ITEMS, LAYERS, QUICK_TIMING, Session, SmallSuite, install

TASKS = ("colours", "colours_few")
SELECTION = ("--models", "oak,elm,broken,absent", "--tasks", ",".join(TASKS), "--run", "run", "-v")
PER_MODEL = len(TASKS) * len(ADAPTATIONS) * len(LAYERS)
RECORDED = PER_MODEL + 1
"""With the one case of similarity, for both tasks are on the same items."""

REPEATED = 2 * 30
"""That case runs the test items again, in batches of two sizes."""

CHECKED = 3 * 2 * CHECKED_IMAGES
"""The first images of each split are encoded again, together and in two halves."""

CASES = {
    model: [f"{model}-{task}-{adaptation}-{layer}" for task in TASKS for adaptation in ADAPTATIONS for layer in LAYERS]
    for model in ("oak", "elm", "broken", "absent")
}
ALIKE = "{}-colours-frozen-multi"
ABSENT = "weights/absent.safetensors (GEOFM_HOME is not set). Train it."
DIED, GIVEN_UP = "the worker died in this case", "not run: 3 workers in a row died"


def session(tmp_path_factory: pytest.TempPathFactory, name: str, *arguments: str) -> tuple[SmallSuite, Session]:
    """Run the suite once for all tests that look at it, whichever worker of the tool's own tests they are in."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if base.name.startswith("popen-") else base
    folder, log = shared / f"suite-{name}", shared / f"suite-{name}.json"
    with FileLock(shared / f"suite-{name}.lock"):
        if not log.exists():
            folder.mkdir()
            done = install(folder).run_fresh(*SELECTION, *arguments)
            log.write_text(json.dumps([done.status, done.text]), encoding="utf-8")
    return SmallSuite(folder), Session(*json.loads(log.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallSuite, Session]:
    return session(tmp_path_factory, "alone", "-n", "0", *QUICK_TIMING)


@pytest.fixture(scope="session")
def four(tmp_path_factory: pytest.TempPathFactory) -> tuple[SmallSuite, Session]:
    return session(tmp_path_factory, "four", "-n", "4")


def numbers(suite: SmallSuite, run: str = "run") -> dict[str, str]:
    """Scores and selection of every case that has some, as they are written."""
    records = suite.records(run)
    return {id: json.dumps([r["scores"], r["selection"]]) for id, r in records.items() if r["scores"]}


def statuses(suite: SmallSuite, model: str, run: str = "run") -> list[str]:
    records = suite.records(run)
    return [records[case]["outcome"]["status"] for case in CASES[model]]


def test_numbers_do_not_depend_on_the_number_of_workers(alone, four) -> None:  # type: ignore[no-untyped-def]
    expected = numbers(alone[0])
    assert sorted(expected) == sorted(CASES["oak"] + CASES["elm"]), alone[1].text
    assert numbers(four[0]) == expected


def test_similarity_does_not_depend_on_the_number_of_workers(alone, four) -> None:  # type: ignore[no-untyped-def]
    found = []
    for suite, _ in (alone, four):
        path = run_folder(suite) / "similarity" / f"{ALIKE.format('elm')}.json"
        found.append(json.loads(path.read_text(encoding="utf-8"))["similarity"])
    assert list(found[0]["between"]) == ["oak"]
    assert found[1] == found[0]


def test_every_block_is_extracted_once(alone, four) -> None:  # type: ignore[no-untyped-def]
    for suite, _ in (alone, four):
        seen = suite.items_passed()
        assert {model: seen[model] for model in ("oak", "elm")} == dict.fromkeys(
            ("oak", "elm"), ITEMS + REPEATED + CHECKED
        )


def test_every_process_computes_with_one_thread(alone, four) -> None:  # type: ignore[no-untyped-def]
    for suite, _ in (alone, four):
        assert set((suite.folder / "threads.txt").read_text().split()) == {"1"}
        assert {record["provenance"]["threads"] for record in suite.records("run").values() if record["scores"]} == {1}


def test_cases_of_a_model_and_data_set_stay_on_one_worker(four) -> None:  # type: ignore[no-untyped-def]
    found = re.findall(r"\[(gw\d)\].*test_probe\[(\w+)-", four[1].text)
    workers = {model: {worker for worker, name in found if name == model} for model in CASES}
    assert all(len(names) == 1 for names in workers.values()), f"a model's cases were spread over workers: {workers}"
    assert len({worker for names in workers.values() for worker in names}) > 1, "all cases ran on one worker"


def test_a_failed_step_fails_all_its_cases_with_one_cause(alone, four) -> None:  # type: ignore[no-untyped-def]
    for suite, done in (alone, four):
        assert done.status == 1
        reasons = {suite.records("run")[case]["outcome"]["reason"] for case in CASES["broken"]}
        assert statuses(suite, "broken") == ["error"] * PER_MODEL
        assert len(reasons) == 1
        assert "features of tap final (mean) are not finite" in reasons.pop()
        assert f"failed: {PER_MODEL} x ContractError: broken: features of tap final" in done.text
        assert "Traceback" not in done.text


def test_skips_are_counted_by_reason(alone, four) -> None:  # type: ignore[no-untyped-def]
    for suite, done in (alone, four):
        absent = [line for line in done.text.splitlines() if line.startswith("skipped:") and "absent" in line]
        timings = 2 if suite is alone[0] else 0
        assert absent == [f"skipped: {RECORDED + timings} x weights unavailable: {ABSENT}"]
        skips = [json.loads(line) for path in run_folder(suite).glob("skipped-*.jsonl") for line in path.open()]
        assert Counter(skip["case_id"] for skip in skips) == Counter([*CASES["absent"], ALIKE.format("absent")])
        assert not set(suite.records("run")) & set(CASES["absent"])
    assert "skipped: 8 x timings need a single process" in four[1].text


def test_the_terminal_says_what_was_measured_and_where_it_is(alone) -> None:  # type: ignore[no-untyped-def]
    suite, done = alone
    assert f"{3 * (RECORDED + 2)} of {4 * (RECORDED + 2)} selected cases can run here" in done.text
    assert "home: GEOFM_HOME is not set" in done.text
    assert f"oak on colours/train: {ITEMS * 20 // 45} items in" in done.text
    assert re.search(r"images/s up to oak block00 \d+, block01 \d+", done.text)
    assert f"verdicts: {3 * RECORDED} no_range" in done.text
    assert str(run_folder(suite) / "tables" / "README.md") in done.text
    assert (run_folder(suite) / "tables" / "README.md").exists()


def test_a_record_says_what_it_was_computed_from(alone) -> None:  # type: ignore[no-untyped-def]
    record = alone[0].records("run")["oak-colours-linear-block00"]
    assert record["evidence"] == "sample"
    assert record["case"]["markers"] == ["real", "closed", "control"]
    assert record["scores"]["1.0"]["n"] == 30
    assert record["scores"]["1.0"]["n_train"] == 60
    assert len(record["scores"]["0.1"]["per_draw"]) == 2
    assert record["provenance"]["split_definition"] == "custom"
    assert len(record["provenance"]["feature_keys"]) == 3


def test_killed_workers_cost_their_case_alone(alone, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    suite = install(tmp_path)
    selection = ("--models", "oak,elm", "--tasks", "colours", "--adaptations", "knn", "--run", "run")
    done = suite.run(*selection, "-n", "2", DIES_ONCE="oak", DIES_ALWAYS="elm")
    assert done.status == 1, done.text
    outcomes = {case: record["outcome"] for case, record in suite.records("run").items()}
    oak = [outcomes[f"oak-colours-knn-{layer}"] for layer in LAYERS]
    elm = [outcomes[f"elm-colours-knn-{layer}"] for layer in LAYERS]
    assert [outcome["status"] for outcome in oak] == ["error", "passed", "passed", "passed"]
    assert oak[0]["reason"].startswith(DIED)
    assert [outcome["status"] for outcome in elm] == ["error"] * 4
    assert [outcome["reason"].startswith(DIED) for outcome in elm] == [True, True, True, False]
    assert elm[3]["reason"].startswith(GIVEN_UP)
    expected = numbers(alone[0])
    assert {case: expected[case] for case in numbers(suite)} == numbers(suite)


def run_folder(suite: SmallSuite) -> Path:
    return suite.folder / "reports" / "runs" / "run"
