"""Update the sample output in docs/advise.md from the reference: ``python -m benchmarks.studies.samples``."""

import re
from dataclasses import replace
from pathlib import Path

from benchmarks.studies.reference import REFERENCE
from geofm_eval.catalog import load_catalog
from geofm_eval.records import unpack
from geofm_eval.report.advice import advised

PAGE = Path(__file__).parents[2] / "docs" / "advise.md"
TASK, MODEL = "eurosat_sim", "pocket_mae"

SAMPLE = re.compile(r"(?<=<!-- python -m benchmarks\.studies\.samples -->\n```\n).*?(?=```\n)", re.DOTALL)
"""Matches the code block to update."""

LATER = "  what to tune\n"
"""The sample ends before this topic."""


def advice_sample(run_dir: Path) -> str:
    """Return the title and first topics of the advice for one backbone."""
    found = advised(run_dir, load_catalog(), TASK, MODEL)
    text = replace(found, opening=found.opening[:1], problems=()).text()
    return text.partition(LATER)[0]


def renewed(page: str, sample: str) -> str:
    """Return the page with another sample."""
    return SAMPLE.sub(lambda _: sample, page)


def main() -> None:
    """Update the page."""
    sample = advice_sample(unpack(REFERENCE / "study.tar.xz"))
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8"), sample), encoding="utf-8")


if __name__ == "__main__":
    main()
