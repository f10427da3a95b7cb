"""``python -m benchmarks.studies.pretrain NAME --seed S``: pretrain a pocket backbone."""

import logging
from pathlib import Path
from typing import Annotated

import torch
import typer

from benchmarks.studies.pretrain.objectives import OBJECTIVES, Normalise
from benchmarks.studies.pretrain.publish import Card, measured_rank, save_weights, write_card
from benchmarks.studies.pretrain.stream import Stream
from benchmarks.studies.pretrain.training import STEPS, THIRD, Plan, PretrainingState, load_sealed, normaliser, train
from geofm_eval.backbones import pocket
from geofm_eval.backbones.pocket.vit import weights_name
from geofm_eval.catalog import load_catalog
from geofm_eval.errors import ContractError, GeofmError
from geofm_eval.paths import geofm_cache

PACKAGED = Path(pocket.__file__).parent
"""Package folder with the published weights and cards."""

WITH_THIRD = ("pocket_mae", 0)
"""The training whose weights after a third of the steps are published too."""


def main(
    name: Annotated[str, typer.Argument(help=f"one of {', '.join(OBJECTIVES)}")],
    seed: Annotated[int, typer.Option(min=0, help="initial weights, views and order of the scenes")] = 0,
    steps: Annotated[int | None, typer.Option(min=20, help="optimiser steps; fewer for a trial")] = None,
    stop_after: Annotated[int | None, typer.Option(min=1, help="stop at this step; the next call resumes")] = None,
    shards: Annotated[int, typer.Option(min=1, help="distinct shards of 512 places")] = 96,
    rate: Annotated[float, typer.Option(min=0, help="highest learning rate")] = 1e-3,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    out: Annotated[Path | None, typer.Option(help="folder for weights/ and cards/; default: the package's own")] = None,
) -> None:
    """Pretrain one backbone, or resume an interrupted call; then write its weights and model card."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        _run(_plan(name, seed, steps, shards, rate), stop_after, device, threads, out)
    except GeofmError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from None


def _plan(name: str, seed: int, steps: int | None, shards: int, rate: float) -> Plan:
    if name not in OBJECTIVES:
        raise typer.BadParameter(f"'{name}' is unknown; known: {', '.join(OBJECTIVES)}", param_hint="NAME")
    return Plan(name, seed, steps or STEPS[name], shards=shards, rate=rate)


def _run(plan: Plan, stop_after: int | None, device: str, threads: int, out: Path | None) -> None:
    if out is None and plan != Plan(plan.name, plan.seed, STEPS[plan.name]):
        raise ContractError(
            "a trial with other --steps, --shards or --rate would replace the package's files: pass --out FOLDER"
        )
    torch.set_num_threads(threads)
    catalog = load_catalog()
    normalise = normaliser(catalog.model(plan.name), catalog.model("pocket_crossmodal_s1"))
    cache = geofm_cache() / "pretraining"
    checkpoints = cache / "runs" / f"{plan.name}_seed{plan.seed}"
    trained = None
    for trained in train(
        plan, Stream(cache, plan.shards), normalise, checkpoints, device=device, stop_after=stop_after
    ):
        rate = trained.steps * plan.batch / max(trained.seconds, 1e-9)
        loss = trained.losses[-1] if trained.losses else float("nan")
        typer.echo(
            f"{plan.name} seed {plan.seed}: step {trained.steps}/{plan.steps}, loss {loss:.4f}, {rate:.0f} places/s"
        )
    assert trained is not None
    if trained.steps < plan.steps:
        typer.echo(f"stopped; the next call resumes from {checkpoints}")
        return
    _publish(plan, trained, normalise, checkpoints, PACKAGED if out is None else out)


def _publish(plan: Plan, trained: PretrainingState, normalise: Normalise, checkpoints: Path, folder: Path) -> None:
    tensors = trained.objective.published()
    path = folder / "weights" / weights_name(plan.name, plan.seed)
    third = None
    if (plan.name, plan.seed) == WITH_THIRD:
        third = path.with_name(f"{path.stem}_third.safetensors")
        early = load_sealed(checkpoints / THIRD)
        typer.echo(f"{third}: sha256 {save_weights(third, early, plan, plan.steps // 3)}")
    sha256 = save_weights(path, tensors, plan, plan.steps)
    rank = measured_rank(tensors, normalise)
    write_card(
        folder / "cards", Card(plan, type(trained.objective), trained, sha256, rank, third.name if third else None)
    )
    typer.echo(f"{path}: sha256 {sha256}, effective rank {rank:.1f}; pin the hash in geofm_eval/catalog/models.toml")


if __name__ == "__main__":
    typer.run(main)
