"""Every range carries a seal: a changed digit is refused by name, and a hand edit is accepted with a reason."""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from geofm_eval.cli import app
from geofm_eval.errors import ContractError, DataError
from geofm_eval.expected import Ranges, read_ranges, write_ranges
from geofm_eval.expected.resealing import reseal
from tests.planted.ranges import KEY, RANGE

OTHER = replace(KEY, fraction="0.1")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "eurosat_sim.toml"
    write_ranges(Ranges("eurosat_sim", {KEY: RANGE, OTHER: RANGE}), path)
    return path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def unsealed(path: Path) -> None:
    """The file as an older version wrote it, or a person by hand."""
    lines = path.read_text(encoding="utf-8").splitlines()
    kept = [
        line.partition(', seal = "')[0] + (" }" if "seal =" in line else "") for line in lines if "rows =" not in line
    ]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


def test_a_file_without_seals_is_read(path: Path):
    whole = read_ranges(path)
    unsealed(path)
    assert "seal" not in path.read_text(encoding="utf-8")
    assert read_ranges(path) == whole


def test_no_changed_byte_and_no_cut_gives_other_ranges(path: Path):
    raw, whole, rng, refused = path.read_bytes(), read_ranges(path), random.Random(0), 0
    for number in range(300):
        damaged = bytearray(raw)
        at = rng.randrange(len(raw))
        if number % 3 == 0:
            del damaged[at:]
        elif number % 3 == 1:
            damaged[at] ^= 1 << rng.randrange(8)
        else:
            at = rng.choice([place for place, byte in enumerate(raw) if 48 <= byte < 58])
            damaged[at] = rng.choice([digit for digit in range(48, 58) if digit != raw[at]])
        path.write_bytes(damaged)
        try:
            assert read_ranges(path) == whole
        except DataError:
            refused += 1
    assert refused > 200


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("hi = ", "hi = 8", "does not match its seal"),
        ("block07", "block70", "does not match its seal"),
        ("rows = 2", "rows = 3", "found 2 ranges, expected 3"),
    ],
)
def test_an_edited_range_is_refused_and_the_message_says_how_to_accept_it(path: Path, old: str, new: str, message: str):
    if old not in path.read_text(encoding="utf-8"):
        old, new = KEY.case, f"{KEY.case}x"
    edit(path, old, new)
    with pytest.raises(DataError, match=message) as caught:
        read_ranges(path)
    assert "expect --reseal eurosat_sim --why" in str(caught.value)


def test_a_hand_edit_is_accepted_with_a_reason_that_the_file_keeps(path: Path, tmp_path: Path):
    edit(path, f"mean = {RANGE.mean!r}", f"mean = {RANGE.lo!r}")
    assert "1 edited range of 2 sealed" in reseal(tmp_path, ["eurosat_sim"], "rounding differs on another machine")
    found = read_ranges(path).ranges
    edited = [one for one in found.values() if one.origin.why == "rounding differs on another machine"]
    assert [one.mean for one in edited] == [RANGE.lo]
    assert RANGE in found.values()


def test_a_file_that_never_had_seals_gets_them_and_keeps_its_origins(path: Path, tmp_path: Path):
    whole = read_ranges(path)
    unsealed(path)
    assert "2 ranges sealed" in reseal(tmp_path, ["eurosat_sim"], "seals")
    assert read_ranges(path) == whole
    assert "seal = " in path.read_text(encoding="utf-8")


def test_an_edit_without_a_reason_and_an_unknown_task_are_refused(path: Path, tmp_path: Path):
    with pytest.raises(ContractError, match="needs a reason"):
        reseal(tmp_path, ["eurosat_sim"], " ")
    with pytest.raises(ContractError, match="needs the tasks"):
        reseal(tmp_path, [], "why")
    with pytest.raises(DataError, match="there is no such range file"):
        reseal(tmp_path, ["eurosat"], "why")


def test_the_command_reseals(path: Path, tmp_path: Path):
    edit(path, f"mean = {RANGE.mean!r}", f"mean = {RANGE.lo!r}")
    done = CliRunner().invoke(app, ["expect", "--reseal", "eurosat_sim", "--why", "seen", "--into", str(tmp_path)])
    assert done.exit_code == 0
    assert "1 edited range of 2" in done.output
    read_ranges(path)
