"""Numbers with their nouns."""

import pytest

from geofm_eval.plurals import counted

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
