"""Records that may be in one table: same task, adaptation, evidence, data, labels and recipe."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property

from geofm_eval.catalog import coding_of, is_neuco
from geofm_eval.memo import Memo, once
from geofm_eval.records import Record, Score
from geofm_eval.results.fold_choices import Nested, choose_within_folds
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import PROBE, Run

FIRST, LAST = "embed", "final"
"""The shallowest and the deepest tap; blocks are between them, in the order of their zero-padded names."""


@dataclass(frozen=True)
class Subject:
    """One model in a comparison: records by tap from shallow to deep, and why planned taps have no score.

    ``nested`` is the record of the tap chosen within every fold, for cross-validated data.
    ``known`` is what follows from these and was computed before, see :func:`geofm_eval.memo.once`.
    """

    model: str
    taps: dict[str, Record]
    missing: dict[str, str]
    nested: Nested | None = None
    known: Memo = field(default_factory=Memo, init=False, repr=False, compare=False)

    @property
    def record(self) -> Record:
        """Any of the records, for weights, inputs and cost, which all taps share."""
        return next(iter(self.taps.values()))

    @property
    def is_control(self) -> bool:
        """True for random twins, band statistics and random convolutions."""
        return self.record.case.is_control

    def score(self, tap: str, fraction: str) -> Score | None:
        """Test score at a tap and a label fraction; None where it was not measured."""
        record = self.taps.get(tap)
        return None if record is None else record.scores.get(fraction)


@dataclass(frozen=True)
class Comparison:
    """Models that may be compared with each other, and why others have no usable record.

    ``slug`` names its files: ``eurosat_sim-linear``, numbered where the records of a run had to be split.
    """

    slug: str
    subjects: tuple[Subject, ...]
    left_out: dict[str, str]

    @property
    def record(self) -> Record:
        """Any of the records, for task, adaptation, data, recipe and metric."""
        return self.subjects[0].record

    @cached_property
    def fractions(self) -> list[str]:
        """Label fractions in ascending order."""
        keys = {key for subject in self.subjects for record in subject.taps.values() for key in record.scores}
        return sorted(keys, key=float)

    @property
    def full(self) -> str:
        """The largest label fraction, at which models are ranked."""
        return self.fractions[-1]

    @property
    def any_score(self) -> Score:
        """Any of the scores, for metric, direction and n."""
        return next(iter(self.record.scores.values()))

    @property
    def simulated(self) -> bool:
        """True for stand-ins."""
        return self.record.evidence == "simulated"


def tap_order(tap: str) -> tuple[int, str]:
    """Sort key that puts taps from shallow to deep."""
    return ({FIRST: 0, LAST: 2}.get(tap, 1), tap)


def last_block(subject: Subject) -> str | None:
    """The deepest tap before the norm; None for a model without blocks."""
    return max((tap for tap in subject.taps if tap.startswith("block")), default=None)


@once
def comparisons(run: Run) -> tuple[list[Comparison], list[str]]:
    """Group the records of a run into tables; what may not be compared is split, and named.

    NeuCo-Bench's own probe and coded features are in none of them: they have tables of their own.

    Returns:
        Comparisons in the order of task and adaptation, and one sentence per split or refusal.
    """
    groups: defaultdict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in run.scored_of(PROBE):
        if is_neuco(record.case.adaptation) or coding_of(record.case.adaptation) != "float32":
            continue
        groups[record.case.task, record.case.adaptation].append(record)
    gaps = _gaps_by_model(run)
    found: list[Comparison] = []
    problems: list[str] = []
    for (task, adaptation), records in sorted(groups.items()):
        parts = split_records(records)
        if len(parts) > 1:
            problems.append(split_sentence(f"{task}-{adaptation}", parts))
        for number, part in enumerate(parts, start=1):
            slug = f"{task}-{adaptation}" + (f"-{number}" if len(parts) > 1 else "")
            comparison, refused = _comparison(slug, part, gaps.get((task, adaptation), {}), run.pairs)
            problems += refused
            if comparison.subjects:
                found.append(comparison)
    return found, problems


def identity(record: Record) -> dict[str, str]:
    """What must be equal for two records to be compared."""
    source = record.provenance
    return {
        "task_version": str(record.case.task_version),
        "evidence": str(record.evidence),
        "split_definition": str(source.split_definition),
        "split_rule": json.dumps(source.split_rule, sort_keys=True),
        "items_sha256": json.dumps(source.items_sha256, sort_keys=True),
        "labels_sha256": json.dumps(source.labels_sha256, sort_keys=True),
        "recipe": json.dumps(source.recipe, sort_keys=True),
    }


def split_records(records: list[Record]) -> list[list[Record]]:
    """Records of equal identity together, the largest group first."""
    parts: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        parts[json.dumps(identity(record), sort_keys=True)].append(record)
    return [parts[key] for key in sorted(parts, key=lambda key: (-len(parts[key]), key))]


def split_sentence(slug: str, parts: list[list[Record]]) -> str:
    """Say which records of one table were split, and why."""
    identities = [identity(part[0]) for part in parts]
    differing = [name for name in identities[0] if len({identity[name] for identity in identities}) > 1]
    members = "; ".join(
        f"{slug}-{number}: {', '.join(sorted({record.case.model for record in part}))}"
        for number, part in enumerate(parts, start=1)
    )
    return f"{slug}: records differ in {', '.join(differing)} and are not comparable: split into {members}"


def _gaps_by_model(run: Run) -> dict[tuple[str, str], dict[str, dict[str, str]]]:
    gaps: defaultdict[tuple[str, str], dict[str, dict[str, str]]] = defaultdict(dict)
    for case_id, reason in run.gaps().items():
        if case_id.count("-") == 3:
            model, task, adaptation, tap = case_id.split("-")
            gaps[task, adaptation].setdefault(model, {})[tap] = reason
    return dict(gaps)


def _comparison(
    slug: str, records: list[Record], gaps: dict[str, dict[str, str]], pairs: Pairs
) -> tuple[Comparison, list[str]]:
    by_model: defaultdict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_model[record.case.model].append(record)
    left_out = {model: summarise(reasons, everything=True) for model, reasons in gaps.items() if model not in by_model}
    subjects: list[Subject] = []
    problems: list[str] = []
    for model in sorted(by_model):
        weights = sorted({str(record.provenance.weights_sha256)[:12] for record in by_model[model]})
        if len(weights) > 1:
            left_out[model] = f"its taps were measured with different weights (sha256 {', '.join(weights)})"
            problems.append(f"{slug}: {model} is left out: {left_out[model]}: run it again under a new --run name")
            continue
        taps = {record.case.layer: record for record in by_model[model]}
        ordered = {tap: taps[tap] for tap in sorted(taps, key=tap_order)}
        subjects.append(Subject(model, ordered, gaps.get(model, {}), choose_within_folds(ordered, pairs)))
    return Comparison(slug, tuple(subjects), dict(sorted(left_out.items()))), problems


def summarise(reasons: dict[str, str], everything: bool = False) -> str:
    """Summarise reasons per tap, equal ones together; without names where they hold for ``everything``."""
    if everything and len(set(reasons.values())) == 1:
        return next(iter(reasons.values()))
    taps: defaultdict[str, list[str]] = defaultdict(list)
    for tap in sorted(reasons, key=tap_order):
        taps[reasons[tap]].append(tap)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in taps.items())
