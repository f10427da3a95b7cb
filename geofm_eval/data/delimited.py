"""Read tables of separated values, with messages that name the line of what cannot be read."""

import csv as python_csv
import gzip
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pyarrow import csv, types

from geofm_eval.errors import DataError

MISSING = ("", "NA", "N/A", "na", "n/a", "NaN", "NAN", "nan", "NULL", "Null", "null", "None", "none", "<NA>")
"""Texts that mean that a number is missing."""

_SEPARATORS = (",", ";", "\t", "|")
_LONGEST_HEADER = 2**22
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the exceptions of a damaged table into a message.

    Raises:
        DataError: instead of what pyarrow, gzip and the decoder raise.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise _not_utf8(path) from error
    except (pa.ArrowException, OSError, EOFError, KeyError, ValueError, RecursionError) as error:
        said = str(error).replace(str(path), path.name)
        if "invalid UTF8" in said:
            raise _not_utf8(path) from error
        row = re.search(r"Row #(\d+): (.*)", said, re.DOTALL)
        place, said = (f"{path}, line {row[1]}", row[2]) if row else (f"{path}", said)
        raise DataError(
            f"{place}: the table cannot be read ({said[:160] or type(error).__name__}). Correct this place, or write "
            "the table again"
        ) from error


def opened(path: Path) -> BinaryIO:
    """Open a file; one that ends in ``.gz`` is decompressed while it is read."""
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def header(path: Path) -> tuple[list[str], str]:
    """Return the names in the first line of a table, and its separator.

    Raises:
        DataError: the text is not UTF-8.
    """
    with opened(path) as file:
        first = file.readline(_LONGEST_HEADER)
        while first and not first.strip():
            first = file.readline(_LONGEST_HEADER)
    if first[:2] in _UTF16:
        raise _not_utf8(path)
    line = first.decode("utf-8-sig").rstrip("\r\n")
    bare = re.sub(r'"[^"]*"', "", line)
    separator = max(_SEPARATORS, key=bare.count)
    return next(python_csv.reader([line], delimiter=separator), []), separator


def guessed_schema(path: Path) -> Any:
    """Return the ``pyarrow.Schema`` that the first megabyte suggests, with float64 for all numbers."""
    separator = header(path)[1]
    guesses = [_guessed(path, separator, decimal) for decimal in _decimals(separator)]
    numeric = [any(map(is_numeric, kinds)) for kinds in zip(*(guess.types for guess in guesses), strict=True)]
    return pa.schema(
        [
            (field.name, pa.float64() if number else field.type)
            for field, number in zip(guesses[0], numeric, strict=True)
        ]
    )


def delimited_batches(path: Path, schema: Any) -> Iterator[Any]:
    """Yield the columns of a schema as ``pyarrow.RecordBatch``, about a megabyte of text at a time.

    Raises:
        DataError: a value is not a number.
        pyarrow.ArrowInvalid: the table is damaged; see :func:`explained`.
    """
    names, separator = header(path)
    done, failures = 0, list[pa.ArrowInvalid]()
    for decimal in _decimals(separator):
        try:
            for batch in _after(done, _parsed(path, schema, separator, decimal)):
                yield batch
                done += len(batch)
            return
        except pa.ArrowInvalid as error:
            failures.append(error)
            if "to double" not in str(error):
                break
    last = max(failures, key=_row)
    raise _not_a_number(path, names, last) or last


def _decimals(separator: str) -> tuple[str, ...]:
    """Decimal marks that numbers may have."""
    return (".", ",") if separator == ";" else (".",)


def _guessed(path: Path, separator: str, decimal: str) -> Any:
    options = csv.ConvertOptions(decimal_point=decimal, null_values=list(MISSING))
    with _opened_csv(path, separator, options) as reader:
        return reader.schema


def _parsed(path: Path, schema: Any, separator: str, decimal: str) -> Iterator[Any]:
    """Parse block by block, because a whole text in memory is many times as large as the columns."""
    options = csv.ConvertOptions(
        column_types=schema, include_columns=schema.names, decimal_point=decimal, null_values=list(MISSING)
    )
    with _opened_csv(path, separator, options) as reader:
        yield from reader


@contextmanager
def _opened_csv(path: Path, separator: str, options: Any) -> Iterator[Any]:
    # Line numbers in messages exist only without threads.
    read = csv.ReadOptions(use_threads=False)
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with pa.input_stream(str(path), compression="gzip" if path.suffix.lower() == ".gz" else None) as stream:
        yield csv.open_csv(stream, read, parse, options)


def _after(rows: int, batches: Iterable[Any]) -> Iterator[Any]:
    """Batches without the first rows."""
    for batch in batches:
        skipped = min(rows, len(batch))
        rows -= skipped
        if skipped < len(batch):
            yield batch.slice(skipped)


def is_numeric(kind: Any) -> bool:
    """Return whether an Arrow type is that of numbers; a column without any value has the type null."""
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind) or types.is_decimal(kind))


def _row(error: Exception) -> int:
    found = re.search(r"Row #(\d+)", str(error))
    return int(found[1]) if found else 0


def _not_a_number(path: Path, names: list[str], error: Exception) -> DataError | None:
    pattern = r"column #(\d+): Row #(\d+): CSV conversion error to double: invalid value '(.*)'"
    found = re.search(pattern, str(error), re.DOTALL)
    if found is None:
        return None
    return DataError(
        f"{path}, line {found[2]}: column '{names[int(found[1])]}' is '{found[3][:60]}', expected a number. Correct "
        "the value, or leave it empty if it is missing"
    )


def _not_utf8(path: Path) -> DataError:
    return DataError(
        f"{path}: the text is not UTF-8; the table may come from a spreadsheet that writes another encoding. Save it "
        "as 'CSV UTF-8', or convert it, for example with iconv -f WINDOWS-1252 -t UTF-8"
    )
