"""What is written about a case study."""

from collections.abc import Sequence
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
from geofm_eval.report.trainings.terminal import text_of_study
from geofm_eval.results.trainings import CaseStudy


def study_page(study: CaseStudy, orders: Sequence[Ordering], catalog: Catalog) -> Page:
    """Ranking, ranks, effects, cost, choices; what a study has no cells for is left out."""
    slug, ranks = study.slug, ranks_page(study.comparison, study.how, orders, catalog)
    ranking = ranking_table(study, catalog)
    effect = effects_table(study, effects(study, catalog), catalog)
    choices = choices_table(study, factors(study, catalog), catalog)
    pareto = pareto_table(study, catalog)
    more = (effect, pareto, choices, factorial_table(study, catalog), block_table(study, catalog))
    tables = [ranking, *ranks.tables, *(table for table in more if table is not None)]
    numbers = {"cells": ranking.data, **({} if effect is None else {"effects": effect.data})}
    figures = {} if pareto is None else {f"{slug}-pareto": partial(pareto_figure, study, catalog)}
    files = [(table.slug.removeprefix(f"{slug}-"), f"{table.slug}.md") for table in tables]
    files += [("figure", f"../figures/{name}.png") for name in figures]
    files += [(f"CSV of {name}", f"{slug}-{name}.csv") for name in (*numbers, *(["ranks", "pairs"] if orders else []))]
    files += [] if study.pooled else [("contact sheets", "../sheets")]
    return Page(
        tables=tables,
        lines=[line_of(slug, study.comparison.simulated, files)],
        text=text_of_study(study, catalog, ranking, choices, effect),
        csv={
            **{f"{slug}-{name}": rows for name, rows in numbers.items()},
            **({} if choices is None else {choices.slug: choices.data}),
            **ranks.csv,
        },
        figures={**figures, f"{slug}-blocks": partial(block_figure, study, catalog)},
    )
