"""Drift records that may be in one table: same task, data, recipe and schedule."""

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import DenseAdaptation, dense_adaptation
from geofm_eval.catalog.dense import LORA_PARTS, TUNINGS
from geofm_eval.memo import once
from geofm_eval.records import Drift, Record
from geofm_eval.results.comparison import Comparison, Subject, identity
from geofm_eval.results.run import DRIFT, Run

VERDICTS_ON = ("total", "local", "weight")
"""Measures that have a verdict each."""

NAMES: Mapping[str, str] = {
    "total": "total drift (1 - debiased CKA)",
    "local": "local drift (1 - debiased CKA, fed the frozen input)",
    "token": "total drift of single tokens (1 - debiased CKA)",
    "procrustes": "squared Procrustes distance",
    "distance": "relative distance in one basis",
    "weight": "relative weight change (Frobenius)",
    "weight_spectral": "relative weight change (spectral)",
    "stable_rank": "stable rank of the weight change",
}
"""Measures in words."""


@dataclass(frozen=True)
class DriftCell:
    """One tuned backbone."""

    record: Record
    adaptation: DenseAdaptation

    @property
    def model(self) -> str:
        """Slug of the model."""
        return self.record.case.model

    @property
    def name(self) -> str:
        """Adaptation, and the block that a single-level decoder reads."""
        layer = self.record.case.layer
        return self.record.case.adaptation + ("" if layer == "multi" else f"-{layer}")

    @property
    def drift(self) -> Drift:
        """What was measured."""
        return cast(Drift, self.record.drift)

    @cached_property
    def blocks(self) -> list[str]:
        """Blocks in the order of depth."""
        return [tap for tap in self.drift.taps if tap.startswith("block") and "." not in tap]

    @cached_property
    def tuned_parts(self) -> tuple[str, ...]:
        """Parts that the tuning could change, under the names by which they are reverted."""
        tuned = LORA_PARTS.get(self.adaptation.tuning, self.parts)
        return tuple(dict.fromkeys("qkv" if part in ("q", "k", "v") else part for part in tuned))

    @cached_property
    def parts(self) -> list[str]:
        """Parts of a block in the order of the computation."""
        inside = f"{self.blocks[0]}."
        return [tap.removeprefix(inside) for tap in self.drift.taps if tap.startswith(inside)]

    def mean(self, measure: str, arm: str) -> dict[str, float]:
        """Mean over repetitions by tap; NaN where a measure does not apply."""
        rows = self.rows(measure, arm)
        known = np.isfinite(rows).all(0) if len(rows) else np.zeros(len(self.drift.taps), dtype=bool)
        means = np.where(known, np.where(known, rows, 0.0).mean(0) if len(rows) else 0.0, np.nan)
        return dict(zip(self.drift.taps, means.tolist(), strict=True))

    def rows(self, measure: str, arm: str) -> NDArray[np.float64]:
        """(repetitions, taps); NaN where there is no value, no row where the arm was not measured."""
        rows = self.drift.values.get(measure, {}).get(arm, ())
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.drift.taps))

    def over_blocks(self, measure: str, arm: str) -> float | None:
        """Mean over blocks and repetitions; None where the arm was not measured."""
        means = self.mean(measure, arm)
        values = [means[block] for block in self.blocks]
        return float(np.mean(values)) if np.isfinite(values).all() else None


@dataclass(frozen=True)
class DriftCases:
    """Tuned backbones of one task that may be compared, by model, adaptation and layer; ``slug`` names the files."""

    slug: str
    cells: tuple[DriftCell, ...]
    left_out: dict[str, str]

    @property
    def by_tuning(self) -> dict[str, "DriftCases"]:
        """The cases of each tuning, in the order of ``TUNINGS``, for figures."""
        found = {tuning: tuple(c for c in self.cells if c.adaptation.tuning == tuning) for tuning in TUNINGS}
        return {tuning: DriftCases(self.slug, own, self.left_out) for tuning, own in found.items() if own}

    @cached_property
    def comparison(self) -> Comparison:
        """The same records as a comparison, for what its tables share with those of probes."""
        models = {cell.model: {c.name: c.record for c in self.cells if c.model == cell.model} for cell in self.cells}
        return Comparison(self.slug, tuple(Subject(model, taps, {}) for model, taps in sorted(models.items())), {})


@once
def comparable_drifts(run: Run) -> tuple[list[DriftCases], list[str]]:
    """Group the drift records of a run; what may not be compared is split, and named."""
    groups: defaultdict[str, defaultdict[str, list[DriftCell]]] = defaultdict(lambda: defaultdict(list))
    for record in run.scored_of(DRIFT):
        adaptation = dense_adaptation(record.case.adaptation)
        if adaptation is not None and record.training is not None:
            schedule = {**identity(record), "schedule": str(record.training.recipe.get("slug"))}
            groups[record.case.task][json.dumps(schedule, sort_keys=True)].append(DriftCell(record, adaptation))
    gaps = run.gaps(DRIFT)
    found, problems = [], []
    for task, parts in sorted(groups.items()):
        left_out = {case_id: why for case_id, why in gaps.items() if case_id.split("-")[1] == task}
        ordered = sorted(parts.values(), key=len, reverse=True)
        for number, cells in enumerate(ordered, start=1):
            slug = f"{task}-drift" + (f"-{number}" if len(ordered) > 1 else "")
            found.append(DriftCases(slug, tuple(sorted(cells, key=_order)), left_out))
        if len(ordered) > 1:
            problems.append(f"{task}: drift records differ in data, recipe or schedule: split in {len(ordered)}")
    return found, problems


def _order(cell: DriftCell) -> tuple[bool, str, int, float, str]:
    tuning = cell.adaptation.tuning
    place = TUNINGS.index(tuning) if tuning in TUNINGS else len(TUNINGS)
    return cell.record.case.is_control, cell.model, place, cell.adaptation.fraction, cell.name
