"""Range files: what is written reads back, and what people edit wrongly is refused by name."""

import os
import tomllib
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geofm_eval.errors import ContractError, DataError
from geofm_eval.expected import Basis, Data, Key, Origin, Range, Ranges, read_folder, read_ranges, write_ranges
from geofm_eval.expected.files import as_text, toml_key, toml_value
from geofm_eval.expected.ranges import X86_64
from geofm_eval.store import StoreError
from tests.planted.ranges import KEY, RANGE

pytestmark = pytest.mark.fast

NUMBER = st.floats(-1e9, 1e9)
POSITIVE = st.floats(1e-9, 1e6)
TEXT = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
WHY = TEXT.filter(str.strip)
SHA = st.text("0123456789abcdef", min_size=64, max_size=64)
SLUG = st.text("abcxyz_019", min_size=1, max_size=12)
HASHES = st.dictionaries(SLUG, SHA, max_size=3)
PLAIN = st.recursive(
    st.one_of(TEXT, st.integers(-(2**60), 2**60), NUMBER, st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=8,
)


@st.composite
def any_range(draw):
    lo, mean, hi = sorted(draw(st.tuples(NUMBER, NUMBER, NUMBER)))
    rule = draw(st.sampled_from(["numeric", "seeds", "published", "other_protocol"]))
    choices = draw(st.none() | st.sampled_from(["21", "0 39|38|37", "1 2 3|4"])) if rule == "numeric" else None
    data = Data(draw(st.integers(1, 9)), draw(TEXT), draw(TEXT), draw(HASHES), draw(HASHES))
    basis = Basis(draw(st.none() | SHA), data, draw(st.dictionaries(TEXT, PLAIN, max_size=4)))
    machines = draw(st.just((X86_64,)) | st.lists(SLUG, min_size=1, max_size=2).map(tuple))
    origin = Origin(tuple(draw(st.lists(TEXT, max_size=3))), draw(WHY), draw(TEXT), draw(TEXT), machines)
    names = ("sd", "spread", "freedom", "floor", "gap")
    maybe = POSITIVE if rule == "seeds" else st.none() | POSITIVE
    numbers = {name: draw(maybe) for name in names}
    return Range(lo, hi, mean, draw(st.integers(1, 99)), rule, basis, origin, choices=choices, **numbers)


ANY_KEY = st.builds(
    Key,
    st.sampled_from(["probe", "segment", "tune"]),
    st.builds("-".join, st.tuples(SLUG, SLUG, SLUG)),
    st.sampled_from(["0.01", "0.1", "1.0", "0.25"]),
    st.sampled_from(["cpu", "cuda", "any"]),
    st.sampled_from(["float32", "bf16"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=20)
@given(st.dictionaries(ANY_KEY, any_range(), max_size=6))
def test_what_is_written_reads_back(tmp_path, found):
    ranges = Ranges("forest_sim", found)
    path = tmp_path / "forest_sim.toml"
    write_ranges(ranges, path)
    assert read_ranges(path) == ranges
    shuffled = Ranges("forest_sim", dict(reversed(found.items())))
    assert as_text(shuffled) == path.read_text(encoding="utf-8"), "equal ranges give equal files"


@given(st.dictionaries(TEXT, PLAIN, max_size=5))
def test_any_plain_value_survives_toml(content):
    text = "\n".join(f"{toml_key(name)} = {toml_value(value)}" for name, value in content.items())
    assert tomllib.loads(text) == content


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), {"a": {1, 2}}])
def test_what_toml_has_no_word_for_is_refused(value):
    with pytest.raises(ContractError, match="cannot be written to TOML"):
        toml_value(value)


def test_a_range_is_one_line_and_shares_what_others_have_too():
    other = replace(KEY, case="oak-linear-final")
    text = as_text(Ranges("colours", {KEY: RANGE, other: replace(RANGE, lo=0.5)}))
    lines = [line for line in text.splitlines() if " = { lo" in line]
    assert len(lines) == 2
    assert lines[0].startswith('oak-knn-final."1.0" = { lo = 0.6, hi = 0.62, mean = 0.61, n = 10, choices = "21|22", ')
    assert text.count("a" * 64) == 1
    assert text.count("[probe.cpu.float32]") == 1
    assert text.endswith("\n")


def test_a_missing_file_is_no_ranges(tmp_path):
    assert read_folder(tmp_path, ["colours"]) == {}
    write_ranges(Ranges("colours", {KEY: RANGE}), tmp_path / "colours.toml")
    assert list(read_folder(tmp_path, ["colours", "other"])) == ["colours"]


EDITS = {
    "ends exchanged": ("lo = 0.6, hi = 0.62", "lo = 0.62, hi = 0.6", r"lo = 0\.62, .* expected lo <= mean <= hi"),
    "nan": ("lo = 0.6,", "lo = nan,", "lo is nan, expected a finite number"),
    "text for a number": ("hi = 0.62", 'hi = "0.62"', "hi is '0.62', expected a valid number"),
    "true for a number": ("n = 10", "n = true", "n is True, expected a valid integer"),
    "half a solve": ("n = 10", "n = 2.5", "n is 2.5, expected a valid integer"),
    "none at all": ("n = 10", "n = 0", "n is 0, expected a number greater than or equal to 1"),
    "unknown field": ("gap = 1e-05", "deviation = 0.001", "field 'deviation' is unknown: docs/ranges.md lists"),
    "absent field": ("mean = 0.61, ", "", "field 'mean' is missing: add it"),
    "misspelt field": ("mean = 0.61", "maen = 0.61", "field 'maen' is unknown"),
    "no data": ('data = "', '_ = "', "field 'data' is missing: add the name of an entry"),
    "names in a list": ('weights = "', 'weights = [1], _ = "', r"weights '\[1\]' is not in the table"),
    "weights of a wrong kind": ('= "' + "c" * 64, '= 3 # "', "weights\\.c+ is 3, expected a valid string"),
    "a protocol as a number": ('protocol = "holdout"', "protocol = 1", "protocol is 1, expected a valid string"),
    "runs as a text": ('runs = ["earlier"]', 'runs = "earlier"', "runs is 'earlier', expected a valid tuple"),
    "no architecture": ('runs = ["earlier"]', "runs = [], architectures = []", "architectures is .*at least 1 item"),
    "no such rule": (
        'rule = "numeric"',
        'rule = "guess"',
        "rule is 'guess', expected 'numeric', 'seeds', 'published' or 'other_protocol'",
    ),
    "a rule without its numbers": (
        'n = 10, choices = "21|22", gap = 1e-05, rule = "numeric"',
        'n = 10, rule = "seeds"',
        "rule seeds needs the fields sd, spread, freedom, floor",
    ),
    "choices of another rule": ('rule = "numeric"', 'rule = "published"', "choices belong to rule numeric"),
    "choices twice": (
        '"21|22"',
        '"21|21"',
        r"choices is '21\|21', expected positions of penalties, for example '21\|22 20'",
    ),
    "choices as words": ('"21|22"', '"both"', "choices is 'both', expected positions"),
    "no choices": ('"21|22"', '""', "choices is '', expected positions"),
    "choices as a number": ('"21|22"', "21", "choices is 21, expected a valid string"),
    "a negative gap": ("gap = 1e-05", "gap = -1e-05", "gap is -1e-05, expected a number greater than or equal to 0"),
    "blank why": (
        'why = "measured on a quiet afternoon"',
        'why = " "',
        "why is ' ', expected a sentence that says why",
    ),
    "no such table": ('data = "', 'data = "x', r"data 'x.*' is not in the table \[data\]"),
    "short sha": ("c" * 64, "c" * 10, "expected a sha256 of 64 hex digits"),
    "other task": ('task = "colours"', 'task = "shapes"', "task is 'shapes', expected 'colours'"),
    "unknown table": ("[weights]", "[weight]", "field 'weight' is unknown: docs/ranges.md lists"),
    "no case": ("oak-knn-final.", "oak-knn.", "expected model-adaptation-layer"),
    "no fraction": ('final."1.0"', 'final."1"', 'expected model-adaptation-layer."fraction"'),
    "kind as a number": ('task = "colours"', 'task = "colours"\ntune = 3', "tune is 3, expected a table"),
    "no toml": ("lo = 0.6,", "lo = ,", r"in 'oak-knn-final\.\"1\.0\"': correct that line"),
}


@pytest.mark.parametrize(("before", "after", "message"), EDITS.values(), ids=EDITS)
def test_what_was_edited_wrongly_is_named(tmp_path, before, after, message):
    path = tmp_path / "colours.toml"
    text = as_text(Ranges("colours", {KEY: RANGE}))
    assert before in text
    path.write_text(text.replace(before, after), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_ranges(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) - len(str(path)) < 400 - len("benchmarks/expected/sen1floods11_sim.toml")


def test_a_range_twice_is_named(tmp_path):
    path = tmp_path / "colours.toml"
    text = as_text(Ranges("colours", {KEY: RANGE}))
    line = next(line for line in text.splitlines() if " = { lo" in line)
    path.write_text(f"{text}{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"colours\.toml: .* in 'oak-knn-final\.\"1\.0\"': correct that line"):
        read_ranges(path)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "colours.toml"
    write_ranges(Ranges("colours", {KEY: RANGE}), path)
    before = path.read_bytes()

    def refuse(*_):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StoreError, match="full"):
        write_ranges(Ranges("colours", {KEY: replace(RANGE, lo=0.1)}), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
