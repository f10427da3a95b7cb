"""Records of NeuCo-Bench's own probe, one table per task and data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import is_neuco
from geofm_eval.memo import once
from geofm_eval.records import Record
from geofm_eval.results.comparison import split_records, tap_order
from geofm_eval.results.run import PROBE, Run

COLUMNS = ("adamw", "adamw_mended", "ridge")
"""Adaptations that are shown side by side."""


@dataclass(frozen=True)
class NeucoComparison:
    """Records of one task under NeuCo-Bench's own probe and under ridge, by adaptation, model and tap."""

    slug: str
    records: dict[tuple[str, str, str], Record]

    @property
    def first(self) -> Record:
        """One of the records, for what all share."""
        return next(iter(self.records.values()))

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Models and taps that the probe was trained on, taps from shallow to deep."""
        own = {(model, tap) for adaptation, model, tap in self.records if is_neuco(adaptation)}
        return sorted(own, key=lambda pair: (pair[0], tap_order(pair[1])))


@once
def neuco_comparisons(run: Run) -> list[NeucoComparison]:
    """What a run has of the probe, one table per task and data."""
    scored = run.scored_of(PROBE)
    tasks = sorted({record.case.task for record in scored if is_neuco(record.case.adaptation)})
    return [
        comparison
        for task in tasks
        for comparison in _comparisons(task, [one for one in scored if one.case.task == task])
    ]


def _comparisons(task: str, records: Sequence[Record]) -> Iterator[NeucoComparison]:
    shown = [one for one in records if one.case.adaptation in COLUMNS]
    for number, part in enumerate(split_records(shown)):
        found = {(one.case.adaptation, one.case.model, one.case.layer): one for one in part}
        comparison = NeucoComparison(f"{task}-neuco" + (f"-{number + 1}" if number else ""), found)
        if comparison.rows:
            yield comparison
