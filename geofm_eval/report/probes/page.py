"""What is written about probes: one comparison, transferable taps, NeuCo-Bench's own probe."""

from collections.abc import Mapping, Sequence
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.ranking import Ordering
from geofm_eval.report.pages import Page, line_of, links
from geofm_eval.report.probes.curves import depth_profiles, label_curves
from geofm_eval.report.probes.figures import depth_figure, label_figure
from geofm_eval.report.probes.neuco import neuco_table
from geofm_eval.report.probes.random_split import sentences_of
from geofm_eval.report.probes.rows import depth_rows, label_rows
from geofm_eval.report.probes.tables import depth_table, label_table, ranking_table
from geofm_eval.report.probes.terminal import text_of
from geofm_eval.report.probes.transfer import transfer_table
from geofm_eval.report.ranks.page import ranks_page
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.neuco import NeucoComparison
from geofm_eval.results.random_splits import RandomSplit
from geofm_eval.results.transfer import TapTransfers


def comparison_page(
    ranking: Ranking,
    orders: Sequence[Ordering],
    catalog: Catalog,
    styles: Mapping[str, LineStyle],
    divided: Sequence[RandomSplit] = (),
) -> Page:
    """Ranking, depth profile, label efficiency and ranks; its lines are a row and a picture in the index."""
    comparison, slug = ranking.comparison, ranking.comparison.slug
    profiles, curves = depth_profiles(ranking), label_curves(ranking)
    notes = sentences_of(slug, divided)
    table, ranks = ranking_table(ranking, catalog, notes), ranks_page(comparison, None, orders, catalog)
    over_depth, over_labels = depth_table(comparison, profiles, catalog), label_table(comparison, curves, catalog)
    return Page(
        tables=(table, over_depth, over_labels, *ranks.tables),
        lines=(_row(ranking, bool(orders)), f"![depth profile of {slug}](../figures/{slug}-depth.png)"),
        text=text_of(ranking, profiles, catalog, table, notes),
        csv={
            table.slug: table.data,
            f"../figures/{slug}-depth": partial(depth_rows, comparison, profiles),
            f"../figures/{slug}-labels": partial(label_rows, curves),
            **ranks.csv,
        },
        figures={
            f"{slug}-depth": partial(depth_figure, comparison, profiles, catalog, styles),
            f"{slug}-labels": partial(label_figure, comparison, curves, catalog, styles),
        },
    )


def _row(ranking: Ranking, ranked: bool) -> str:
    slug, case = ranking.comparison.slug, ranking.comparison.record.case
    ranks = [("ranks", f"{slug}-ranks.md"), ("CSV", f"{slug}-ranks.csv"), ("CSV of pairs", f"{slug}-pairs.csv")]
    cells = [case.task, case.adaptation]
    cells.append(links([*_table(f"{slug}-ranking"), ("CSV", f"{slug}-ranking.csv"), *(ranks if ranked else [])]))
    for name in (f"{slug}-depth", f"{slug}-labels"):
        figure = f"../figures/{name}"
        cells.append(links([("figure", f"{figure}.png"), *_table(name), ("CSV", f"{figure}.csv")]))
    return f"| {' | '.join(cells)} |"


def _table(slug: str) -> list[tuple[str, str]]:
    return [("table", f"{slug}.md"), ("LaTeX", f"{slug}.tex")]


def transfer_page(transfers: TapTransfers) -> Page:
    """The transferable taps of one family of probes."""
    table, slug = transfer_table(transfers), transfers.slug
    line = line_of(slug, transfers.rows[0].comparison.simulated, [*_table(slug), ("CSV", f"{slug}.csv")])
    return Page(tables=(table,), lines=(line,), csv={slug: table.data})


def neuco_page(comparison: NeucoComparison, catalog: Catalog) -> Page:
    """NeuCo-Bench's own probe on one task."""
    line = line_of(comparison.slug, comparison.first.evidence == "simulated", _table(comparison.slug))
    return Page(tables=(neuco_table(comparison, catalog),), lines=(line,))
