"""What is written about trained cases."""

from collections.abc import Mapping, Sequence
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.factors.levels import factors
from geofm_eval.factors.marginal import effects
from geofm_eval.ranking import Ordering
from geofm_eval.report.pages import Page, line_of
from geofm_eval.report.ranks.page import ranks_page
from geofm_eval.report.trainings.choices import choices_table
from geofm_eval.report.trainings.figures import block_figure, pareto_figure
from geofm_eval.report.trainings.pareto import pareto_table
from geofm_eval.report.trainings.tables import block_table, effects_table, factorial_table, ranking_table
from geofm_eval.report.trainings.terminal import text_of_trainings
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.results.trainings import TrainedCases


def trainings_page(
    cases: TrainedCases, orders: Sequence[Ordering], catalog: Catalog, styles: Mapping[str, LineStyle]
) -> Page:
    """Ranking, ranks, effects, cost, choices; what a cases has no cells for is left out."""
    slug, ranks = cases.slug, ranks_page(cases.comparison, cases.how, orders, catalog)
    ranking = ranking_table(cases, catalog)
    effect = effects_table(cases, effects(cases, catalog), catalog)
    choices = choices_table(cases, factors(cases, catalog), catalog)
    pareto = pareto_table(cases, catalog)
    more = (effect, pareto, choices, factorial_table(cases, catalog), block_table(cases, catalog))
    tables = [ranking, *ranks.tables, *(table for table in more if table is not None)]
    numbers = {"cells": ranking.data, **({} if effect is None else {"effects": effect.data})}
    figures = {} if pareto is None else {f"{slug}-pareto": partial(pareto_figure, cases, catalog, styles)}
    files = [(table.slug.removeprefix(f"{slug}-"), f"{table.slug}.md") for table in tables]
    files += [("figure", f"../figures/{name}.png") for name in figures]
    files += [(f"CSV of {name}", f"{slug}-{name}.csv") for name in (*numbers, *(["ranks", "pairs"] if orders else []))]
    files += [] if cases.pooled else [("contact sheets", "../sheets")]
    return Page(
        tables=tables,
        lines=[line_of(slug, cases.comparison.simulated, files)],
        text=text_of_trainings(cases, catalog, ranking, choices, effect),
        csv={
            **{f"{slug}-{name}": rows for name, rows in numbers.items()},
            **({} if choices is None else {choices.slug: choices.data}),
            **ranks.csv,
        },
        figures={**figures, f"{slug}-blocks": partial(block_figure, cases, catalog, styles)},
    )
