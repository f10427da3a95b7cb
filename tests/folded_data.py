"""Own data without images that are cross-validated: splits, solved probes and a run of their records."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.budget import label_budget
from geofm_eval.data.division import divided
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.split import ALL, Split
from geofm_eval.measure.probe import CRITERIA, _choice
from geofm_eval.measure.scores import near_taps, outcome_arrays, resample_arrays, score_fractions, validated
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import Probe, Sweep, solve_together
from geofm_eval.records import CaseInfo, Outcome, Provenance, Record, RunInfo, Selection, write_record
from geofm_eval.results.comparison import Subject, comparisons
from geofm_eval.results.run import Run, read_run

Features = Mapping[str, np.ndarray]


def task(**fields: Any) -> TaskSpec:
    settings = {"slug": "mine", "title": "Mine", "reader": "folder", "root": "/data", "bands": ("B02",)}
    more = {"product": "any", "classes": ("a", "b", "c"), "label_fractions": (0.5, 1.0), "draws": 2}
    return TaskSpec.model_validate(settings | more | fields)


def numbers(**fields: Any) -> TaskSpec:
    return task(kind="regression", metric="r2", classes=(), label_fractions=(1.0,), **fields)


def opened(
    spec: TaskSpec, labels: np.ndarray, groups: np.ndarray | None = None, places: np.ndarray | None = None
) -> dict[str, Split]:
    """The only split of data that are divided into folds."""
    items = tuple(
        Item(
            f"s{number:03d}",
            Path(f"{number}.tif"),
            label,
            None if groups is None else f"g{groups[number]}",
            None if places is None else tuple(places[number].tolist()),
        )
        for number, label in enumerate(labels.tolist())
    )
    listing = divided(spec, Pool(Path("/data"), items, None))
    folds = tuple(listing.folds[item.id] for item in listing.items[ALL])
    return {ALL: Split(spec, ALL, listing.items[ALL], "own", listing.load, folds=folds, rule=listing.rule)}


def swept(probe: Probe, spec: TaskSpec, splits: dict[str, Split], features: Features) -> Sweep:
    """Solve a probe of features (n, D) by tap."""
    budget, whole = label_budget(spec, splits, "matched", spec.seed), splits[ALL]
    problem = ProbeProblem(
        features=lambda tap, split: features[tap],
        labels={ALL: whole.labels},
        taps=tuple(features),
        subsets=budget.subsets,
        plans=budget.plans,
        n_classes=len(spec.classes),
        device=torch.device("cpu"),
        seed=spec.seed,
        groups={ALL: whole.groups},
        folds=whole.fold_count,
    )
    return solve_together(probe, [problem], "mean")[0]


def recorded(sweep: Sweep, spec: TaskSpec, splits: dict[str, Split], run: Path, model: str = "m") -> Run:
    """Add the records of a solved probe to a run."""
    whole = splits[ALL]
    for tap in sweep.taps:
        rows = sorted(sweep.rows_for(tap), key=lambda row: (row.fraction, row.draw))
        case = f"{model}-{spec.slug}-{sweep.probe}-{tap}"
        record = Record(
            run=RunInfo(name=run.name),
            case=CaseInfo(
                kind="probe", model=model, task=spec.slug, adaptation=sweep.probe, layer=tap, id=case, task_version=1
            ),
            outcome=Outcome(status="passed", verdict="no_range"),
            scores=score_fractions(spec.metric, rows, whole),
            selection=Selection(
                split=ALL,
                criterion=CRITERIA.get(sweep.probe, "none"),
                candidates=rows[0].candidates,
                choices=tuple(_choice(row, row.val_kind, whole.fold_count) for row in rows),
                near=near_taps(sweep.taps, validated(sweep), sweep.resamples),
            ),
            evidence="own",
            provenance=Provenance(
                protocol="folds",
                split_definition="own",
                split_rule=dict(whole.rule),
                items_sha256={ALL: "items"},
                labels_sha256={ALL: "labels"},
                weights_sha256=model,
            ),
        )
        arrays = outcome_arrays(spec, rows, whole) | resample_arrays(sweep.resamples, sweep.taps.index(tap))
        write_record(record, arrays, run)
    return read_run(run)


def planted(
    seed: int, n: int = 120, classes: int = 3, taps: int = 3, group: int = 4
) -> tuple[Features, np.ndarray, Any]:
    """Features of which the second tap knows most; samples of a group are alike."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // 4
    labels = rng.integers(0, 3, n)
    common = rng.normal(size=(n // 4 + 1, 8))[groups]
    found = {}
    for number in range(taps):
        strength = (0.4, 1.2, 0.8)[number % 3]
        signal = np.eye(8)[labels] * strength
        name = "final" if number == taps - 1 else f"block{number:02d}"
        found[name] = (signal + common + rng.normal(size=(n, 8))).astype(np.float32)
    return found, labels, groups


def only(run: Run) -> Subject:
    """The only model of a run with one comparison."""
    (found,), problems = comparisons(run)
    assert not problems
    return found.subjects[0]
