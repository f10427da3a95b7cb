"""What is written about rankings: of every comparison, and over settings."""

from collections.abc import Sequence
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.ranking import Ordering
from geofm_eval.report.formats import to_markdown
from geofm_eval.report.pages import Page, links
from geofm_eval.report.ranks.over import over_rows, over_tables
from geofm_eval.report.ranks.over_settings import Overview
from geofm_eval.report.ranks.terminal import text_of_rankings
from geofm_eval.report.ranks.within import pair_rows, rank_rows, ranks_table
from geofm_eval.report.ranks.words import SLUG, sentence
from geofm_eval.results.comparison import Comparison


def ranks_page(comparison: Comparison, how: str | None, orders: Sequence[Ordering], catalog: Catalog) -> Page:
    """Ranks within the settings of a comparison, of probes or of trained cases; empty without two models in one."""
    if not orders:
        return Page()
    table = ranks_table(comparison, how, orders, catalog)
    numbers = {table.slug: partial(rank_rows, table, orders), f"{comparison.slug}-pairs": partial(pair_rows, orders)}
    return Page(tables=(table,), csv=numbers)


def over_pages(found: Overview) -> list[Page]:
    """Everything over settings on one page; its text in a terminal has the settings themselves too."""
    tables, numbers = over_tables(found.over), over_rows(found.over)
    names = {"": "summary", "-changes": "changes of order", "-agreement": "agreement"}
    files = [("over settings", f"{SLUG}.md"), *((f"CSV of {names[end]}", f"{SLUG}{end}.csv") for end in numbers)]
    page = Page(
        tables=tables,
        lines=[links(files), *map(sentence, found.over)] if found.over else (),
        text=text_of_rankings(found),
        csv={f"{SLUG}{end}": partial(list, rows) for end, rows in numbers.items()},
        markdown={SLUG: "\n".join(map(to_markdown, tables))} if found.over else {},
    )
    return [page] if found.orders else []
