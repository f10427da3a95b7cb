"""Cases of tuned backbones: trainings for tasks with one label per sample, and the drift caused by any tuning."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from geofm_eval.catalog.cases import Case, belongs, dense_subject, only_bench, suite_tasks
from geofm_eval.catalog.dense import FINAL, KIND, MULTI, POOLED, TUNINGS, DenseAdaptation, dense_adaptation
from geofm_eval.catalog.models import ModelSpec
from geofm_eval.catalog.tasks import TaskSpec

if TYPE_CHECKING:
    from geofm_eval.catalog.load import Catalog

TUNE, DRIFT = "tune", "drift"
"""Kinds of the cases that tune a backbone with a linear decoder, and that measure the drift caused by tuning."""


def tune_cases(
    catalog: "Catalog",
    suite: str = "study",
    *,
    models: Sequence[str] = (),
    tasks: Sequence[str] = (),
    adaptations: Sequence[str] = (),
) -> list[Case]:
    """List the cases of a suite that tune a backbone for a task with one label per sample.

    Trainings are expensive: only tasks with ``TaskSpec.tuned`` are selected, or all named tasks if an adaptation is
    also named. Random twins are only tuned fully.

    Args:
        catalog: models and tasks.
        suite: ``study`` or ``extended``; ``bench``, and ``study`` on stand-ins, have no such cases.
        models: slugs; empty takes the suite's.
        tasks: slugs; empty takes the suite's.
        adaptations: slugs, for example ``pooled_full_p010``; empty takes the suite's.
    """
    asked = [found for slug in adaptations if (found := dense_adaptation(slug)) is not None and found.pooled]
    if adaptations and not asked:
        return []
    chosen = [catalog.model(m) for m in models] or list(catalog.models.values())
    wanted = [catalog.task(t) for t in tasks] or suite_tasks(catalog, suite)
    return [
        Case(TUNE, model.slug, task.slug, adaptation.slug, FINAL)
        for model, task in product(chosen, wanted)
        if asked or not only_bench(suite, task)
        if models or _takes_part(model, task, suite, named=bool(tasks))
        if _fits(model, task, named=bool(models), asked=bool(asked))
        for adaptation in asked or _suite_adaptations(model, task)
    ]


def drift_cases(catalog: "Catalog", trained: Sequence[Case]) -> list[Case]:
    """List one drift case for every case that tunes a backbone; layer ``multi`` means all taps of pooled decoders.

    Args:
        catalog: models; networks trained from scratch cannot drift.
        trained: cases of the kinds ``segment`` and ``tune``.
    """
    found = []
    for case in trained:
        adaptation = dense_adaptation(case.adaptation)
        tuned = adaptation is not None and adaptation.tuning != "frozen" and not catalog.model(case.model).from_scratch
        if adaptation is not None and tuned:
            layer = MULTI if adaptation.pooled else case.layer
            found.append(Case(DRIFT, case.model, case.task, case.adaptation, layer))
    return found


def trained_case(case: Case, task: TaskSpec) -> Case:
    """Return the case whose tuned backbone a drift case measures."""
    kind, layer = (KIND, case.layer) if task.dense else (TUNE, FINAL)
    return Case(kind, case.model, case.task, case.adaptation, layer)


def _takes_part(model: ModelSpec, task: TaskSpec, suite: str, named: bool) -> bool:
    again = model.simulated_pretraining and model.variant_of is not None
    return belongs(suite, task, model, *(() if named else (task,))) and not model.rgb_only and not again


def _fits(model: ModelSpec, task: TaskSpec, named: bool, asked: bool) -> bool:
    network = model.depth > 0 and not model.from_scratch and not model.without_network
    subject = not task.dense and network and dense_subject(model, task, named)
    return subject and (task.tuned or asked)


def _suite_adaptations(model: ModelSpec, task: TaskSpec) -> list[DenseAdaptation]:
    # Shuffle splits have too few samples to train on a tenth of them.
    fractions = (1.0,) if task.protocol == "shuffle_splits" else (0.1, 1.0)
    tunings = ("full",) if model.is_control else TUNINGS
    return [DenseAdaptation(POOLED, tuning, fraction) for tuning in tunings for fraction in fractions]
