"""Records, plans and skips carry a checksum: a changed byte is noticed, and the rest of the run is read."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from geofm_eval import records
from geofm_eval.errors import DataError
from geofm_eval.records import RunManifest
from geofm_eval.report.index import summary_lines
from geofm_eval.results.run import read_run
from geofm_eval.seals import is_whole, parse_json, sealed
from geofm_eval.store import write_json
from tests.synthetic_run import MODELS, make_record

MODEL = next(model for model in MODELS if model.slug == "galileo_nano")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    for tap in ("block00", "block01"):
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
        written = records.write_record(record, outcomes, tmp_path)
    return written


def edited(path: Path, edit: Any) -> None:
    """Change what a file says and leave its checksum."""
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    write_json(path, content)


def test_a_written_record_carries_the_checksum_of_its_content(path: Path):
    assert is_whole(json.loads(path.read_text(encoding="utf-8")))
    assert records.read_record(path).checksum is not None


def test_a_record_that_was_edited_is_refused_by_name_and_the_others_are_read(path: Path, tmp_path: Path):
    edited(path, lambda content: content["scores"]["1.0"].update(n_train=1999))
    found, problems = records.read_records(tmp_path)
    assert [record.case.layer for record in found] == ["block00"]
    assert len(problems) == 1
    assert str(path) in problems[0]
    assert "does not match its checksum" in problems[0]
    assert "run the case again" in problems[0]


@pytest.mark.parametrize("version", [1, 2])
def test_a_record_does_not_lose_its_checksum_by_a_digit_of_its_schema(path: Path, version: int):
    edited(path, lambda content: content.update(schema_version=version))
    with pytest.raises(DataError, match="does not match its checksum"):
        records.read_record(path)


def test_a_record_of_this_schema_without_checksum_is_refused(path: Path):
    edited(path, lambda content: content.pop("checksum"))
    with pytest.raises(DataError, match="does not match its checksum"):
        records.read_record(path)


def test_a_record_of_schema_2_is_read_and_has_no_checksum(path: Path):
    def older(content: dict[str, Any]) -> None:
        content.pop("checksum")
        content["schema_version"] = 2

    edited(path, older)
    found = records.read_record(path)
    assert found.checksum is None
    assert found.schema_version == 3
    assert summary_lines(read_run(path.parents[1]))[-1].startswith("1 of 2 records without a checksum")


def test_no_changed_byte_of_a_record_changes_what_is_read(path: Path):
    raw, whole, rng = path.read_bytes(), records.read_record(path), random.Random(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(raw)
        damaged[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            assert records.read_record(path) == whole
        except DataError:
            refused += 1
    assert refused > 100


def test_a_rewritten_record_is_sealed_again(path: Path, tmp_path: Path):
    record = records.read_record(path).model_copy(update={"content_key": "1" * 64})
    records.rewrite_record(record, tmp_path)
    assert records.read_record(path).content_key == "1" * 64


def test_a_changed_digit_in_the_list_of_cases_is_named(tmp_path: Path):
    path = records.write_manifest(tmp_path, RunManifest(name="r", cases=("test_probe[a-b-c-d1]",)))
    edited(path, lambda content: content.update(cases=["test_probe[a-b-c-d2]"]))
    with pytest.raises(DataError, match="does not match its checksum"):
        records.read_manifest(tmp_path)


def test_a_list_of_cases_of_an_older_version_is_read(tmp_path: Path):
    path = records.write_manifest(tmp_path, RunManifest(name="r", cases=("test_probe[a-b-c-d1]",)))
    edited(path, lambda content: content.pop("checksum"))
    found = records.read_manifest(tmp_path)
    assert found is not None
    assert found.cases == ("test_probe[a-b-c-d1]",)


def test_a_changed_line_of_skips_is_named(tmp_path: Path):
    records.append_skip(tmp_path, "gw0", "m-t-linear-final", "weights", "m.pth", "Fetch it.")
    path = tmp_path / "skipped-gw0.jsonl"
    path.write_text(path.read_text(encoding="utf-8").replace("m.pth", "n.pth"), encoding="utf-8")
    skips, problems = records.read_skips(tmp_path)
    assert skips == []
    assert "line 1" in problems[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a": ' * 50_000, "nested too deeply"),
        ('{"a": 1, "a": 2}', "key 'a' is duplicated"),
        ('{"a": NaN}', "NaN"),
        ("9" * 6000, "digits"),
        (b"\xff\xfe", "decode"),
        ("", "Expecting value"),
    ],
)
def test_hostile_json_is_an_error_of_value(text: str | bytes, message: str):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"schema_version": 2, "x": ' + "[" * 900 + "]" * 900 + "}",
        '{"schema_version": true}',
        '{"schema_version": 1e400}',
        '{"schema_version": 3, "schema_version": 2}',
        '{"schema_version": ' + "9" * 5000 + "}",
        '{"schema_version": ' + "9" * 4000 + "}",
    ],
)
def test_a_hostile_record_is_named_in_a_short_message_and_the_others_are_read(path: Path, tmp_path: Path, text: str):
    path.write_text(text, encoding="utf-8")
    found, problems = records.read_records(tmp_path)
    assert len(found) == len(problems) == 1
    assert str(path) in problems[0]
    assert len(problems[0].replace(str(path), "")) <= 400


def test_a_checksum_does_not_depend_on_the_order_of_fields():
    assert sealed({"a": 1, "b": 2})["checksum"] == sealed({"b": 2, "a": 1})["checksum"]
