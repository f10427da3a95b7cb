"""From the records of a run to its tables, figures and text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.answer import FocusedAnswer, TaskAnswer, answers, focused_answers
from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.findings import Finding, decide_findings
from geofm_eval.garbage import set_aside
from geofm_eval.plurals import counted
from geofm_eval.ranking import Ordering
from geofm_eval.records.archive import SUFFIX
from geofm_eval.report.answer.focus import text_of_focus
from geofm_eval.report.answer.terminal import text_of_answers
from geofm_eval.report.drift.page import drift_page
from geofm_eval.report.findings import findings_pages, worth_showing
from geofm_eval.report.gate.judged import Judged
from geofm_eval.report.index import RESULTS, Contents, closing_sections, index_page, summary_lines
from geofm_eval.report.pages import Page
from geofm_eval.report.probes.codings import codings_page
from geofm_eval.report.probes.page import comparison_page, neuco_page, transfer_page
from geofm_eval.report.ranks.over_settings import Overview, overview
from geofm_eval.report.ranks.page import over_pages
from geofm_eval.report.shares import Explained, explained, shares_pages
from geofm_eval.report.similarity.page import similarity_page
from geofm_eval.report.trainings.page import trainings_page
from geofm_eval.report.web.page import PageContent, write_page
from geofm_eval.report.web.palette import styles_of
from geofm_eval.results.codings import coded_features
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.drift_cases import comparable_drifts
from geofm_eval.results.leaderboard import Ranking, rank
from geofm_eval.results.locate import is_archive
from geofm_eval.results.neuco import neuco_comparisons
from geofm_eval.results.random_splits import compare_random_splits
from geofm_eval.results.run import Run, read_run
from geofm_eval.results.similarity import similarity_tables
from geofm_eval.results.trainings import comparable_trainings
from geofm_eval.results.transfer import transfers
from geofm_eval.store import storing

SUFFIXES = (".md", ".csv", ".tex", ".png")
"""Files that a collation writes; older ones are removed first."""

PROBLEMS = 3
"""Problems in the short summary."""

PAGE = "report.html"
"""Name of the page in the folder of a run."""


@dataclass(frozen=True)
class Collation:
    """Results of a collation: the ``index`` page of all tables and figures, and a summary for a terminal.

    ``page`` is the HTML page of the run. ``text`` has every ranking, ``brief`` the answer and one line per task.
    ``rankings`` are one per task and adaptation (more if records are not comparable), ``findings`` one per claim and
    evidence class; ``problems`` are what could not be read, paired or compared.
    """

    index: Path
    page: Path
    rankings: tuple[Ranking, ...]
    problems: tuple[str, ...]
    text: str
    brief: str
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        counts = (counted(len(self.rankings), "ranking"), counted(len(self.problems), "problem"))
        return f"Collation({self.index}: {', '.join(counts)})"


def collate(
    run_dir: str | Path,
    catalog: Catalog | None = None,
    pictures: bool = True,
    focus: str | None = None,
    judged: Judged | None = None,
) -> Collation:
    """Collate a run, complete or not, into ``<run>/report.html``, ``<run>/tables`` and ``<run>/figures``.

    Earlier output there is replaced.

    Args:
        run_dir: folder of the run, its name below the folder of all runs, or its archive ``<run>.tar.xz``, next to
            which the folder ``<run>`` is made.
        catalog: for titles, families, licences and citations; None takes the package's own.
        pictures: whether the page shows test chips with predictions.
        focus: model whose author reads the answer and the charts; None for an answer on all models.
        judged: this run against its baseline, for the page; None without one.

    Raises:
        DataError: there is no such run, it holds neither records nor skips, or ``focus`` is not one of its backbones.
        StoreError: the disk is full or the folder cannot be written.
    """
    known = load_catalog() if catalog is None else catalog
    run, given = read_run(run_dir) if judged is None else judged.found.new, Path(run_dir)
    # Not into the unpacked copy, which is deep in the cache and may be pruned.
    folder = given.with_name(given.name.removesuffix(SUFFIX)) if is_archive(given) else run.folder
    with set_aside():
        return _collated(run, known, folder, _Asked(pictures, focus, judged))


@dataclass(frozen=True)
class _Asked:
    """What the page shows besides the run: pictures, the answer on one model, and a baseline."""

    pictures: bool
    focus: str | None
    judged: Judged | None

    def text(self, answered: Sequence[TaskAnswer], focused: Sequence[FocusedAnswer]) -> str:
        """The answer for a terminal."""
        baseline = None if self.judged is None else self.judged.found
        return text_of_focus(focused, baseline) if focused else text_of_answers(answered)


def _collated(run: Run, known: Catalog, folder: Path, asked: _Asked) -> Collation:
    found, answered = _gathered(run, known), answers(run, known)
    # Before anything is written: the model may not be in the run.
    focus = focused_answers(answered, found.orders, run, known, asked.focus) if asked.focus else ()
    tables, figures = folder / "tables", folder / "figures"
    index, html = tables / "README.md", folder / PAGE
    pages = found.in_order
    with storing(index):
        _clear(tables, figures)
        for page in pages:
            page.write(tables, figures)
        # Cells are computed as they are written, so all problems are known only afterwards.
        problems = (*run.problems, *found.apart, *run.pairs.problems)
        contents = Contents(found.pages, found.rankings, found.unshown, problems)
        index.write_text(index_page(run, known, contents), encoding="utf-8")
    closing, summary = closing_sections(run, known, contents), " ".join(summary_lines(run))
    write_page(PageContent(run, known, answered, found.orders, found.pages, summary, closing, asked.pictures, focus,
                           asked.judged), html)  # fmt: skip
    told, where = [f"problem: {problem}" for problem in problems], f"All tables and figures: {index}"
    text = [*(page.text for page in pages if page.text), "\n".join([*summary_lines(run, found.unshown), *told, where])]
    brief = [asked.text(answered, focus), "\n".join([*summary_lines(run), *_few(told), f"Page: {html}"])]
    return Collation(index, html, found.rankings, problems, "\n\n".join(text), "\n\n".join(filter(None, brief)),
                     found.findings)  # fmt: skip


def _few(told: Sequence[str]) -> list[str]:
    more = len(told) - PROBLEMS
    return [*told[:PROBLEMS], *([f"and {counted(more, 'more problem')}, at the end of the page"] if more > 0 else [])]


@dataclass(frozen=True)
class _Gathered:
    """Everything that a collation computes before it writes.

    ``pages`` are by the title of their section: ``over`` tasks, then by task; ``apart`` says what may not be compared.
    """

    over: Mapping[str, Sequence[Page]]
    own: Mapping[str, Sequence[Page]]
    rankings: tuple[Ranking, ...]
    orders: tuple[Ordering, ...]
    findings: tuple[Finding, ...]
    apart: tuple[str, ...]
    unshown: tuple[str, ...]

    @property
    def pages(self) -> dict[str, Sequence[Page]]:
        """All pages in the order of the index."""
        return {**self.over, **self.own}

    @property
    def in_order(self) -> list[Page]:
        """All pages in the order in which they are printed: what is over tasks comes last."""
        return [page for own in (*self.own.values(), *reversed(list(self.over.values()))) for page in own]


def _gathered(run: Run, known: Catalog) -> _Gathered:
    (found, split), (trained, mixed) = comparisons(run), comparable_trainings(run)
    (drifts, unlike), (similar, unequal) = comparable_drifts(run), similarity_tables(run)
    rankings = tuple(rank(comparison, run.pairs) for comparison in found)
    ranked, decided = overview(run, known), decide_findings(run, known)
    made_out, shown = explained(run, known), worth_showing(decided, run)
    divided, styles = compare_random_splits(run, known), styles_of(run.records)
    moved, orders = [transfer_page(one) for one in transfers(run, known)], ranked.by_table
    over = {"Findings": findings_pages(shown), "Rankings": over_pages(ranked), "Transferable taps": moved}
    own = {
        **{title: [comparison_page(one, orders.get(one.comparison.slug, ()), known, styles, divided) for one in rankings
                   if one.comparison.simulated == kind] for kind, title in RESULTS.items()},
        "Trained decoders and tuned backbones": [
            trainings_page(one, orders.get(one.slug, ()), known, styles) for one in trained
        ],
        "Drift: changes inside tuned backbones": [drift_page(one, known, styles) for one in drifts],
        "Similarity of layers and backbones": [similarity_page(one, known) for one in similar],
        "Shares of the variance of scores, and the cost of wrong choices": shares_pages(made_out, known),
        "Cost of smaller representations": [codings_page(one, known, styles) for one in coded_features(run)],
        "NeuCo-Bench's own protocol, not ranked": [neuco_page(one, known) for one in neuco_comparisons(run)],
    }  # fmt: skip
    no_taps, few = bool(found) and not moved, len(decided) - len(shown)
    unshown = _unshown(len(found) + len(trained), ranked, made_out, no_taps, few)
    apart = (*split, *mixed, *unlike, *unequal)
    return _Gathered(over, own, rankings, ranked.orders, decided, apart, tuple(unshown))


def _unshown(tables: int, ranked: Overview, made_out: Sequence[Explained], taps: bool, findings: int) -> list[str]:
    """Analyses that need more models or tasks than the run has."""
    unranked, unexplained = tables - len(ranked.by_table), tables - sum(bool(one.shares) for one in made_out)
    reasons = {
        f"ranks of {counted(unranked, 'table')}": unranked,
        f"shares of variance of {counted(unexplained, 'table')}": unexplained,
        "rankings over settings": ranked.orders and not ranked.over,
        "means over settings": ranked.over and not any(one.averaged for one in ranked.over),
        "transferable taps": taps,
        counted(findings, "finding"): findings,
    }
    return [words for words, absent in reasons.items() if absent]


def _clear(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.suffix in SUFFIXES:
                path.unlink()
