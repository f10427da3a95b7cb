"""Measurement of a case of any kind, or reuse of its record. Imports without torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geofm_eval.catalog import Case, Catalog
from geofm_eval.catalog.marking import markers
from geofm_eval.errors import ContractError, DataError
from geofm_eval.expected import CaseRangeVerdict
from geofm_eval.records import CaseInfo, Outcome, Record, RunInfo, content_key, read_checked, record_path
from geofm_eval.records.examples import Example

if TYPE_CHECKING:
    from geofm_eval.workspace import Workspace


@dataclass(frozen=True)
class TrainingOptions:
    """Options of trained cases.

    Args:
        seeds: number of trainings per case.
        first_seed: seed of the first training; the others follow.
        training: slug of the training recipe; None takes the default of the task.
        recipe: slug of the recipe of the inputs; None takes the default of the task.
        batch: samples per step; None takes the training recipe's.
        dtype: dtype of forward passes, ``float32`` or ``bf16``.
    """

    seeds: int = 3
    first_seed: int = 0
    training: str | None = None
    recipe: str | None = None
    batch: int | None = None
    dtype: str = "float32"


@dataclass(frozen=True)
class Context:
    """Shared context of cases that are measured together.

    Args:
        workspace: splits, backbones, feature blocks and sweeps, each computed once.
        run: name of the run in the records.
        earlier: folder of a run whose records are reused if nothing that they depend on has changed; None measures
            every case.
        training: options of trained cases.
        similarity: selected similarity cases in order; a backbone is compared with those before it.
    """

    workspace: "Workspace"
    run: str = "notebook"
    earlier: Path | None = None
    training: TrainingOptions = field(default_factory=TrainingOptions)
    similarity: Sequence[Case] = ()


class Built(NamedTuple):
    """Result of a measurement that no earlier record holds.

    Args:
        sections: fields of :class:`Record`.
        outcomes: per-sample arrays, if any.
        examples: test chips with their predictions.
    """

    sections: dict[str, Any]
    outcomes: dict[str, np.ndarray] | None = None
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Measurement:
    """Measurement of one case.

    Args:
        record: record, with the outcome of a passed case until the assertions run.
        outcomes: per-sample arrays to write next to the record; None if there are none, or they exist already.
        test_items: declared number of test samples; with shuffle splits, of those that a shuffle tests.
        reused: whether the record is from an earlier session of the run.
        judgement: verdict on its expected ranges; None before it is judged.
        rewritten: whether verdict or ranges of a reused record have changed.
        examples: test chips with their predictions, for a contact sheet.
    """

    record: Record
    outcomes: dict[str, np.ndarray] | None
    test_items: int
    reused: bool = False
    judgement: CaseRangeVerdict | None = None
    rewritten: bool = False
    examples: tuple[Example, ...] = ()

    @property
    def unconverged(self) -> list[tuple[float, int]]:
        """Label fraction and draw of every solve that did not converge."""
        selection = self.record.selection
        return [(c.fraction, c.draw) for c in (selection.choices if selection else ()) if c.converged is False]

    @property
    def moved(self) -> set[bool]:
        """Whether the training changed the backbone's parameters, over all seeds."""
        training = self.record.training
        if training is None:
            return set()
        return {one.backbone_sha256 != (one.initial_sha256 or training.backbone_sha256) for one in training.seeds}

    def largest(self, arm: str) -> float:
        """Return the largest absolute total drift of any tap of an arm."""
        drift = self.record.drift
        assert drift is not None
        return max(abs(value) for row in drift.values["total"][arm] for value in row if value is not None)

    @property
    def tuned(self) -> bool:
        """Whether the training should change the backbone."""
        training = self.record.training
        return training is not None and training.tuning != "frozen"


def measured(
    context: Context,
    case: Case,
    content: str | None,
    methods: Mapping[str, int],
    test_items: int,
    build: Callable[[], Built],
) -> Measurement:
    """Measure a case, or reuse its record from the earlier run.

    Args:
        context: workspace, run and options.
        case: case to measure.
        content: hash of everything that determines the result; None if every measurement differs.
        methods: versions of the methods that compute the result.
        test_items: declared number of test samples.
        build: function that measures the case.

    Raises:
        Unavailable: data, weights or a package are missing.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    task = context.workspace.catalog.task(case.task)
    key = None if content is None else content_key(case.nodename, task.version, content, methods)
    if context.earlier is not None and key is not None:
        earlier = earlier_record(context.earlier, case, key)
        if earlier is not None:
            return Measurement(earlier, None, test_items, reused=True)
    built = build()
    record = Record(
        run=RunInfo(name=context.run),
        case=case_info(case, context.workspace.catalog),
        outcome=Outcome(status="passed", verdict="no_range"),
        content_key=key,
        **built.sections,
    )
    return Measurement(record, built.outcomes, test_items, examples=built.examples)


def earlier_record(run_folder: Path, case: Case, key: str) -> Record | None:
    """Return the record of an earlier session if it passed, is intact, and nothing that it depends on has changed."""
    path = record_path(run_folder, case.kind, case.id)
    if not path.exists():
        return None
    try:
        record = read_checked(run_folder, path)
    except DataError:
        return None
    return record if record.outcome.status == "passed" and record.content_key == key else None


def case_info(case: Case, catalog: Catalog) -> CaseInfo:
    """Return the description of a case for its record."""
    return CaseInfo(
        kind=case.kind,
        model=case.model,
        task=case.task,
        adaptation=case.adaptation,
        layer=case.layer,
        id=case.id,
        task_version=catalog.tasks[case.task].version,
        markers=markers(case, catalog),
    )


def measure_case(workspace: "Workspace", case: Case, training: TrainingOptions | None = None) -> Record:
    """Measure one case and return its record, with scores and their intervals.

    Args:
        workspace: splits, backbones, feature blocks and sweeps.
        case: a case, for example ``Case("probe", "pocket_mae", "eurosat_sim", "linear", "block03")``.
        training: options of trained cases; None takes the defaults.

    Raises:
        ContractError: cases of this kind are measured by pytest only (throughput).
        Unavailable: data, weights or a package are missing.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    return measurement_of(Context(workspace, training=training or TrainingOptions()), case).record


def measurement_of(context: Context, case: Case) -> Measurement:
    """Measure one case, or reuse its record from the earlier run of the session; see :func:`measure_case`."""
    # Imported here, because all of them import torch.
    from geofm_eval.measure.drift import measure_drift
    from geofm_eval.measure.probe import measure_probe
    from geofm_eval.measure.similarity import measure_similarity
    from geofm_eval.measure.training import measure_training

    measures: dict[str, Callable[[Context, Case], Measurement]] = {
        "probe": measure_probe,
        "segment": measure_training,
        "tune": measure_training,
        "drift": measure_drift,
        "similarity": measure_similarity,
    }
    if case.kind not in measures:
        raise ContractError(
            f"{case.id}: found kind '{case.kind}', expected one of {', '.join(measures)}; "
            "run benchmarks/test_throughput.py to time a forward pass"
        )
    return measures[case.kind](context, case)
