"""NeuCo-Bench's own probe in reports: a table of its own, and no part in rankings, verdicts, ranges or advice."""

from dataclasses import replace
from pathlib import Path

import pytest

from geofm_eval.catalog import load_catalog, probe_cases
from geofm_eval.errors import DataError
from geofm_eval.expected.update import take
from geofm_eval.ranking.grouping import settings
from geofm_eval.records import RunManifest, read_records, write_manifest, write_record
from geofm_eval.report.collation import collate
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import read_run
from tests.synthetic_regression import make_regression
from tests.synthetic_run import MODELS

TASK = "neuco_sim_crops"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two models under ridge and under both forms of the probe, which has no validation score."""
    folder, cases = tmp_path / "run", []
    for model in MODELS[:2]:
        for tap in model.taps:
            for adaptation in ("ridge", "adamw", "adamw_mended"):
                record, outcomes = make_regression(model, TASK, tap, shuffled=True)
                case = record.case.model_copy(
                    update={"adaptation": adaptation, "id": f"{model.slug}-{TASK}-{adaptation}-{tap}"}
                )
                record = record.model_copy(update={"case": case})
                if adaptation != "ridge":
                    assert record.selection is not None
                    silent = [replace(one, val_score=None) for one in record.selection.choices]
                    record = record.model_copy(
                        update={"selection": record.selection.model_copy(update={"choices": tuple(silent)})}
                    )
                write_record(record, outcomes, folder)
                cases.append(f"test_probe[{case.id}]")
    write_manifest(folder, RunManifest(name=folder.name, cases=tuple(cases)))
    return folder


def test_the_probe_has_a_table_of_its_own_and_takes_part_in_nothing_else(run: Path):
    known = read_run(run)
    assert {one.record.case.adaptation for one in comparisons(known)[0]} == {"ridge"}
    assert {one.adaptation for one in settings(known)} == {"ridge"}
    found = collate(run)
    assert found.problems == ()
    text = (run / "tables" / f"{TASK}-neuco.md").read_text(encoding="utf-8")
    assert "not ranked" in text
    assert (
        "| model | tap | adamw: mean R2 | adamw: Q | adamw_mended: mean R2 | adamw_mended: Q | ridge: mean R2 |" in text
    )
    rows = [line for line in text.splitlines() if line.startswith(f"| {MODELS[0].slug} | ")]
    assert len(rows) == len(MODELS[0].taps)
    score = make_regression(MODELS[0], TASK, "final", shuffled=True)[0].scores["1.0"]
    assert f"{score.extra['mean_r2']:.3f} | {score.extra['neuco_q']:.3f}" in rows[-1]
    index = (run / "tables" / "README.md").read_text(encoding="utf-8")
    assert f"[table]({TASK}-neuco.md)" in index
    assert not [path.name for path in (run / "tables").iterdir() if "adamw" in path.name]


def test_the_probe_has_no_range(run: Path):
    records, _ = read_records(run)
    taken = take([records])
    assert {key.case.split("-")[1] for _, key in taken.groups} == {"ridge"}
    assert "is not solved to its optimum" in " ".join(taken.refused.values())
    with pytest.raises(DataError, match="nothing to set ranges from"):
        take([[one for one in records if one.case.adaptation != "ridge"]])


def test_the_probe_is_measured_by_name_alone_and_of_numbers_per_item_alone():
    known = load_catalog()
    for suite in ("bench", "study", "extended"):
        assert not [one for one in probe_cases(known, suite) if one.adaptation.startswith("adamw")]
    named = probe_cases(known, "study", adaptations=["adamw"])
    assert named
    assert {known.task(one.task).kind for one in named} == {"regression"}
