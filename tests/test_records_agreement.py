"""Scores are recomputed from per-item outcomes when a run is read, once per state of the files."""

import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from geofm_eval import records
from geofm_eval.errors import DataError
from geofm_eval.records import Record, verified
from tests.synthetic_regression import make_regression
from tests.synthetic_run import MODELS, make_record

MODEL = next(model for model in MODELS if model.slug == "galileo_nano")


def better(record: Record, by: float = 0.05) -> Record:
    """A record whose scores are those of no outcomes, and consistent in themselves."""
    scores = {
        key: score.model_copy(
            update={
                "value": score.value + by,
                "per_draw": tuple(value + by for value in score.per_draw),
                "interval": None,
            }
        )
        for key, score in record.scores.items()
    }
    return record.model_copy(update={"scores": scores})


def edit_score(folder: Path, kind: str) -> Path:
    """Write a record, then the same with other scores over it: sealed, and its outcomes left."""
    if kind == "accuracy":
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "block01")
    else:
        record, outcomes = make_regression(MODEL, "biomass_sim", "block01", shuffled=kind == "shuffles")
    path = records.write_record(record, outcomes, folder)
    os.utime(path.with_suffix(".npz"), (1e9, 1e9))
    assert records.read_records(folder)[1] == []
    records.rewrite_record(better(records.read_record(path), -0.05), folder)
    return path


@pytest.mark.parametrize("kind", ["accuracy", "r2", "shuffles"])
def test_a_score_that_its_outcomes_do_not_give_leaves_the_record_out_by_name(tmp_path: Path, kind: str):
    path = edit_score(tmp_path, kind)
    other, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    records.write_record(other, outcomes, tmp_path)
    found, problems = records.read_records(tmp_path)
    assert [record.case.layer for record in found] == ["final"]
    assert len(problems) == 1
    assert str(path) in problems[0]
    assert "its outcomes give" in problems[0]
    assert "run the case again" in problems[0]


def test_a_resumed_run_does_not_take_over_such_a_score(tmp_path: Path):
    path = edit_score(tmp_path, "accuracy")
    with pytest.raises(DataError, match="its outcomes give"):
        records.read_checked(tmp_path, path)


def test_counts_of_items_must_agree_with_the_outcomes(tmp_path: Path):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "block01")
    path = records.write_record(record, outcomes, tmp_path)
    written = records.read_record(path)
    scores = {key: score.model_copy(update={"n": 300}) for key, score in written.scores.items()}
    records.rewrite_record(written.model_copy(update={"scores": scores}), tmp_path)
    assert "counts 300 samples, its outcomes 400" in records.read_records(tmp_path)[1][0]


def test_outcomes_that_an_unsealed_record_denies_are_a_contradiction(tmp_path: Path):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "block01")
    path = records.write_record(record, outcomes, tmp_path)
    content = records.content_of(records.read_record(path)) | {"schema_version": 2, "outcomes_sha256": None}
    records.files.write_json(path, {name: content[name] for name in content if name != "checksum"})
    found, problems = records.read_records(tmp_path)
    assert found == []
    assert "does not name the per-sample outcomes" in problems[0]


def test_damaged_outcomes_are_named_and_the_record_keeps_its_scores(tmp_path: Path):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "block01")
    path = records.write_record(record, outcomes, tmp_path)
    path.with_suffix(".npz").write_bytes(b"damaged")
    found, problems = records.read_records(tmp_path)
    assert found[0].scores == record.scores
    assert str(path.with_suffix(".npz")) in problems[0]


def test_outcomes_are_read_again_only_after_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    paths = []
    for tap in ("block00", "block01", "final"):
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
        paths.append(records.write_record(record, outcomes, run).with_suffix(".npz"))
        os.utime(paths[-1], (1e9, 1e9))
    seen: list[str] = []
    check = verified.problem_with_scores

    def counted(folder: Path, record: Record) -> object:
        seen.append(record.case.layer)
        return check(folder, record)

    monkeypatch.setattr(verified, "problem_with_scores", counted)
    assert records.read_records(run)[1] == []
    assert seen == ["block00", "block01", "final"]
    records.read_records(run)
    assert len(seen) == 3
    os.utime(paths[1], (1.1e9, 1.1e9))
    records.read_records(run)
    assert seen[3:] == ["block01"]


def test_what_was_changed_a_moment_ago_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    records.write_record(record, outcomes, tmp_path / "run")
    records.read_records(tmp_path / "run")
    assert not (tmp_path / "cache" / "verified").exists()


def test_a_memory_that_is_damaged_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    edit_score(tmp_path / "run", "accuracy")
    for memory in (tmp_path / "cache" / "verified").iterdir():
        memory.write_text(memory.read_text(encoding="utf-8").replace("probe", "prode"), encoding="utf-8")
    assert len(records.read_records(tmp_path / "run")[1]) == 1


def test_outcomes_that_unpack_to_more_than_memory_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    path = records.write_record(record, outcomes, tmp_path)
    monkeypatch.setattr(records.outcomes, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match="more than 1000"):
        records.read_outcomes(tmp_path, records.read_record(path))


def test_shapes_that_no_memory_holds_are_refused(tmp_path: Path):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    path = records.write_record(record, outcomes, tmp_path)
    buffer = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**13,)}
    np.lib.format.write_array_header_1_0(buffer, header)
    with zipfile.ZipFile(path.with_suffix(".npz"), "w") as file:
        file.writestr("ids.npy", buffer.getvalue())
    with pytest.raises(DataError, match="not readable"):
        records.read_outcomes(tmp_path, records.read_record(path))
