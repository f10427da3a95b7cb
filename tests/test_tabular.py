"""Columns of tables in every format: separators, encodings, missing values, damaged files and memory."""

import csv as python_csv
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv, parquet

from geofm_eval.data.readers import table_rows
from geofm_eval.data.tabular import NUMBER, TEXT, column_names, numbers, read_columns
from geofm_eval.errors import DataError
from tests.own_data import read_table, write_table, write_text

ROWS = {"id": ["c", "a", "b"], "label": ["water", "crop", "forest"], "file": ["2.npy", "0.npy", "1.npy"]}
WORDS = st.text(st.characters(exclude_categories=("Cc", "Cs", "Z")), max_size=6)
VALUES = st.floats(allow_nan=True, allow_infinity=False)


@pytest.mark.parametrize(
    ("name", "separator"),
    [
        ("a.csv", ","),
        ("a.csv", ";"),
        ("a.csv", "\t"),
        ("a.csv.gz", ","),
        ("a.tsv", "\t"),
        ("a.jsonl", ""),
        ("a.jsonl.gz", ""),
        ("a.parquet", ""),
    ],
)
def test_every_format_gives_the_same_samples_in_order_of_id(tmp_path: Path, name: str, separator: str):
    write_table(tmp_path / name, ROWS, separator)
    pool = read_table(tmp_path)
    assert [(item.id, item.label, item.path.name) for item in pool.items] == [
        ("a", 0, "0.npy"),
        ("b", 1, "1.npy"),
        ("c", 2, "2.npy"),
    ]
    assert (pool.root, pool.given, pool.dropped) == (tmp_path, {}, {})


def test_byte_order_mark_quotes_spaces_and_backslashes(tmp_path: Path):
    text = 'File_Name , LABEL\n"x\\1,1.npy", crop\nx/2.npy,forest \n./x/3.npy,"water"\n\n'
    write_text(tmp_path / "a.csv", text, "utf-8-sig")
    assert [(item.id, item.label) for item in read_table(tmp_path).items] == [
        ("x/1,1.npy", 0),
        ("x/2.npy", 1),
        ("x/3.npy", 2),
    ]


def test_decimal_commas_come_with_semicolons(tmp_path: Path):
    write_text(tmp_path / "a.csv", "id;label\na;1,5\nb;-2\n")
    assert [item.label for item in read_table(tmp_path, kind="regression").items] == [1.5, -2.0]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_other_encodings_are_explained(tmp_path: Path, encoding: str):
    write_text(tmp_path / "a.csv", "id,label\nöl,1\n", encoding)
    with pytest.raises(DataError, match=r"the text is not UTF-8.*CSV UTF-8"):
        read_table(tmp_path, kind="regression")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv.gz", gzip.compress(b"id,label\na,1\n")[:-9], "cannot be read"),
        ("a.parquet", b"PAR1", "cannot be read"),
        ("a.jsonl", b'{"id": 1, "label": 1}\n{"id"', r"line 2: not JSON"),
        ("a.jsonl", b"[1, 2]", r"line 1: expected an object"),
        ("a.jsonl", b'{"id": 1, "label": "x"}', "line 1: column 'label' is 'x', expected a number"),
    ],
)
def test_damaged_tables(tmp_path: Path, name: str, content: bytes, message: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path, kind="regression")


@pytest.mark.parametrize(("ending", "write"), [("csv", csv.write_csv), ("parquet", parquet.write_table)])
def test_memory_does_not_grow_with_columns_that_are_not_read(
    tmp_path: Path, ending: str, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
):
    """Of a table with forty columns of numbers, two columns are held; nothing of it stays once samples are listed."""
    n = 5_000
    columns: dict[str, Any] = {"id": [f"{row:08d}" for row in range(n)], "label": np.arange(n, dtype=float)}
    write(
        pa.table({**columns, **{f"A{number:02d}": np.linspace(0, 1, n) for number in range(40)}}),
        tmp_path / f"a.{ending}",
    )
    held: list[Any] = []
    real: Callable[..., Any] = table_rows.read_columns

    def noted(path: Path, types: Any) -> Any:
        found = real(path, types)
        held.append((found.column_names, found.nbytes))
        return found

    monkeypatch.setattr(table_rows, "read_columns", noted)
    before = pa.total_allocated_bytes()
    assert len(read_table(tmp_path, kind="regression").items) == n
    assert sorted(held[0][0]) == ["id", "label"]
    assert held[0][1] < 25 * n
    assert pa.total_allocated_bytes() - before < 100_000


@settings(max_examples=40)
@given(
    st.lists(st.tuples(WORDS, VALUES), min_size=1, max_size=5),
    st.sampled_from(("a.csv", "b.csv", "a.jsonl", "a.parquet")),
)
def test_text_and_numbers_come_back_as_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]], name: str
):
    path = tmp_path_factory.mktemp("own") / name
    columns = {"a;b,c": [word for word, _ in rows], "n": [value for _, value in rows]}
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = python_csv.writer(file, delimiter="," if name == "a.csv" else ";", quoting=python_csv.QUOTE_ALL)
            writer.writerows([columns, *rows])
    else:
        write_table(path, columns)
    assert column_names(path) == ("a;b,c", "n")
    found = read_columns(path, {"n": NUMBER, "a;b,c": TEXT})
    assert found["a;b,c"].to_pylist() == columns["a;b,c"]
    np.testing.assert_array_equal(numbers(found["n"]), columns["n"])


def test_lists_of_numbers_in_one_column(tmp_path: Path):
    rows = {"id": ["a", "b"], "embedding": [[1.5, 2], [3, 4.25]]}
    for name in ("a.parquet", "a.jsonl"):
        path = write_table(tmp_path / name, rows)
        kind = pa.list_(pa.float32())
        assert read_columns(path, {"embedding": kind})["embedding"].to_pylist() == rows["embedding"]
        with pytest.raises(DataError, match=r"column 'embedding' is '\[1.5, 2(.0)?\]', expected a number"):
            read_columns(path, {"embedding": NUMBER})


@pytest.mark.parametrize("name", ["a.xlsx", "a.parquet.gz"])
def test_other_files_are_not_tables(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="expected a name that ends in"):
        column_names(tmp_path / name)
