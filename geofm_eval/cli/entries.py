"""The command init: look at own data and write their catalog entry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from geofm_eval.catalog import load_catalog
from geofm_eval.cli.application import app, console, say

if TYPE_CHECKING:
    from geofm_eval.looking.next_steps import RunCost


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Folder, table, or file of labelled geometries.")],
    into: Annotated[Path, typer.Option(help="Catalog file that the entry is appended to.")] = Path("my.toml"),
    bands: Annotated[
        str | None,
        typer.Option(metavar="PRESET|NAMES", help="S2L2A, S2L1C, PlanetScope4, RGB, S1, or names such as B02,B03."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the task. Default: from PATH.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels of a table or of geometries.")] = None,
) -> None:
    """Look at your own data and write their entry into a catalog file."""
    from geofm_eval import looking

    before = load_catalog([into] if into.exists() else ())
    draft = looking.draft_entry(path, name or looking.free_slug(path, before), bands, label)
    model = looking.append_entries(into, draft)
    say("\n".join(draft.facts))
    for warning in draft.warnings:
        say(f"warning: {warning}")
    further = [text for text, there in (("its random split", draft.located), (f"[models.{model}]", model)) if there]
    say(f"\n{into}: added {' and '.join((f'[tasks.{draft.task.slug}]', *further))}")
    if draft.samples is not None and not draft.names.known:
        say('First replace every "?" in its bands; until then check refuses the task. Presets: --bands S2L2A, ...')
        say(f"Then: geofm-eval check {draft.task.slug} --catalog {into}")
        return
    known = load_catalog([into])
    _show_costs(looking.costs(known, draft))
    say("\nNext:\n" + "\n".join(f"  {command}" for command in looking.commands(known, draft, into, model)))


def _show_costs(costs: "list[RunCost]") -> None:
    if not costs:
        return
    table = Table("starter model", "download", "minutes on one CPU core", "licence", "commercial use")
    for cost in costs:
        size = "size unknown" if cost.megabytes is None else f"{cost.megabytes:,.0f} MB" if cost.megabytes else "here"
        minutes = "under 1" if cost.minutes < 1 else f"about {cost.minutes:.0f}"
        table.add_row(cost.model.slug, size, minutes, cost.model.licence, cost.model.commercial)
    console.print(table)
    say("Controls (band statistics, random convolutions) run without any download. A random twin doubles the minutes.")
