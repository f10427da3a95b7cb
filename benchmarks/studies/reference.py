"""Make a finished run the committed reference: ``python -m benchmarks.studies.reference reports/runs/study``.

Writes the records as one archive to reports/reference/, with tables, depth profiles and figures of trained cases next
to it. Without a run, tables and figures are regenerated from the existing archive. ``--cases`` prints what a run has to
measure to replace the reference, one test per line: ``pytest @FILE`` reads such a list.
"""

import argparse
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from geofm_eval.catalog import load_catalog
from geofm_eval.costs import least_of_equal, table_of, write_table
from geofm_eval.errors import DataError
from geofm_eval.records import pack, unpack
from geofm_eval.report.collation import collate
from geofm_eval.results.comparison import LAST, last_block
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.run import PROBE, SEGMENT, TUNE, read_run
from geofm_eval.results.taps import choose_tap
from geofm_eval.results.transfer import TapTransfers, transfers

REFERENCE = Path(__file__).parents[2] / "reports" / "reference"

COPIED = {
    "figures": ("*-depth.png", "*-segment*.png", "*-tune*.png", "*-similarity*.png", "*-drift-*-full.png"),
    "tables": ("*.md",),
}
"""Folders of a run that are published."""


def cases_with_outcomes(rankings: tuple[Ranking, ...], moved: Sequence[TapTransfers] = ()) -> Iterator[str]:
    """Yield the cases that paired intervals need, for every model: chosen taps, ``final`` and the last block.

    Chosen taps of all label fractions, and transferable taps, are included.
    """
    for own in moved:
        for row in own.rows:
            yield row.subject.taps[row.tap].case.id
    for ranking in rankings:
        for subject in ranking.comparison.subjects:
            chosen = (choose_tap(subject, fraction) for fraction in ranking.comparison.fractions)
            taps = {LAST, last_block(subject), *(one.tap for one in chosen if one is not None)}
            for tap in sorted(tap for tap in taps if tap is not None):
                if tap in subject.taps:
                    yield subject.taps[tap].case.id


def without_dead_links(text: str, folder: Path) -> str:
    """Remove links to files that are not next to ``folder``, with the comma before them."""

    def kept(link: re.Match[str]) -> str:
        target = link["target"]
        return link[0] if "://" in target or (folder / target).exists() else ""

    text = re.sub(r"(, )?(?<!!)\[[^\]]*\]\((?P<target>[^)]+)\)", kept, text)
    return text.replace("| , [", "| [")


def make_reference(run_dir: Path, folder: Path = REFERENCE) -> int:
    """Replace the content of the reference folder by a run.

    Returns:
        Number of records.
    """
    collation = collate(run_dir)
    run = read_run(run_dir)
    # Counts of trained cases are small, and each is used in some contrast.
    trained = {record.case.id for record in run.records if record.case.kind in (SEGMENT, TUNE)}
    moved = transfers(run, load_catalog())
    count = pack(run_dir, folder / f"{run.name}.tar.xz", {*cases_with_outcomes(collation.rankings, moved), *trained})
    # From the archive, not from the run: intervals of gains depend on which outcomes are known.
    renew_pages(folder)
    if folder == REFERENCE:
        write_table(least_of_equal(table_of(run.records), load_catalog()))
    return count


def copy_pages(run_dir: Path, folder: Path = REFERENCE) -> None:
    """Replace the published pages by those of a collated run."""
    for kind, patterns in COPIED.items():
        target = folder / kind
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in sorted(path for pattern in patterns for path in (run_dir / kind).glob(pattern)):
            shutil.copyfile(path, target / path.name)
    index = folder / "tables" / "README.md"
    index.write_text(without_dead_links(index.read_text(encoding="utf-8"), index.parent), encoding="utf-8")


def renew_pages(folder: Path = REFERENCE) -> None:
    """Collate the archive of the reference with the current code.

    Raises:
        DataError: there is not exactly one archive.
    """
    archive = archive_of(folder)
    with tempfile.TemporaryDirectory() as scratch:
        run = shutil.copytree(unpack(archive), Path(scratch) / archive.name.partition(".")[0])
        collate(run)
        copy_pages(run, folder)


def archive_of(folder: Path = REFERENCE) -> Path:
    """Return the archive of the records.

    Raises:
        DataError: there is not exactly one.
    """
    archives = sorted(folder.glob("*.tar.xz"))
    if len(archives) != 1:
        raise DataError(f"{folder}: expected one archive of records, found {len(archives)}")
    return archives[0]


def measured_tests(folder: Path = REFERENCE) -> list[str]:
    """Node ids of the cases of the reference, without timings: ``benchmarks/test_probe.py::test_probe[ID]``.

    Trained cases come first, because they take longest.
    """
    records = read_run(unpack(archive_of(folder))).records
    cases = {(record.case.kind != PROBE, record.case.kind, record.case.id) for record in records}
    kinds = [(kind, case_id) for _, kind, case_id in sorted(cases, reverse=True) if kind != "throughput"]
    return [f"benchmarks/test_{kind}.py::test_{kind}[{case_id}]" for kind, case_id in kinds]


def main() -> None:
    """Make a run the reference, regenerate its pages, or print its cases."""
    parser = argparse.ArgumentParser(description="Make a finished run the reference, or regenerate its pages.")
    parser.add_argument("run", type=Path, nargs="?", help="folder of the run; without it, only pages are regenerated")
    parser.add_argument("--cases", action="store_true", help="print the tests that the reference consists of")
    chosen = parser.parse_args()
    if chosen.cases:
        print("\n".join(measured_tests()))
    elif chosen.run is None:
        renew_pages()
        print(f"regenerated tables and figures of the reference in {REFERENCE}")
    else:
        print(f"wrote {make_reference(chosen.run)} records as the reference to {REFERENCE}")


if __name__ == "__main__":
    main()
