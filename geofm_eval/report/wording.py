"""How numbers and comparisons are put into words, the same in tables, figures and the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.records import IntervalInfo, Record, Score
from geofm_eval.report.choice import Difference
from geofm_eval.report.comparison import Comparison

UNKNOWN = "-"
SIMULATED = "SIMULATED DATA"


@dataclass(frozen=True)
class Unit:
    """How a metric is shown: ``value * factor`` with so many decimals, in ``symbol``."""

    name: str
    symbol: str
    factor: float
    decimals: int

    def value(self, value: float | None) -> str:
        """Such as ``84.2``."""
        return UNKNOWN if value is None else f"{value * self.factor:.{self.decimals}f}"

    def score(self, score: Score) -> str:
        """Such as ``84.2 [81.0, 87.2]``."""
        return self.value(score.value) + self._interval(score.interval)

    def difference(self, difference: Difference | None) -> str:
        """Such as ``+2.2 [+0.4, +4.0]``."""
        if difference is None:
            return UNKNOWN
        text = self._signed(difference.value)
        if difference.low is None or difference.high is None:
            return text
        return f"{text} [{self._signed(difference.low)}, {self._signed(difference.high)}]"

    @property
    def label(self) -> str:
        """Such as ``accuracy (%)``."""
        return f"{self.name} ({self.symbol})" if self.symbol else self.name

    def _interval(self, interval: IntervalInfo | None) -> str:
        return "" if interval is None else f" [{self.value(interval.low)}, {self.value(interval.high)}]"

    def _signed(self, value: float) -> str:
        # Adding zero turns -0.0 into 0.0 after rounding.
        rounded = round(value * self.factor, self.decimals) + 0.0
        return f"{rounded:+.{self.decimals}f}"


def unit_of(comparison: Comparison) -> Unit:
    """Percent for accuracy, the bare value for any other metric."""
    metric = comparison.any_score.metric
    return Unit(metric, "%", 100.0, 1) if metric == "accuracy" else Unit(metric, "", 1.0, 3)


def percent(fraction: float) -> str:
    """Label fraction in words: ``1 %``, ``0.5 %``."""
    return f"{fraction * 100:g} %"


def heading(comparison: Comparison, catalog: Catalog, what: str) -> str:
    """Title of a table or figure; simulated data and samples are named in it."""
    case = comparison.record.case
    task = catalog.tasks.get(case.task)
    name = f"{task.title} ({case.task})" if task else case.task
    evidence = {"simulated": f"{SIMULATED}: ", "sample": "Sample with a custom split: "}
    return f"{evidence.get(str(comparison.record.evidence), '')}{name}, {case.adaptation}: {what}"


def family(record: Record, catalog: Catalog) -> str:
    """Family of a model in words, from the catalog; a record alone tells controls only."""
    spec = catalog.models.get(record.case.model)
    if spec is not None:
        return spec.family.replace("_", " ")
    return "control" if record.case.is_control else UNKNOWN


def recipe_sentence(record: Record) -> str:
    """What the study fixed for every model of a table."""
    recipe: dict[str, Any] = dict(record.provenance.recipe or {})
    if not recipe:
        return "Recipe: not recorded."
    title = recipe.pop("title", None)
    slug = recipe.pop("slug", None)
    fields = ", ".join(f"{name} = {value}" for name, value in sorted(recipe.items()))
    return f"Recipe {slug} ({title}): {fields}."


def interval_sentence(scores: Sequence[Score]) -> str:
    """Method and coverage of the intervals of a table."""
    kinds = {
        f"{interval.level * 100:g} %, {interval.method}, covering {interval.covers}"
        for score in scores
        if (interval := score.interval) is not None
    }
    return f"Intervals: {'; '.join(sorted(kinds))}." if kinds else "No intervals were computed."


def shared_notes(comparison: Comparison) -> tuple[str, ...]:
    """Notes that stand under every table of a comparison."""
    record, notes = comparison.record, []
    if comparison.simulated:
        notes.append("Simulated data: these numbers exercise the tool and say nothing about real imagery.")
    if record.provenance.split_definition == "custom":
        notes.append("The split is the data folder's own (custom): not comparable with numbers of the official split.")
    notes.append(recipe_sentence(record))
    return tuple(notes)


def named(reasons: dict[str, str]) -> str:
    """Models with their reasons in one sentence."""
    return "; ".join(f"{model} ({reason})" for model, reason in sorted(reasons.items()))
