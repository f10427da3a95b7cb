"""Phrases that were replaced by plain English do not come back."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.fast

ROOT = Path(__file__).parents[1]
PAGES = (
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "reports/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
)
SOURCES = [
    path for folder in ("geofm_eval", "fixtures", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))
]

LONGEST_ERROR = 400
"""Characters of the text of an error, not counting what is filled in."""

COUNTABLE = (
    "backbones|bands|blocks|cases|cells|chips|classes|dates|draws|entries|findings|labels|models|pairs|ranges|records|"
    "samples|seeds|settings|taps|tasks|tensors"
)

PHRASES = {
    r"\bheed(s|ed)?\b": "ignores, respects",
    r"\bneeded are\b": "at least N are needed",
    r"\b(of|by) so many\b": "best of N on validation",
    r"\bits place says\b": "does not match the data set its path implies",
    r"\bstands? on both sides\b": "is in both training and validation folds",
    r"\bfirst step extrapolates\b": "name what is extrapolated",
    r"\bmillion numbers\b": "million parameters",
    r"\btells? (\w+|the two) from\b": "separates A from B, distinguishes",
    r"\bdear(er)?\b": "expensive",
    r"\blooks? out of\b": "shows, is visible in",
    r"\bleaves? possible\b": "allows",
    r"\bno tenths\b": "no 10 % subset is defined",
    r"\bof former times\b": "older, of an earlier version",
    rf"\b1 ({COUNTABLE})\b": "1 case, 2 cases",
    r"\banew\b": "again",
    r"\bbeside\b": "next to, in addition to",
    r"(?<!of )(?<!by )\bso many\b": "N",
    r"(?m)^(?:[-*] )?Of \w+": "start with the subject",
    r"(?m)^(?:[-*] )?Such as\b": "for example",
    r"\b(is|are) no part of\b": "is excluded, is not included",
    r"\b(is|are) none of\b": "expected one of",
    r"\bis no (case|tap|model|task|file|number|metric|decoder|run|record|folder)\b": "is not a",
    r"\bexchanged labels\b|\blabels exchanged\b": "shuffled labels",
    r"\btold apart\b|\btells? apart\b": "distinguished",
    r"\btaken off\b": "subtracted",
    r"\bbrought to\b": "standardised to",
    r"\blies? (to|within|inside|outside)\b": "is within, is outside",
    r"\bha(s|ve) no say\b": "does not affect",
    r"\bwithout a labelled (pixel|chip|sample)\b": "without labelled pixels",
    r"\bmakes? of it\b": "expected from",
    r"\bthe same numbers\b": "the same parameter count, the same values",
}
"""Pattern and better wording, for manuals, docstrings and all strings of the code."""


def found_in(text: str) -> Iterator[tuple[int, str]]:
    """Line, counted from 0, and message for every phrase of a text."""
    for pattern, better in PHRASES.items():
        for match in re.finditer(pattern, text, re.IGNORECASE if not pattern.startswith("(?m)") else 0):
            yield text.count("\n", 0, match.start()), f"'{match[0]}'; better: {better}"


def strings_of(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """First line and text of every docstring and string literal; comments and names are not looked at."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def literal_length(node: ast.expr) -> int:
    """Characters of a text as it stands in the code, without what is filled in."""
    return sum(len(text) for _, text in strings_of(node))


def test_manuals_are_in_plain_english():
    found = [
        f"{path.relative_to(ROOT)}:{line + 1}: {message}"
        for path in PAGES
        for line, message in found_in(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_titles_of_manuals_are_no_questions():
    titles = [
        f"{path.relative_to(ROOT)}: {line}"
        for path in PAGES
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.match(r"#+ .*\?\s*$", line)
    ]
    assert not titles, titles


def test_docstrings_and_messages_are_in_plain_english():
    found = [
        f"{path.relative_to(ROOT)}:{start + line}: {message}"
        for path in SOURCES
        for start, text in strings_of(ast.parse(path.read_text(encoding="utf-8")))
        for line, message in found_in(text)
    ]
    assert not found, "\n".join(found)


def test_error_messages_are_short():
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno}: {size} characters, at most {LONGEST_ERROR}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and re.search(r"(Error|Unavailable)$", ast.unparse(node.func))
        if (size := max((literal_length(argument) for argument in node.args), default=0)) > LONGEST_ERROR
    ]
    assert not long, "\n".join(long)


@pytest.mark.parametrize(
    ("sentence", "better"),
    [
        ("Folds do not heed events.", "ignores"),
        ("needed are 2", "at least"),
        ("chosen tap: by validation, of so many", "best of N"),
        ("this is not the file that its place says", "path implies"),
        ("0.17 to 0.27 million numbers", "parameters"),
        ("tells depth from capacity", "separates"),
        ("1 cases selected", "1 case"),
        ("all runs are measured anew", "again"),
        ("- Of numbers the score is the R2 of pixels", "subject"),
        ("'x' is none of counts", "one of"),
    ],
)
def test_a_phrase_is_found_with_its_better_wording(sentence: str, better: str):
    ((line, message),) = found_in(f"A title\n{sentence}")
    assert line == 1
    assert better in message


@pytest.mark.parametrize("sentence", ["11 cases", "a 1 % subset", "proportion of models", "Of course", "standing"])
def test_correct_wording_is_not_found(sentence: str):
    assert not list(found_in(f"Text with {sentence}."))
