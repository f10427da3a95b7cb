"""The export command: samples of a task, features of a model on it, or a fitted probe."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from geofm_eval.catalog import load_catalog
from geofm_eval.cli.application import CatalogOption, app, say
from geofm_eval.cli.completion import model_names, task_names
from geofm_eval.errors import ContractError

Format = Literal["parquet", "neuco"]


@app.command()
def export(
    task: Annotated[str, typer.Argument(autocompletion=task_names)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    model: Annotated[
        str | None,
        typer.Option(help="Write the features of this model instead of samples.", autocompletion=model_names),
    ] = None,
    tap: Annotated[str, typer.Option(help="With --model: a tap, or all.")] = "final",
    style: Annotated[Format, typer.Option("--format", help="With --model: parquet, or NeuCo-Bench's CSV.")] = "parquet",
    probe: Annotated[
        str | None,
        typer.Option(help="With --model: write the fitted probe (linear, ridge) of the tap instead of features."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="With --model: recipe of the inputs.")] = "probing",
    catalog: CatalogOption = None,
) -> None:
    """Write samples of TASK for a model in another environment, or features or a fitted probe of a model."""
    from geofm_eval import exporting
    from geofm_eval.workspace import Settings, Workspace

    known = load_catalog(catalog or ())
    if model is None:
        if tap != "final" or style != "parquet" or probe is not None:
            raise ContractError("--tap, --probe and --format need --model: samples have no taps")
        done = exporting.export_samples(known.task(task), out)
        say(
            f"{done.samples:,} samples, {done.bytes / 1e6:,.1f} MB in {done.folder}; {done.folder}/task.toml reads them"
        )
        return
    workspace = Workspace(known, Settings(recipe=recipe))
    if probe is not None:
        for one in known.model(model).taps if tap == "all" else (tap,):
            say(str(exporting.export_probe(workspace, model, task, probe, one, out)))
        return
    taps = () if tap == "all" else (tap,)
    for path in exporting.export_features(workspace, model, task, taps, out, style):
        say(str(path))
