"""Print the table in docs/standins.md: ``python -m benchmarks.studies.standins [TASK ...]``; results are cached."""

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch

from benchmarks.studies.standins.dense import measure_dense
from benchmarks.studies.standins.pooled import measure_pooled, oracle_pooled
from benchmarks.studies.standins.reach import REACHES, measure_reach, prepare
from benchmarks.studies.standins.score import StandinScore, score_maps
from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.catalog.cases import compatible
from geofm_eval.paths import geofm_cache
from geofm_eval.simulation.standins.oracle import oracle_map
from geofm_eval.store import content_hash, write_json
from geofm_eval.workspace import Settings, Workspace

log = logging.getLogger(__name__)

COLUMNS = ("band statistics", "random twin", "RCF", *(f"reach {reach}" for reach in REACHES), "oracle")
TWINS = ("galileo_nano_random", "mae_vits16_random")
"""The first model that can read the task is used."""


def measurements(workspace: Workspace, task: TaskSpec, train: bool) -> Iterator[tuple[str, Callable[[], StandinScore]]]:
    """Yield the columns of a task, each with the function that measures it."""
    measure = measure_dense if task.dense else measure_pooled
    twin = next(slug for slug in TWINS if compatible(workspace.catalog.model(slug), task))
    for column, model in zip(COLUMNS, ("band_stats", twin, "rcf"), strict=False):
        if compatible(workspace.catalog.model(model), task):
            yield column, partial(measure, workspace, model, task.slug)
    for reach in REACHES if train else ():
        if task.pixels is None or reach <= task.pixels:
            yield f"reach {reach}", partial(_reach, workspace, task, reach)
    if task.dense:
        split = workspace.splits(task.slug)["test"]
        yield "oracle", lambda: score_maps(split, lambda item: oracle_map(split, item))
    else:
        yield "oracle", lambda: oracle_pooled(workspace, task.slug)


def _reach(workspace: Workspace, task: TaskSpec, reach: int) -> StandinScore:
    return measure_reach(prepare(workspace.splits(task.slug)), reach)


def measured(workspace: Workspace, task: TaskSpec, train: bool) -> dict[str, StandinScore]:
    """Return every column of a task; results on the same stand-in are cached."""
    splits = workspace.splits(task.slug).values()
    identity = [task.slug, *((split.items_sha256, split.labels_sha256) for split in splits)]
    path = geofm_cache() / "standins" / "measured" / f"{task.slug}-{content_hash(identity)[:12]}.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for column, measure in measurements(workspace, task, train):
        if column not in found:
            started = time.perf_counter()
            found[column] = asdict(measure())
            log.warning(
                "%s, %s: %.3f in %.0f s", task.slug, column, found[column]["value"], time.perf_counter() - started
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, found)
    return {column: StandinScore(**values) for column, values in found.items()}


def table(rows: Iterable[tuple[TaskSpec, dict[str, StandinScore]]]) -> str:
    """Return Markdown, one row per stand-in."""
    lines = ["| stand-in | metric | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for task, found in rows:
        cells = [_cell(found.get(column)) for column in COLUMNS]
        lines.append(f"| `{task.slug}` | {task.metric} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: StandinScore | None) -> str:
    if found is None:
        return "-"
    digits = 1 if abs(found.value) > 5 else 3
    ends = "" if found.low is None else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return f"{found.value:.{digits}f}{ends}"


def main() -> None:
    """Measure the given stand-ins, or all, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the difficulty of the stand-ins.")
    parser.add_argument("tasks", nargs="*", help="slugs of stand-ins; default: all")
    parser.add_argument("--out", type=Path, help="file for the table; default: standard output")
    parser.add_argument("--quick", action="store_true", help="skip the trained networks (minutes per stand-in)")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    catalog = load_catalog()
    workspace = Workspace(catalog, Settings())
    tasks = [catalog.task(slug) for slug in chosen.tasks] or [task for task in catalog.tasks.values() if task.simulated]
    text = table([(task, measured(workspace, task, not chosen.quick)) for task in tasks])
    if chosen.out:
        chosen.out.write_text(text, encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
