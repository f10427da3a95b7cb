"""Read tables of separated values, with messages that name the line of what cannot be read."""

import csv as python_csv
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
from pyarrow import csv

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
    except (pa.ArrowException, OSError, EOFError, ValueError, RecursionError) as error:
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


def read_delimited(path: Path, schema: Any) -> Any:
    """Read the columns of a schema as a ``pyarrow.Table``.

    Raises:
        DataError: a value is not a number.
        pyarrow.ArrowInvalid: the table is damaged; see :func:`explained`.
    """
    names, separator = header(path)
    try:
        return _parsed(path, schema, separator, ".")
    except pa.ArrowInvalid as error:
        failure = error
    if separator == ";" and _row(failure) and "to double" in str(failure):
        try:
            return _parsed(path, schema, separator, ",")
        except pa.ArrowInvalid as error:
            failure = max(failure, error, key=_row)
    raise _not_a_number(path, names, failure) or failure


def _parsed(path: Path, schema: Any, separator: str, decimal: str) -> Any:
    """Parse block by block, because a whole text in memory is many times as large as the columns."""
    convert = csv.ConvertOptions(
        column_types=schema, include_columns=schema.names, decimal_point=decimal, null_values=list(MISSING)
    )
    # Line numbers in messages exist only without threads.
    read = csv.ReadOptions(use_threads=False)
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    with pa.input_stream(str(path), compression="detect") as stream:
        return csv.open_csv(stream, read, parse, convert).read_all()


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
