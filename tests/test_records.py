import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from geofm_eval import records
from geofm_eval.errors import ContractError, DataError
from geofm_eval.records import Outcome, Record, RunManifest, Score
from geofm_eval.records import files as record_files
from geofm_eval.stats.scores import r2_per_draw
from geofm_eval.store import StoreError
from tests.synthetic_regression import make_regression
from tests.synthetic_run import MODELS, make_record

GOLDEN = Path(__file__).parent / "golden" / "record_v1.json"
MODEL = next(model for model in MODELS if model.slug == "galileo_nano")
KIND = "probe"


def write_one(folder: Path, tap: str = "block01") -> tuple[Path, Record, dict[str, np.ndarray]]:
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
    return records.write_record(record, outcomes, folder), record, outcomes


def test_a_record_reads_back_as_it_was_written(tmp_path: Path):
    path, record, outcomes = write_one(tmp_path)
    assert path == tmp_path / "probe" / "galileo_nano-eurosat_sim-linear-block01.json"
    found = records.read_record(path)
    assert found.model_copy(update={"outcomes_sha256": None, "checksum": None}) == record
    read = records.read_outcomes(tmp_path, found)
    assert read is not None
    assert read.groups is None
    assert read.ids.tolist() == outcomes["ids"].tolist()
    np.testing.assert_array_equal(read.correct["0.1"], outcomes["correct_0.1"])


def test_groups_travel_with_the_outcomes(tmp_path: Path):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    groups = np.array([f"scene{i % 7}" for i in range(len(outcomes["ids"]))], dtype=object)
    records.write_record(record, {**outcomes, "groups": groups}, tmp_path)
    found, _ = records.read_records(tmp_path)
    read = records.read_outcomes(tmp_path, found[0])
    assert read is not None
    assert read.groups is not None
    assert read.groups.tolist() == groups.tolist()


def migrated(content: dict[str, Any]) -> dict[str, Any]:
    """What schema 3 makes of a record of schema 1; optional fields that came later read as their defaults."""
    content.pop("expected_range")
    for choice in content["selection"]["choices"]:
        choice |= {"val_loss": None, "runner_up_gap": None, "fold": None}
    content["selection"]["near"] = {}
    content["cost"]["bytes_per_sample"] = None
    content["provenance"] |= {"weights_unverified": None, "split_rule": {}}
    later = {"first_attempt": None, "resamples_sha256": None, "checksum": None}
    return {**content, "schema_version": 3, "expected_ranges": {}, **later}


@pytest.mark.parametrize("kind", ["probe", "segment"])
def test_real_records_of_schema_1_are_migrated(tmp_path: Path, kind: str):
    golden = GOLDEN.with_name(f"record_v1_{kind}.json")
    content = json.loads(golden.read_text(encoding="utf-8"))
    record = records.read_record(golden)
    assert record.case.kind == kind
    assert record.model_dump(mode="json") == migrated(content)
    path = records.write_record(record.model_copy(update={"outcomes_sha256": None}), None, tmp_path)
    assert json.loads(path.read_text(encoding="utf-8"))["schema_version"] == 3


def test_the_golden_record_still_loads_and_is_written_the_same(tmp_path: Path):
    """A record that users hold: if this fails, bump the schema version and migrate.

    Optional fields that came later are absent from it, and read as their defaults.
    """
    content = migrated(json.loads(GOLDEN.read_text(encoding="utf-8")))
    record = records.read_record(GOLDEN)
    content["provenance"] |= {"protocol": "holdout", "dropped": {}, "target_unit": None}
    content["provenance"]["inputs"] |= {"temporal": None, "dates": None}
    content["cost"]["trained_parameters"] = content["training"] = content["similarity"] = content["drift"] = None
    assert record.model_dump(mode="json") == content
    assert record.scores["1.0"].interval is not None
    assert record.provenance.inputs is not None
    assert record.provenance.inputs.masked_bands[0] == "B04"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), np.float64("nan")], ids=["nan", "inf", "numpy"])
@pytest.mark.parametrize("where", ["value", "extra", "normalisation", "recipe", "seeds"])
def test_nan_and_infinity_are_refused_wherever_they_stand(bad: float, where: str):
    content = migrated(json.loads(GOLDEN.read_text(encoding="utf-8")))
    target = {
        "value": (content["scores"]["1.0"], "value"),
        "extra": (content["scores"]["1.0"]["extra"], "accuracy_k5"),
        "normalisation": (content["provenance"]["inputs"], "normalisation"),
        "recipe": (content["provenance"]["recipe"], "scale"),
        "seeds": (content["provenance"]["seeds"], "task"),
    }[where]
    target[0][target[1]] = bad
    if where == "normalisation":
        target[0][target[1]] = {"high": [1.0, bad]}
    with pytest.raises(ValidationError, match="finite"):
        Record.model_validate(content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surprise": 1}, "Extra inputs are not permitted"),
        ({"scores": {"1": {"metric": "accuracy", "value": 0.5, "per_draw": [0.5], "n": 2, "n_train": 2}}}, "'1.0'"),
        ({"scores": {}}, "needs scores"),
        ({"outcome": {"status": "failed", "verdict": "below"}}, "needs a reason"),
        ({"evidence": "rumour"}, "published"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused(change: dict[str, object], message: str):
    content = {**migrated(json.loads(GOLDEN.read_text(encoding="utf-8"))), **change}
    with pytest.raises(ValidationError, match=message):
        Record.model_validate(content)


def test_a_case_id_must_be_made_of_its_parts():
    content = migrated(json.loads(GOLDEN.read_text(encoding="utf-8")))
    content["case"]["layer"] = "final"
    with pytest.raises(ValidationError, match="case id is"):
        Record.model_validate(content)


def test_numpy_scalars_and_tuples_become_plain_json():
    record, _ = make_record(MODEL, "eurosat_sim", "linear", "final")
    source = record.provenance.model_dump() | {"seeds": {"task": np.int64(7), "draws": (1, np.int32(2))}}
    changed = Record.model_validate(record.model_dump() | {"provenance": source})
    assert changed.provenance.seeds == {"task": 7, "draws": [1, 2]}


def test_a_truncated_record_is_named_and_the_rest_is_read(tmp_path: Path):
    path, _, _ = write_one(tmp_path, "block00")
    write_one(tmp_path, "block01")
    path.write_text(path.read_text(encoding="utf-8")[:200], encoding="utf-8")
    with pytest.raises(DataError, match=r"block00\.json: not a readable record .*--resume"):
        records.read_record(path)
    found, problems = records.read_records(tmp_path)
    assert [record.case.layer for record in found] == ["block01"]
    assert len(problems) == 1
    assert str(path) in problems[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a JSON object"),
        ('{"schema_version": 1}', "field 'run': Field required"),
        ('{"schema_version": 99}', "found record schema 99, expected at most 3: upgrade"),
        ('{"schema_version": 0}', "found record schema 0, expected 1 to 3"),
        ("\x00\x01", "not a readable record"),
    ],
)
def test_what_is_no_record_is_named(tmp_path: Path, text: str, message: str):
    path = tmp_path / "x.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        records.read_record(path)


def test_an_older_schema_is_migrated_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    content = json.loads(GOLDEN.read_text(encoding="utf-8"))
    old = {**content, "schema_version": -1, "test_id": content["case"]["id"]}
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old), encoding="utf-8")

    def drop_test_id(older: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in older.items() if key != "test_id"}

    monkeypatch.setitem(records.MIGRATIONS, -1, drop_test_id)
    monkeypatch.setitem(records.MIGRATIONS, 0, lambda older: {**older, "schema_version": 1})
    assert records.read_record(path).case.id == content["case"]["id"]


def test_a_record_under_another_name_is_refused(tmp_path: Path):
    path, _, _ = write_one(tmp_path)
    path.rename(path.with_name("galileo_nano-eurosat_sim-linear-final.json"))
    found, problems = records.read_records(tmp_path)
    assert found == []
    assert "has the record of probe/galileo_nano-eurosat_sim-linear-block01" in problems[0]


def test_no_run_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match="no such run"):
        records.read_records(tmp_path / "absent")


@pytest.mark.parametrize("harm", ["absent", "truncated", "of another record"])
def test_damaged_outcomes_are_refused(tmp_path: Path, harm: str):
    path, _, outcomes = write_one(tmp_path)
    arrays = path.with_suffix(".npz")
    if harm == "absent":
        arrays.unlink()
    elif harm == "truncated":
        arrays.write_bytes(arrays.read_bytes()[:100])
    else:
        np.savez(arrays, **{**outcomes, "correct_1.0": 1 - outcomes["correct_1.0"]})
    with pytest.raises(DataError, match=r"npz: per-sample outcomes (are not|differ) .* run the case again"):
        records.read_outcomes(tmp_path, records.read_record(path))


def test_outcomes_with_any_bytes_damaged_are_refused_or_whole(tmp_path: Path):
    path, _, outcomes = write_one(tmp_path)
    arrays = path.with_suffix(".npz")
    whole, rng, refused = arrays.read_bytes(), np.random.default_rng(0), 0
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= int(rng.integers(1, 256))
        arrays.write_bytes(damaged)
        try:
            found = records.read_outcomes(tmp_path, records.read_record(path))
        except DataError:
            refused += 1
        else:
            np.testing.assert_array_equal(found.correct["1.0"], outcomes["correct_1.0"])
    assert refused > 150


def test_outcomes_that_want_to_run_code_are_refused(tmp_path: Path):
    path, _, outcomes = write_one(tmp_path)
    np.savez(
        path.with_suffix(".npz"), ids=np.array([os.system], dtype=object), **{"correct_1.0": outcomes["correct_1.0"]}
    )
    with pytest.raises(DataError, match="not readable"):
        records.read_outcomes(tmp_path, records.read_record(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct_1.0": np.zeros((2, 400), np.uint8)}, r"shape \(2, 400\), expected \(draws, n\) = \(1, 400\)"),
        ({"ids": np.array(["a", "b"])}, r"correct_0.01 has shape \(5, 400\), expected \(draws, n\) = \(5, 2\)"),
        ({"groups": np.array(["a", "b"])}, r"found lengths \{'ids': 400, 'groups': 2\}"),
        ({"correct_0.5": np.zeros((1, 400), np.uint8)}, "correct_0.5"),
    ],
)
def test_outcomes_must_fit_the_scores(tmp_path: Path, change: dict[str, np.ndarray], message: str):
    record, outcomes = make_record(MODEL, "eurosat_sim", "linear", "final")
    with pytest.raises(ContractError, match=message):
        records.write_record(record, {**outcomes, **change}, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_an_error_record_replaces_scores_and_outcomes(tmp_path: Path):
    path, record, _ = write_one(tmp_path)
    failed = record.model_copy(
        update={"scores": {}, "outcome": Outcome(status="error", verdict="unavailable", reason="worker died")}
    )
    records.write_record(failed, None, tmp_path)
    found = records.read_record(path)
    assert found.outcome.reason == "worker died"
    assert records.read_outcomes(tmp_path, found) is None
    assert not path.with_suffix(".npz").exists()


@pytest.mark.parametrize(("number", "message"), [(errno.ENOSPC, "full"), (errno.EROFS, "cannot be written")])
def test_a_full_or_read_only_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
):
    path, record, outcomes = write_one(tmp_path)
    before = path.read_bytes()

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "replace", refuse)
    changed = record.model_copy(update={"content_key": "1" * 64})
    with pytest.raises(StoreError, match=message):
        records.write_record(changed, outcomes, tmp_path)
    assert path.read_bytes() == before
    assert records.read_outcomes(tmp_path, records.read_record(path)) is not None
    assert sorted(p.suffix for p in path.parent.iterdir()) == [".json", ".npz"]


def test_a_kill_between_the_two_files_leaves_no_mixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, record, outcomes = write_one(tmp_path)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(record_files, "write_json", killed)
    changed = {**outcomes, "correct_1.0": 1 - outcomes["correct_1.0"]}
    with pytest.raises(KeyboardInterrupt):
        records.write_record(record, changed, tmp_path)
    with pytest.raises(DataError, match="differ from those that the record was written with"):
        records.read_outcomes(tmp_path, records.read_record(path))


def test_skips_of_all_workers_are_read_once_per_case(tmp_path: Path):
    records.append_skip(tmp_path, "gw0", "m-t-linear-final", "weights", "m.pth", "Fetch it.")
    records.append_skip(tmp_path, "gw1", "a-t-linear-final", "data", "data/t", "Unpack it.")
    records.append_skip(tmp_path, "gw1", "m-t-linear-final", "weights", "m2.pth", "Fetch it.")
    with (tmp_path / "skipped-gw1.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"case_id": "b-t-li')
    skips, problems = records.read_skips(tmp_path)
    assert [(skip.case_id, skip.what) for skip in skips] == [
        ("a-t-linear-final", "data/t"),
        ("m-t-linear-final", "m2.pth"),
    ]
    assert len(problems) == 1
    assert "skipped-gw1.jsonl: line 3" in problems[0]


def test_the_manifest_reads_back_and_a_damaged_one_is_named(tmp_path: Path):
    assert records.read_manifest(tmp_path) is None
    manifest = RunManifest(name="r", cases=("test_probe[a-b-c-d]",))
    path = records.write_manifest(tmp_path, manifest)
    assert records.read_manifest(tmp_path) == manifest
    path.write_text('{"name": "r"', encoding="utf-8")
    with pytest.raises(DataError, match=r"run\.json: not a readable list of cases"):
        records.read_manifest(tmp_path)


def test_content_keys_are_stable_and_change_with_every_ingredient():
    base = ("test_probe[m-t-linear-final]", 1, "abc", {"linear": 1})
    golden = "58b51aeda418e64adb88619ec70aeab8da865dc70836d790f92012f4b87c6d47"
    assert records.content_key(*base) == golden, "the key changed without a schema or method version"
    others = [
        ("test_probe[m-t-linear-embed]", 1, "abc", {"linear": 1}),
        ("test_drift[m-t-linear-final]", 1, "abc", {"linear": 1}),
        ("test_probe[m-t-linear-final]", 2, "abc", {"linear": 1}),
        ("test_probe[m-t-linear-final]", 1, "abd", {"linear": 1}),
        ("test_probe[m-t-linear-final]", 1, "abc", {"linear": 2}),
    ]
    assert len({records.content_key(*other) for other in others} | {golden}) == 6
    with pytest.raises(ContractError, match="found case"):
        records.content_key("m-t-linear", 1, "abc", {})


def test_a_score_needs_items_and_draws():
    with pytest.raises(ValidationError, match="per_draw"):
        Score(metric="accuracy", value=0.5, per_draw=(), n=10, n_train=10)


# -- regression


@pytest.mark.parametrize("shuffled", [False, True], ids=["holdout", "shuffles"])
def test_predictions_read_back_as_they_were_written(tmp_path: Path, shuffled: bool):
    record, outcomes = make_regression(MODEL, "biomass_sim", "final", shuffled)
    path = records.write_record(record, outcomes, tmp_path)
    found = records.read_record(path)
    assert found.provenance.dropped == {"all" if shuffled else "test": {"the target is NaN": 2}}
    read = records.read_outcomes(tmp_path, found)
    assert read is not None
    assert read.correct == {}
    assert read.target is not None
    np.testing.assert_array_equal(read.target, outcomes["target"])
    np.testing.assert_array_equal(read.prediction["0.1"], outcomes["prediction_0.1"])
    assert read.prediction["0.1"].dtype == np.float32
    values = r2_per_draw(read.prediction["1.0"], read.target)
    np.testing.assert_allclose(found.scores["1.0"].per_draw, values)


def edited(array: np.ndarray, value: float, at: object = (0, 3)) -> np.ndarray:
    changed = array.copy()
    changed[at] = value  # type: ignore[index]
    return changed


@pytest.mark.parametrize(
    ("shuffled", "change", "message"),
    [
        (
            False,
            lambda o: {"prediction_1.0": edited(o["prediction_1.0"], np.nan)},
            "prediction_1.0 has values that are not",
        ),
        (
            True,
            lambda o: {"prediction_1.0": edited(o["prediction_1.0"], np.inf)},
            "prediction_1.0 has values that are not",
        ),
        (True, lambda o: {"prediction_1.0": edited(o["prediction_1.0"], np.nan, (slice(None), 3))}, "scores' n"),
        (False, lambda o: {"prediction_1.0": o["prediction_1.0"][:, 1:]}, r"shape \(1, 399\), expected .*\(1, 400\)"),
        (False, lambda o: {"target": o["target"][1:]}, r"found lengths \{'ids': 400, 'target': 399\}"),
        (False, lambda o: {"target": edited(o["target"], np.nan, 0)}, "target has values that are not finite"),
        (False, lambda o: {"correct_1.0": np.ones((1, 400))}, "found arrays .*'correct_1.0'"),
    ],
)
def test_predictions_must_fit_the_scores(tmp_path: Path, shuffled: bool, change: object, message: str):
    record, outcomes = make_regression(MODEL, "biomass_sim", "final", shuffled)
    with pytest.raises(ContractError, match=message):
        records.write_record(record, {**outcomes, **change(outcomes)}, tmp_path)  # type: ignore[operator]
    assert not list(tmp_path.rglob("*.json"))
