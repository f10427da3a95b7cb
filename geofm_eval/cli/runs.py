"""Commands on runs: report, compare, advise, expect."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.cli.application import CatalogOption, app, console, say
from geofm_eval.cli.completion import model_names, task_names
from geofm_eval.errors import ContractError

if TYPE_CHECKING:
    from geofm_eval.report.gate import Judged

# As in geofm_eval.compare, which is only imported when it is needed.
FailOn = Literal["regression", "undecided"]
Together = Literal["family", "run"]
Style = Literal["text", "markdown", "json", "html"]


@app.command()
def report(
    run: Path,
    focus: Annotated[
        str | None, typer.Option(metavar="MODEL", help="Answer for the author of this model; others are grey.")
    ] = None,
    baseline: Annotated[
        Path | None, typer.Option(metavar="OLD", help="Show what changed since this run, by the rules of compare.")
    ] = None,
    no_pictures: Annotated[bool, typer.Option("--no-pictures", help="Leave test chips out of the page.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print every ranking, not only the answer.")] = False,
    catalog: CatalogOption = None,
) -> None:
    """Write the page, tables and figures of RUN from its records.

    RUN is a folder or a name below reports/runs, and gets them in its folder; or an archive, which gets a folder next
    to it. The page is one file that needs no network. With --focus and --baseline it is that of a model's author.
    """
    from geofm_eval import compare as comparing
    from geofm_eval.report.collation import collate
    from geofm_eval.report.gate import Judged

    known, judged = load_catalog(catalog or ()), None
    if baseline is not None:
        judged = Judged(comparing.compare(comparing.find_run(baseline), comparing.find_run(run), known))
    found = collate(run, known, not no_pictures, focus, judged)
    say(found.text if verbose else found.brief)
    if judged is not None:
        say(judged.headline)


@app.command()
def compare(
    baseline: Annotated[Path, typer.Argument(help="Earlier run: a folder, a name below reports/runs, or an archive.")],
    run: Annotated[Path, typer.Argument(help="Run to judge: a folder, a name or an archive.")],
    fail_on: Annotated[
        FailOn, typer.Option(help="Verdicts that fail; undecided: regressions and cases that could not be tested.")
    ] = "regression",
    require_all: Annotated[
        bool, typer.Option("--require-all", help="Also fail if RUN lacks a case, model or task of BASELINE.")
    ] = False,
    family: Annotated[
        Together,
        typer.Option(help="Limit false regressions to 5 % per family of primary cases, or per run (for CI)."),
    ] = "family",
    style: Annotated[
        Style, typer.Option("--format", help="Output format; markdown suits a pull request, html is a page.")
    ] = "text",
    output: Annotated[Path | None, typer.Option(help="Write to this file.")] = None,
    catalog: CatalogOption = None,
) -> None:
    """Compare RUN with BASELINE: better, equivalent or worse for every primary case. Exit status 1 if it is worse."""
    from geofm_eval import compare as comparing
    from geofm_eval.report.gate import Judged, lines_of
    from geofm_eval.store import write_bytes

    known = load_catalog(catalog or ())
    found = comparing.compare(comparing.find_run(baseline), comparing.find_run(run), known, family)
    judged = Judged(found, fail_on, require_all)
    if output is not None:
        write_bytes(output, _written(judged, style, known).encode())
    elif style == "text":
        for line in lines_of(found, fail_on, require_all):
            console.print(line.text, style="red" if line.alarm else None, markup=False, emoji=False, soft_wrap=True)
    else:
        typer.echo(_written(judged, style, known), nl=False)
    if judged.fails:
        raise typer.Exit(1)


def _written(judged: "Judged", style: Style, catalog: Catalog) -> str:
    """A comparison in one of the formats."""
    from geofm_eval.report.gate import json_of, lines_of, markdown_of

    if style == "html":
        from geofm_eval.report.web.compared import html_of  # here, because it loads the template and the charts

        return html_of(judged, catalog)
    asked = judged.found, judged.fail_on, judged.require_all
    if style == "text":
        return "\n".join(line.text for line in lines_of(*asked)) + "\n"
    return (markdown_of if style == "markdown" else json_of)(*asked)


@app.command()
def advise(
    run: Path,
    task: Annotated[str, typer.Option(help="Task to use the backbone for.", autocompletion=task_names)],
    model: Annotated[
        str | None, typer.Option(help="Backbone. Default: all except controls.", autocompletion=model_names)
    ] = None,
    catalog: Annotated[
        list[Path] | None,
        typer.Option(help="TOML file of your own entries: for their titles, and for --confirm (repeatable)."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Build the cut MODEL, time it, solve its probe.")] = False,
    weights: Annotated[Path | None, typer.Option(help="With --confirm: weights that MODEL was measured with.")] = None,
    device: Annotated[str, typer.Option(help="With --confirm: torch device.")] = "cpu",
) -> None:
    """Recommend which block to read, where to cut and what to tune, with the evidence in RUN (a folder or name).

    With --confirm, the exit status is 1 if features or score of the cut backbone differ from the record.
    """
    from geofm_eval.report.advice import advised

    if confirm and model is None:
        raise ContractError("--confirm builds one backbone; name it with --model")
    known = load_catalog(catalog or ())
    found = advised(run, known, task, model)
    confirmation = None
    if confirm:
        from geofm_eval.measure.confirming import confirm_first  # here, because it loads torch

        confirmation = confirm_first(found.advices[0], found.run, known, weights=weights, device=device)
    if as_json:
        typer.echo(found.json(confirmation))
    else:
        say(found.text(confirmation))
    if confirmation is not None and not confirmation.holds:
        raise typer.Exit(1)


@app.command()
def expect(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Finished runs: folders or names. With --reseal: tasks.")
    ],
    why: Annotated[str, typer.Option(help="Reason of the changes; required if a range becomes looser.")] = "",
    tasks: Annotated[str, typer.Option(metavar="A,B", help="Only these tasks.")] = "",
    into: Annotated[Path, typer.Option(help="Folder of the range files.")] = Path("benchmarks/expected"),
    reseal: Annotated[
        bool, typer.Option("--reseal", help="Accept range files that were edited by hand; needs --why.")
    ] = False,
    catalog: CatalogOption = None,
) -> None:
    """Set expected ranges from finished runs, and print every change; probes are solved again with last-digit noise.

    If a range would become looser without --why, nothing is written and the exit status is 1.
    """
    if reseal:
        from geofm_eval.expected.resealing import reseal as accept

        say(accept(into, [str(task) for task in runs], why))
        return
    from geofm_eval.measure.setting_ranges import expect as set_ranges
    from geofm_eval.results.locate import find_run

    chosen = [name.strip() for name in tasks.split(",") if name.strip()]
    found = set_ranges([find_run(run) for run in runs], load_catalog(catalog or ()), into, chosen, why)
    say(found.text)
    if not found.written:
        raise typer.Exit(1)
