"""Numbers with their nouns, and lists of names."""

import pytest

from geofm_eval.plurals import counted, some_of

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(
    ("number", "noun", "plural", "text"),
    [
        (0, "cell", None, "0 cells"),
        (1, "cell", None, "1 cell"),
        (2, "training chip", None, "2 training chips"),
        (1, "entry", "entries", "1 entry"),
        (3, "entry", "entries", "3 entries"),
    ],
)
def test_a_noun_follows_its_number(number: int, noun: str, plural: str | None, text: str):
    assert counted(number, noun, plural) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["B01", "B02"], "B01, B02"),
        ([f"B{n:02d}" for n in range(9)], "B00, B01, B02 and 6 more"),
        (["B" * 99, "B01"], f"{'B' * 16} and 1 more"),
        ([], ""),
    ],
)
def test_a_long_list_is_cut_between_names(names: list[str], text: str):
    assert some_of(names, 16) == text
