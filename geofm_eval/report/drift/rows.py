"""CSV of drift: every value, contrast and loss in full precision."""

from collections.abc import Iterator

import numpy as np

from geofm_eval.records import Contrast, Reverted
from geofm_eval.report.drift.tables import part_drift
from geofm_eval.report.formats import Row, attributes, described
from geofm_eval.results.drift_cases import VERDICTS_ON, DriftCases, DriftCell
from geofm_eval.stats.over_seeds import Estimate, estimate

CASE = "evidence task model adaptation layer"


def layer_rows(cases: DriftCases) -> list[Row]:
    """One row per pair of a frozen and a tuned tap: CKA, first seed."""
    return [
        {
            **described(cell.record, CASE), "n": cell.drift.n,
            "frozen_tap": row, "tuned_tap": column, "debiased": debiased, "biased": biased,
        }
        for cell in cases.cells
        if (matrix := cell.drift.layers) is not None
        for row, own, plain in zip(matrix.rows, matrix.debiased, matrix.biased, strict=True)
        for column, debiased, biased in zip(matrix.columns, own, plain, strict=True)
    ]  # fmt: skip


def lost_rows(cases: DriftCases) -> list[Row]:
    """One row per part or block that could change: what reverting it costs, over how much it drifted."""
    return [
        {
            **described(cell.record, CASE),
            "part": name,
            **{measure: drifts[measure].get(name) for measure in VERDICTS_ON},
            **attributes(estimate(lost, cell.drift.units), lost="value", low="low", high="high"),
        }
        for cell in cases.cells
        for drifts in [{measure: part_drift(cell, measure) for measure in VERDICTS_ON}]
        for name, lost in cell.drift.reverted.items()
        if name in cell.tuned_parts or name in cell.blocks
    ]


def value_rows(cases: DriftCases) -> list[Row]:
    """One row per tap, measure, arm and repetition."""
    return [
        {
            **described(cell.record, CASE), "n": cell.drift.n,
            "measure": measure, "arm": arm, "repetition": number, "tap": tap, "value": value,
        }
        for cell in cases.cells
        for measure, arms in cell.drift.values.items()
        for arm, repetitions in arms.items()
        for number, row in enumerate(repetitions)
        for tap, value in zip(cell.drift.taps, row, strict=True)
    ]  # fmt: skip


def contrast_rows(cases: DriftCases) -> list[Row]:
    """One row per contrast, with its interval."""
    return [
        {
            **described(cell.record, CASE), "contrast": kind, "measure": measure, "part": part,
            **attributes(_estimated(kind, one, cell), "value low high"),
            "seeds": len(one.per_seed), "item_error": one.error,
        }
        for cell in cases.cells
        for kind, measure, part, one in _contrasts(cell)
    ]  # fmt: skip


def _estimated(kind: str, one: Contrast | Reverted, cell: DriftCell) -> Estimate:
    # Values of a seed against pairs of seeds depend on each other: their spread makes no interval.
    return Estimate(float(np.mean(one.per_seed))) if kind == "above_seeds" else estimate(one, cell.drift.units)


def _contrasts(cell: DriftCell) -> Iterator[tuple[str, str, str, Contrast | Reverted]]:
    drift = cell.drift
    for kind in ("whole", "raw_whole", "depth", "raw_depth", "above_seeds"):
        for measure, one in getattr(drift, kind).items():
            yield kind, measure, "", one
    for kind in ("parts", "raw_parts", "leads", "raw_leads"):
        for measure, parts in getattr(drift, kind).items():
            for part, one in parts.items():
                yield kind, measure, part, one
    for part, one in drift.reverted.items():
        yield "reverted", "score", part, one
