"""Cost of smaller representations: scores on coded and on original features, at the tap chosen for the original."""

from collections.abc import Iterator
from dataclasses import dataclass

from geofm_eval.catalog import coding_of
from geofm_eval.catalog.recipes import AT_SIZE
from geofm_eval.memo import once
from geofm_eval.records import Record
from geofm_eval.results.comparison import Comparison, Subject, comparisons, identity
from geofm_eval.results.run import PROBE, Run
from geofm_eval.results.taps import ChosenTap, choose_tap
from geofm_eval.stats.difference import Difference


@dataclass(frozen=True)
class CodedRow:
    """One model with one coding.

    Args:
        subject: the model and its records with the original features.
        chosen: tap that validation chose for the original features.
        record: record of that tap with the coding.
        difference: coded minus original test score, with its paired interval.
    """

    subject: Subject
    chosen: ChosenTap
    record: Record
    difference: Difference
    fraction: str

    @property
    def coding(self) -> str:
        """Name of the coding."""
        return coding_of(self.record.case.adaptation)

    @property
    def original(self) -> float:
        """Test score of the tap with the original features; of cross-validated data, of this tap in all folds."""
        return self.subject.taps[self.chosen.tap].scores[self.fraction].value

    @property
    def bytes(self) -> tuple[float | None, float | None]:
        """Size of a feature vector: original and coded."""
        original = self.subject.taps[self.chosen.tap].cost.bytes_per_sample
        return original, self.record.cost.bytes_per_sample

    @property
    def dimensions(self) -> float | None:
        """Number of dimensions that validation chose, mean over the draws; None if the coding keeps all."""
        return self.record.scores[self.fraction].extra.get("dimensions")

    @property
    def curve(self) -> dict[int, float]:
        """Test score by number of dimensions, mean over the draws; empty if the coding keeps all."""
        extra = self.record.scores[self.fraction].extra
        sizes = [name for name in sorted(extra) if name.startswith(AT_SIZE)]
        return {int(name.removeprefix(AT_SIZE)): extra[name] for name in sizes}


@dataclass(frozen=True)
class CodedFeatures:
    """Codings of all models on one task with one probe, at the largest label fraction."""

    comparison: Comparison
    rows: tuple[CodedRow, ...]

    @property
    def slug(self) -> str:
        """Name of its files."""
        return f"{self.comparison.slug}-codings"


@once
def coded_features(run: Run) -> list[CodedFeatures]:
    """Compare coded features with the original ones; comparisons without coded records are left out."""
    coded = [record for record in run.scored_of(PROBE) if coding_of(record.case.adaptation) != "float32"]
    found = [CodedFeatures(one, tuple(_rows(run, one, coded))) for one in comparisons(run)[0]] if coded else []
    return [one for one in found if one.rows]


def _rows(run: Run, comparison: Comparison, coded: list[Record]) -> Iterator[CodedRow]:
    fraction, own = comparison.full, identity(comparison.record)
    for subject in comparison.subjects:
        chosen = choose_tap(subject, fraction)
        for record in coded:
            if chosen is None or not _belongs(record, subject, chosen.tap, own) or fraction not in record.scores:
                continue
            difference = run.pairs.difference(record, subject.taps[chosen.tap], fraction)
            yield CodedRow(subject, chosen, record, difference, fraction)


def _belongs(record: Record, subject: Subject, tap: str, own: dict[str, str]) -> bool:
    case, base = record.case, subject.record.case
    name = case.adaptation.removesuffix(f"_{coding_of(case.adaptation)}")
    return (case.model, case.task, name, case.layer) == (base.model, base.task, base.adaptation, tap) and (
        identity(record) == own
    )
