"""Has a change of code moved the committed reference? A few of its cases are measured again and compared."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.data.split import ALL
from geofm_eval.measure.scores import score_fractions
from geofm_eval.records import Record, Score
from geofm_eval.workspace import Settings, Workspace

TOLERANCE = 0.002
"""Another CPU or BLAS rounds features and solves otherwise; a change of method moves scores by more than this."""

MEASURED_ANEW = [
    ("band_stats", "neuco_sim_biomass_mean", "ridge"),
    ("pocket_mae", "neuco_sim_biomass_mean", "ridge"),
    ("band_stats", "eurosat_sim", "linear"),
    ("band_stats", "eurosat_sim", "knn"),
]


@dataclass(frozen=True)
class MovedScore:
    """A score of the reference that the present code does not give."""

    case: str
    fraction: str
    before: float
    after: float

    def __str__(self) -> str:
        change = self.after - self.before
        return f"{self.case} at {self.fraction} labels: {self.before:.4f} -> {self.after:.4f} ({change:+.4f})"


def moved(case: str, before: Mapping[str, Score], after: Mapping[str, Score]) -> Iterator[MovedScore]:
    """Scores of a case that differ by more than rounding."""
    for fraction, score in after.items():
        if abs(score.value - before[fraction].value) > TOLERANCE:
            yield MovedScore(case, fraction, before[fraction].value, score.value)


@pytest.fixture(scope="module")
def reference(reference_records: list[Record]) -> dict[str, Record]:
    return {record.case.id: record for record in reference_records if record.case.kind == "probe"}


@pytest.mark.slow
def test_the_present_code_gives_the_scores_of_the_reference(reference, shared_cache, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(shared_cache))
    catalog = load_catalog()
    workspace = Workspace(catalog, Settings())
    found = []
    for model, task, adaptation in MEASURED_ANEW:
        sweep, splits = workspace.sweep(model, task, adaptation), workspace.splits(task)
        for tap in sweep.taps:
            rows = sorted(sweep.rows_for(tap), key=lambda row: (row.fraction, row.draw))
            case = f"{model}-{task}-{adaptation}-{tap}"
            scores = score_fractions(catalog.task(task).metric, rows, splits.get(ALL, splits.get("test")))
            found += moved(case, reference[case].scores, scores)
    listed = "\n".join(str(one) for one in sorted(found, key=lambda one: -abs(one.after - one.before)))
    assert not found, f"{len(found)} scores of reports/reference moved (make reference measures it again):\n{listed}"


def test_what_moved_is_named_with_its_change(reference):
    case, record = next((case, record) for case, record in reference.items() if record.outcome.status == "passed")
    shifted = {key: score.model_copy(update={"value": score.value - 0.05}) for key, score in record.scores.items()}
    found = list(moved(case, record.scores, shifted))
    assert len(found) == len(record.scores)
    assert str(found[0]).startswith(f"{case} at ")
    assert str(found[0]).endswith("(-0.0500)")
    assert not list(moved(case, record.scores, record.scores))


def test_the_reference_was_measured_with_the_present_tasks_and_weights(reference):
    workspace = Workspace(load_catalog(), Settings())
    catalog, weights = workspace.catalog, {}
    for record in reference.values():
        model = catalog.model(record.case.model)
        if model.weights is not None and model.weights.packaged and model.slug not in weights:
            weights[model.slug] = workspace.backbone(model.slug, record.case.task).weights_sha256
    for case, record in reference.items():
        task, model = catalog.task(record.case.task), catalog.model(record.case.model)
        assert record.case.task_version == task.version, f"{case} is of version {record.case.task_version} of its task"
        if model.weights is not None and model.weights.packaged:
            assert record.provenance.weights_sha256 == weights[model.slug], f"{case} was measured with other weights"
