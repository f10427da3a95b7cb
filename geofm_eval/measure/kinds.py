"""Measurement function of each kind of case."""

from typing import TYPE_CHECKING

from geofm_eval.catalog import Case
from geofm_eval.errors import ContractError
from geofm_eval.measure.case import Context, Measurement, TrainingOptions
from geofm_eval.records import Record

if TYPE_CHECKING:
    from geofm_eval.workspace import Workspace


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
    """Measure one case, or reuse its record from the earlier run of the session.

    Raises:
        ContractError: cases of this kind are measured by pytest only (throughput).
        Unavailable: data, weights or a package are missing.
        GeofmError: a data, weights, contract or store error of the step that failed.
    """
    # Imported here, because all of them import torch.
    if case.kind == "probe":
        from geofm_eval.measure.probe import measure_probe

        return measure_probe(context, case)
    if case.kind in ("segment", "tune"):
        from geofm_eval.measure.training import measure_training

        return measure_training(context, case)
    if case.kind == "drift":
        from geofm_eval.measure.drift import measure_drift

        return measure_drift(context, case)
    if case.kind == "similarity":
        from geofm_eval.measure.similarity import measure_similarity

        return measure_similarity(context, case)
    raise ContractError(
        f"{case.id}: found kind '{case.kind}', expected probe, segment, tune, drift or similarity; "
        "run benchmarks/test_throughput.py to time a forward pass"
    )
