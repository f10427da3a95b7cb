"""Similarity records of a run, one table per task."""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import cast

from geofm_eval.memo import once
from geofm_eval.records import Matrix, Record, Similarity
from geofm_eval.results.comparison import Comparison, Subject, split_records, split_sentence
from geofm_eval.results.run import SIMILARITY, Run


@dataclass(frozen=True)
class Pair:
    """Two different backbones: taps of the first are the matrix's rows, those of the other its columns."""

    model: str
    other: str
    matrix: Matrix

    @property
    def deep(self) -> bool:
        """True when both have layers to compare."""
        return min(len(self.matrix.rows), len(self.matrix.columns)) > 1


@dataclass(frozen=True)
class SimilarityTable:
    """Backbones whose layers were compared on the same items, one record each, controls last."""

    comparison: Comparison

    @property
    def slug(self) -> str:
        """Name of the files."""
        return self.comparison.slug

    @cached_property
    def found(self) -> dict[str, Similarity]:
        """What was measured, by model."""
        return {subject.model: cast(Similarity, subject.record.similarity) for subject in self.comparison.subjects}

    @property
    def n(self) -> int:
        """Items, the same for all values."""
        return next(iter(self.found.values())).n

    @cached_property
    def pairs(self) -> list[Pair]:
        """All pairs of different backbones, each once."""
        return [Pair(model, other, m) for model, one in self.found.items() for other, m in one.between.items()]

    @cached_property
    def twins(self) -> list[Pair]:
        """Backbones with their random twins, where both have layers."""
        return [pair for pair in self.pairs if pair.deep and self.found[pair.model].twin == pair.other]

    @cached_property
    def strangers(self) -> list[Pair]:
        """All other pairs where both have layers."""
        twins = self.twins
        return [pair for pair in self.pairs if pair.deep and pair not in twins]

    @property
    def figures(self) -> tuple[str, ...]:
        """Names of the figures that there is something to draw in: pairs of two taps at the least."""
        deep = [model for model, one in self.found.items() if len(one.within.rows) > 1]
        drawn = {"within": deep, "twins": self.twins, "between": self.strangers}
        return tuple(name for name, wanted in drawn.items() if wanted)

    @property
    def absent(self) -> dict[str, str]:
        """Backbones that could not be compared with, with the reason."""
        return {slug: why for one in self.found.values() for slug, why in one.absent.items()}


@once
def similarity_tables(run: Run) -> tuple[list[SimilarityTable], list[str]]:
    """Group the similarity records of a run; what may not be compared is split, and named."""
    groups: defaultdict[str, list[Record]] = defaultdict(list)
    for record in run.scored_of(SIMILARITY):
        groups[record.case.task].append(record)
    gaps = {tuple(case_id.split("-")[:2]): why for case_id, why in run.gaps(SIMILARITY).items()}
    found, problems = [], []
    for task, records in sorted(groups.items()):
        parts = split_records(records)
        if len(parts) > 1:
            problems.append(split_sentence(f"{task}-{SIMILARITY}", parts))
        left_out = {model: why for (model, own), why in gaps.items() if own == task}
        for number, part in enumerate(parts, start=1):
            slug = f"{task}-{SIMILARITY}" + (f"-{number}" if len(parts) > 1 else "")
            ordered = sorted(part, key=lambda record: (record.case.is_control, record.case.model))
            subjects = tuple(Subject(record.case.model, {record.case.layer: record}, {}) for record in ordered)
            found.append(SimilarityTable(Comparison(slug, subjects, left_out)))
    return found, problems
