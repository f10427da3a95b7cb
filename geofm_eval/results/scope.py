"""Records that count in verdicts: one probe per task, pretrained backbones, no controls and nothing twice."""

from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.memo import once
from geofm_eval.records import Record, marks
from geofm_eval.results.comparison import Comparison, Subject, comparisons
from geofm_eval.results.run import Run

CONTROL_TARGETS = ("random_reg", "nodata")
"""Targets of NeuCo-Bench that cannot be predicted, or are trivial to predict."""


@dataclass(frozen=True)
class Probed:
    """One model on one task under one probe, all of its taps measured.

    Args:
        comparison: models that it may be compared with.
        subject: the model and its records.
        kind: ``linear``, ``ridge``, ``knn``, or ``dense`` of a task with a value per pixel.
        aside: why the verdict does not count it; empty for what counts.
    """

    comparison: Comparison
    subject: Subject
    kind: str
    aside: tuple[str, ...]

    @property
    def group(self) -> str:
        """What it is reported with."""
        return ", ".join(self.aside) or self.kind

    @property
    def name(self) -> str:
        """Return ``model-task-adaptation``: ``mae_vits16-eurosat-linear``."""
        case = self.subject.record.case
        return f"{case.model}-{case.task}-{case.adaptation}"

    @property
    def data(self) -> str:
        """Equal for subjects that were tested on the same items."""
        return data_of(self.subject.record)


@once
def probed(run: Run, catalog: Catalog) -> tuple[Probed, ...]:
    """Every subject of a run that has more taps than one and all of those that were planned."""
    scored = run.scored
    models, tasks = {r.case.model for r in scored}, {r.case.task for r in scored}
    found: list[Probed] = []
    for comparison in comparisons(run)[0]:
        case = comparison.record.case
        adaptation = catalog.adaptations.get(case.adaptation)
        probe = adaptation.probe if adaptation is not None else case.adaptation.split("_")[0]
        kind = "dense" if comparison.record.provenance.pooling == "tokens" else probe
        reasons = [*excluded_task(case.task, tasks, catalog), *(["kNN"] if kind == "knn" else [])]
        reasons += excluded_pooling(comparison.record)
        found += [
            Probed(comparison, subject, kind, (*reasons, *excluded_model(subject.record, models, catalog)))
            for subject in comparison.subjects
            if len(subject.taps) > 1 and not subject.missing
        ]
    return tuple(found)


def data_of(record: Record) -> str:
    """Equal for records that were tested on the same items, whatever they were trained on.

    A split protocol has a test split; shuffles test all items in turn. A record that lists no items is its task's.
    """
    items = record.provenance.items_sha256
    return items.get("test") or items.get("all") or record.case.task


def excluded_model(record: Record, models: set[str], catalog: Catalog) -> list[str]:
    """Why a verdict does not count a model: it is a control, marked, a variant, or knows simulated scenes alone.

    A variant counts where none of ``models``, those of the run, is what it varies.
    """
    spec = catalog.models.get(record.case.model)
    if record.case.is_control:
        return ["controls"]
    if reasons := marks(record):
        return list(reasons)
    if spec is None:
        return []
    if spec.variant_of in models:
        return ["variants of models"]
    real = record.evidence != "simulated"
    return ["pretrained on simulated scenes"] if spec.simulated_pretraining and real else []


def excluded_task(task: str, tasks: set[str], catalog: Catalog) -> list[str]:
    """Why a verdict does not count a task: nobody should predict it, or it varies another one of the run."""
    spec = catalog.tasks.get(task)
    if spec is None:
        return []
    if spec.options.get("target") in CONTROL_TARGETS:
        return ["control targets"]
    return ["variants of tasks"] if spec.variant_of in tasks else []


def excluded_pooling(record: Record) -> list[str]:
    """Why a verdict does not count a pooling: it is not the one that recipes name."""
    return [] if record.provenance.pooling in ("mean", "tokens", None) else [f"{record.provenance.pooling} pooling"]
