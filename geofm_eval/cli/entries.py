"""The command init: look at own data and write their catalog entry."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from geofm_eval.catalog import load_catalog
from geofm_eval.cli.application import app, console, say

if TYPE_CHECKING:
    from geofm_eval.looking import Draft, EmbeddingDraft
    from geofm_eval.looking.next_steps import RunCost


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Folder, table, file of labelled geometries, or embeddings.")],
    into: Annotated[Path, typer.Option(help="Catalog file that the entry is appended to.")] = Path("my.toml"),
    bands: Annotated[
        str | None,
        typer.Option(metavar="PRESET|NAMES", help="S2L2A, S2L1C, PlanetScope4, RGB, S1, or names such as B02,B03."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the entry. Default: from PATH.")] = None,
    label: Annotated[str | None, typer.Option(help="Column of the labels of a table or of geometries.")] = None,
    tasks: Annotated[
        str | None, typer.Option(metavar="TASK,...", help="Tasks that embeddings belong to. Default: by their samples.")
    ] = None,
) -> None:
    """Look at your own data or embeddings and write their entry into a catalog file."""
    from geofm_eval import looking

    before = load_catalog([into] if into.exists() else ())
    named = [task.strip() for task in (tasks or "").split(",") if task.strip()]
    draft = looking.draft_own(path, before, name, bands, label, named)
    model = looking.append_entries(into, draft, name if isinstance(draft, looking.EmbeddingDraft) else None)
    say("\n".join(draft.facts))
    for warning in draft.warnings:
        say(f"warning: {warning}")
    _show_added(into, draft, model)
    if isinstance(draft, looking.Draft) and not draft.bands_named:
        say('First replace every "?" in its bands; until then check refuses the task. Presets: --bands S2L2A, ...')
        say(f"Then: geofm-eval check {draft.task.slug} --catalog {shlex.quote(str(into))}")
        return
    known = load_catalog([into])
    if isinstance(draft, looking.Draft):
        _show_costs(looking.costs(known, draft))
    say("\nNext:\n" + "\n".join(f"  {command}" for command in looking.commands(known, draft, into, model)))


def _show_added(into: Path, draft: "Draft | EmbeddingDraft", model: str) -> None:
    from geofm_eval.looking import Draft

    added = [f"[models.{model}]"] if model else []
    if isinstance(draft, Draft):
        added = [f"[tasks.{draft.task.slug}]", *(["its random split"] if draft.located else []), *added]
    say(f"\n{into}: added {' and '.join(added)}")


def _show_costs(costs: "list[RunCost]") -> None:
    if not costs:
        return
    from geofm_eval.looking import OPERATIONS_PER_SECOND

    table = Table("starter model", "download", "minutes", "licence", "commercial use")
    for cost in costs:
        size = "size unknown" if cost.megabytes is None else f"{cost.megabytes:,.0f} MB" if cost.megabytes else "here"
        minutes = "under 1" if cost.minutes < 1 else f"about {cost.minutes:.0f}"
        table.add_row(cost.model.slug, size, minutes, cost.model.licence, cost.model.commercial)
    console.print(table)
    say(f"Minutes assume {OPERATIONS_PER_SECOND / 1e9:.0f} GFLOP/s, about one CPU core; they were not measured here.")
    say("Controls (band statistics, random convolutions) run without any download. A random twin doubles the minutes.")
