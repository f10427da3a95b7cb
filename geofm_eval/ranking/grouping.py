"""Settings in which models are compared: a task, an adaptation and a label fraction."""

import json
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from geofm_eval.catalog import dense_adaptation
from geofm_eval.memo import once
from geofm_eval.records import Record, Score
from geofm_eval.results.comparison import Comparison, comparisons
from geofm_eval.results.leaderboard import best_control, choose_taps
from geofm_eval.results.run import Run
from geofm_eval.results.taps import sign
from geofm_eval.results.trainings import TrainedCases, TrainedCell, comparable_trainings


@dataclass(frozen=True)
class Entry:
    """One model in a setting; for a probe, the record at the chosen tap."""

    model: str
    record: Record
    fraction: str

    @property
    def score(self) -> Score:
        """Its test score."""
        return self.record.scores[self.fraction]

    @property
    def quality(self) -> float:
        """The score, with its sign set so that more is better."""
        return sign(self.score) * self.score.value

    @property
    def is_control(self) -> bool:
        """True for random twins, band statistics and other controls."""
        return self.record.case.is_control


@dataclass(frozen=True)
class Setting:
    """Comparable models of one setting, for example ``eurosat_sim-linear-p100``, by score (best first) and name.

    ``table`` is the slug of their comparison or :class:`TrainedCases`, ``control`` the best control on validation, and
    ``dropped`` gives the reason for models without a score.
    """

    name: str
    table: str
    entries: tuple[Entry, ...]
    control: str | None
    dropped: dict[str, str]

    @property
    def record(self) -> Record:
        """Any of the records, for common properties."""
        return self.entries[0].record

    @property
    def task(self) -> str:
        """Slug of the task."""
        return self.record.case.task

    @property
    def fraction(self) -> float:
        """Label fraction."""
        return float(self.entries[0].fraction)

    @property
    def adaptation(self) -> str:
        """Slug of the adaptation."""
        return self.record.case.adaptation

    @property
    def score(self) -> Score:
        """Any of the scores, for metric and direction."""
        return self.entries[0].score

    @cached_property
    def by_model(self) -> dict[str, Entry]:
        """Entries by model."""
        return {entry.model: entry for entry in self.entries}

    def rank(self, entry: Entry) -> int:
        """1 for the best test score; equal scores share a rank."""
        return 1 + bisect_left(self._descending, -entry.quality)

    @cached_property
    def _descending(self) -> list[float]:
        """Negative qualities, the best first."""
        return sorted(-entry.quality for entry in self.entries)

    @property
    def is_variant(self) -> bool:
        """True for trained adaptations that vary another one, for example its schedule."""
        adaptation = dense_adaptation(self.adaptation)
        return adaptation is not None and bool(adaptation.variant)

    @property
    def like(self) -> str:
        """Equal for settings with the same evidence class and recipe."""
        return json.dumps([self.record.evidence, self.record.provenance.recipe], sort_keys=True)


@once
def settings(run: Run) -> tuple[Setting, ...]:
    """Return every setting of a run with scores: probes at each label fraction, then trained cases.

    A setting has only comparable records; :func:`comparisons` and :func:`comparable_trainings` report what was split.
    """
    found = [one for comparison in comparisons(run)[0] for one in _of_probes(comparison)]
    found += [one for cases in comparable_trainings(run)[0] for one in _of_trainings(cases)]
    return tuple(found)


def data_sets(found: Sequence[Setting]) -> dict[str, str]:
    """Return the data set of each setting by name: the first task with the same data.

    Settings of one task, or with a common split, share a data set; errors of their scores may be correlated.
    """
    names: dict[str, str] = {}
    for one in found:
        keys = {one.task, *one.record.provenance.items_sha256.values()}
        known = {names[key] for key in keys if key in names}
        first = min(known | {one.task})
        names |= dict.fromkeys(keys, first)
        names = {key: first if name in known else name for key, name in names.items()}
    return {one.name: names[one.task] for one in found}


def by_recipe(found: Sequence[Setting]) -> list[list[Setting]]:
    """Group settings by evidence class and recipe, the largest group first."""
    groups: defaultdict[str, list[Setting]] = defaultdict(list)
    for one in found:
        groups[one.like].append(one)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0].name))


def _of_probes(comparison: Comparison) -> Iterator[Setting]:
    for fraction in comparison.fractions:
        chosen, dropped = choose_taps(comparison, fraction)
        ranked = [subject for subject in comparison.subjects if subject.model in chosen]
        if ranked:
            control = best_control(ranked, chosen)
            entries = [Entry(s.model, chosen[s.model].record, fraction) for s in ranked]
            name = f"{comparison.slug}-p{round(float(fraction) * 1000) / 10:03g}".replace(".", "_")
            yield Setting(name, comparison.slug, _sorted(entries), None if control is None else control.model, dropped)


def _of_trainings(cases: TrainedCases) -> Iterator[Setting]:
    groups: defaultdict[str, list[TrainedCell]] = defaultdict(list)
    for cell in cases.cells:
        groups[cell.name].append(cell)
    kind = cases.cells[0].record.case.kind
    for name, cells in sorted(groups.items()):
        controls = [cell for cell in cells if cell.record.case.is_control]
        best = max(controls, key=lambda cell: cell.sign * cell.validated, default=None)
        entries = [Entry(cell.model, cell.record, cell.fraction) for cell in cells]
        own = {case_id.split("-")[0]: why for case_id, why in cases.left_out.items() if case_id.endswith(f"-{name}")}
        slug = cases.slug.replace(f"-{kind}", "", 1)
        yield Setting(f"{slug}-{name}", cases.slug, _sorted(entries), None if best is None else best.model, own)


def _sorted(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (-entry.quality, entry.model)))
