"""From the records of a run to its tables, figures and text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.factors.levels import factors
from geofm_eval.factors.marginal import effects
from geofm_eval.findings import Finding, findings
from geofm_eval.garbage import set_aside
from geofm_eval.report import findings as verdicts
from geofm_eval.report.drift import figures as drift_figures
from geofm_eval.report.drift import tables as drift_tables
from geofm_eval.report.drift.terminal import text_of_drift
from geofm_eval.report.formats import Row, Table, to_csv, to_latex, to_markdown
from geofm_eval.report.index import index_page, summary_lines
from geofm_eval.report.probes.curves import depth_profiles, label_curves
from geofm_eval.report.probes.figures import depth_figure, label_figure
from geofm_eval.report.probes.neuco import lines_of_neuco, neuco_table
from geofm_eval.report.probes.rows import depth_rows, label_rows, ranking_rows
from geofm_eval.report.probes.tables import depth_table, label_table, ranking_table
from geofm_eval.report.probes.terminal import text_of
from geofm_eval.report.probes.transfer import lines_of_transfers, transfer_rows, transfer_table
from geofm_eval.report.ranks import rows as rank_rows
from geofm_eval.report.ranks.over_settings import Overview, overview
from geofm_eval.report.ranks.tables import over_tables, page_of_rankings, ranks_tables
from geofm_eval.report.ranks.terminal import text_of_rankings
from geofm_eval.report.ranks.words import SLUG as RANKINGS
from geofm_eval.report.ranks.words import lines_of_rankings
from geofm_eval.report.shares import (
    Explained,
    explained,
    lines_of_shares,
    regret_rows,
    regret_table,
    share_rows,
    shares_table,
    text_of_shares,
)
from geofm_eval.report.similarity.heatmaps import FIGURES
from geofm_eval.report.similarity.tables import similarity_rows, similarity_table, text_of_similarity
from geofm_eval.report.trainings import choices
from geofm_eval.report.trainings import tables as dense
from geofm_eval.report.trainings.figures import block_figure, pareto_figure
from geofm_eval.report.trainings.pareto import has_front, pareto_table
from geofm_eval.report.trainings.terminal import text_of_study
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.drift import DriftStudy, drift_studies
from geofm_eval.results.leaderboard import Ranking, rank
from geofm_eval.results.neuco import neuco_studies
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import RunContent, read_content
from geofm_eval.results.similarity import SimilarityTable, similarity_tables
from geofm_eval.results.trainings import CaseStudy, case_studies
from geofm_eval.results.transfer import transfers
from geofm_eval.store import storing

SUFFIXES = (".md", ".csv", ".tex", ".png")
"""What a collation writes, and removes before it writes anew."""


@dataclass(frozen=True)
class Collation:
    """What a run says.

    Args:
        index: page that links all tables and figures.
        rankings: one per task and adaptation (more where records may not be compared).
        problems: what could not be read, paired or compared, one sentence each.
        text: all of it in short, for a terminal.
        findings: verdicts on what the study claimed, per evidence class.
    """

    index: Path
    rankings: tuple[Ranking, ...]
    problems: tuple[str, ...]
    text: str
    findings: tuple[Finding, ...]


def collate(run_dir: Path, catalog: Catalog | None = None) -> Collation:
    """Collate a run, complete or not, into ``<run>/tables`` and ``<run>/figures``; earlier output there is replaced.

    Args:
        run_dir: folder of the run.
        catalog: for titles, families, licences and citations; None takes the package's own.

    Raises:
        DataError: the folder does not exist or holds no run.
        StoreError: the disk is full or the folder cannot be written.
    """
    known = load_catalog() if catalog is None else catalog
    content = read_content(run_dir)
    with set_aside():
        return _collated(content, run_dir, known)


def _collated(content: RunContent, run_dir: Path, known: Catalog) -> Collation:
    tables, figures = run_dir / "tables", run_dir / "figures"
    found, split = comparisons(content)
    pairs = Pairs(run_dir)
    rankings = tuple(rank(comparison, pairs) for comparison in found)
    studies, mixed = case_studies(content)
    drifts, unlike = drift_studies(content)
    alike, apart = similarity_tables(content)
    made_out = explained(content, found, studies, pairs, known)
    decided = findings(content, pairs, known)
    ranked = overview(content, pairs, known)
    moved = transfers(content, pairs, known)
    of_neuco = neuco_studies(content)
    index = tables / "README.md"
    with storing(index):
        _clear(tables, figures)
        texts = [_write(ranking, known, tables, figures) for ranking in rankings]
        texts += [_write_study(study, known, pairs, tables, figures) for study in studies]
        texts += [_write_drift(study, known, tables, figures) for study in drifts]
        texts += [_write_likeness(likeness, known, tables, figures) for likeness in alike]
        texts += _write_shares(made_out, len(found) + len(studies) - len(made_out), known, tables)
        if ranked.orders:
            texts.append(_write_rankings(ranked, known, tables))
        if decided:
            (tables / f"{verdicts.SLUG}.md").write_text(verdicts.page_of_findings(decided), encoding="utf-8")
            _write_csv(tables / f"{verdicts.SLUG}.csv", verdicts.finding_rows(decided))
            texts.append(verdicts.text_of_findings(decided))
        for one in moved:
            _write_table(transfer_table(one), tables)
            _write_csv(tables / f"{one.slug}.csv", transfer_rows(one))
        for one_task in of_neuco:
            _write_table(neuco_table(one_task, known), tables)
        problems = (*content.problems, *split, *mixed, *unlike, *apart, *pairs.problems)
        lines = verdicts.lines_of_findings(decided)
        shared, orders = lines_of_shares(made_out), lines_of_rankings(ranked)
        over_tasks = lines_of_transfers(moved)
        more = (drifts, alike, shared, orders, ranked.ordered, over_tasks, lines_of_neuco(of_neuco))
        page = index_page(content, rankings, studies, problems, known, lines, *more)
        index.write_text(page, encoding="utf-8")
    return Collation(index, rankings, problems, _text(content, texts, problems, index), decided)


def _clear(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.suffix in SUFFIXES:
                path.unlink()


def _write(ranking: Ranking, catalog: Catalog, tables: Path, figures: Path) -> str:
    """Write all files of one comparison; its text for the terminal is returned."""
    comparison = ranking.comparison
    profiles, curves = depth_profiles(ranking), label_curves(ranking)
    _write_table(ranking_table(ranking, catalog), tables)
    _write_table(depth_table(comparison, profiles, catalog), tables)
    _write_table(label_table(comparison, curves, catalog), tables)
    _write_csv(tables / f"{comparison.slug}-ranking.csv", ranking_rows(ranking, catalog))
    _write_csv(figures / f"{comparison.slug}-depth.csv", depth_rows(comparison, profiles))
    _write_csv(figures / f"{comparison.slug}-labels.csv", label_rows(comparison, curves))
    depth_figure(comparison, profiles, catalog, figures / f"{comparison.slug}-depth.png")
    label_figure(comparison, curves, catalog, figures / f"{comparison.slug}-labels.png")
    return text_of(ranking, profiles, catalog)


def _write_study(study: CaseStudy, catalog: Catalog, pairs: Pairs, tables: Path, figures: Path) -> str:
    """Write all files of one case study; its text for the terminal is returned."""
    found, decided = effects(study, catalog, pairs), factors(study, catalog, pairs)
    made = (
        dense.ranking_table(study, catalog, pairs),
        choices.choices_table(study, decided, catalog),
        dense.factorial_table(study, catalog),
        dense.effects_table(study, found, catalog),
        pareto_table(study, catalog),
        dense.block_table(study, catalog),
    )
    for table in made:
        if table is not None:
            _write_table(table, tables)
    _write_csv(tables / f"{study.slug}-cells.csv", dense.cell_rows(study, catalog, pairs))
    _write_csv(tables / f"{study.slug}-choices.csv", choices.choice_rows(study, decided))
    _write_csv(tables / f"{study.slug}-effects.csv", dense.effect_rows(study, found))
    if has_front(study):
        pareto_figure(study, catalog, figures / f"{study.slug}-pareto.png")
    block_figure(study, catalog, figures / f"{study.slug}-blocks.png")
    return text_of_study(study, found, decided, catalog, pairs)


def _write_drift(study: DriftStudy, catalog: Catalog, tables: Path, figures: Path) -> str:
    """Write all files about what tuning changed on one task; its text for the terminal is returned."""
    for make in (drift_tables.summary_table, drift_tables.parts_table, drift_tables.reverted_table):
        _write_table(make(study, catalog), tables)
    _write_csv(tables / f"{study.slug}-values.csv", drift_tables.value_rows(study))
    _write_csv(tables / f"{study.slug}-contrasts.csv", drift_tables.contrast_rows(study))
    _write_csv(figures / f"{study.slug}-layers.csv", drift_tables.layer_rows(study))
    _write_csv(figures / f"{study.slug}-lost.csv", drift_tables.lost_rows(study))
    # Backbones that were tuned alike stand in one figure: of all together little could be read.
    for tuning, own in study.by_tuning.items():
        for name, draw in drift_figures.FIGURES.items():
            draw(own, catalog, figures / f"{study.slug}-{name}-{tuning}.png")
    return text_of_drift(study, catalog)


def _write_likeness(likeness: SimilarityTable, catalog: Catalog, tables: Path, figures: Path) -> str:
    """Write all files about the layers of backbones on one task; its text for the terminal is returned."""
    _write_table(similarity_table(likeness, catalog), tables)
    _write_csv(tables / f"{likeness.slug}.csv", similarity_rows(likeness))
    for name in likeness.figures:
        FIGURES[name](likeness, catalog, figures / f"{likeness.slug}-{name}.png")
    return text_of_similarity(likeness, catalog)


def _write_shares(found: Sequence[Explained], too_small: int, catalog: Catalog, tables: Path) -> list[str]:
    """Write what explains scores, and what wrong choices cost; the text for the terminal is returned."""
    for one in found:
        _write_table(shares_table(one, catalog), tables)
        _write_csv(tables / f"{one.slug}-shares.csv", share_rows(one))
        regret = regret_table(one, catalog)
        if regret is not None:
            _write_table(regret, tables)
            _write_csv(tables / f"{one.slug}-regret.csv", regret_rows(one))
    text = text_of_shares(found, too_small)
    return [text] if text else []


def _write_rankings(ranked: Overview, catalog: Catalog, tables: Path) -> str:
    """Write ranks within settings and what is known over them; the text for the terminal is returned."""
    for table in (*ranks_tables(ranked, catalog), *over_tables(ranked)):
        _write_table(table, tables)
    for slug in sorted(ranked.ordered):
        orders = ranked.by_table[slug]
        _write_csv(tables / f"{slug}-ranks.csv", rank_rows.rank_rows(orders))
        _write_csv(tables / f"{slug}-pairs.csv", rank_rows.pair_rows(orders))
    if ranked.over:
        (tables / f"{RANKINGS}.md").write_text(page_of_rankings(ranked), encoding="utf-8")
        for suffix, rows in rank_rows.over_rows(ranked).items():
            _write_csv(tables / f"{RANKINGS}{suffix}.csv", rows)
    return text_of_rankings(ranked)


def _write_table(table: Table, folder: Path) -> None:
    (folder / f"{table.slug}.md").write_text(to_markdown(table), encoding="utf-8")
    (folder / f"{table.slug}.tex").write_text(to_latex(table), encoding="utf-8")


def _write_csv(path: Path, rows: Sequence[Row]) -> None:
    path.write_text(to_csv(rows), encoding="utf-8")


def _text(content: RunContent, rankings: Sequence[str], problems: Sequence[str], index: Path) -> str:
    closing = [
        *summary_lines(content),
        *(f"problem: {problem}" for problem in problems),
        f"All tables and figures: {index}",
    ]
    return "\n\n".join([*rankings, "\n".join(closing)])
