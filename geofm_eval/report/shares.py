"""What explains the scores of a task: shares of their variance, and what wrong choices cost, in tables and in lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from geofm_eval.catalog import Catalog
from geofm_eval.factors.explained import (
    error_of,
    pooled_shares,
    pooled_shares_by_labels,
    probed_shares,
    trained_shares,
)
from geofm_eval.factors.factorial import (
    LAYER,
    Factor,
    probed_factorial,
    trained_factorial,
)
from geofm_eval.factors.regret import Loss, Regret, regrets
from geofm_eval.factors.variance import LeaveOneLevelOut, Share
from geofm_eval.metric import METRICS
from geofm_eval.records import Record, marked
from geofm_eval.report.formats import Row, Table
from geofm_eval.report.wording import heading, shared_notes
from geofm_eval.results.comparison import Comparison, tap_order
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import RunContent
from geofm_eval.results.scope import excluded_model
from geofm_eval.results.trainings import CaseStudy
from geofm_eval.results.units import SIMULATED, UNKNOWN, MetricFormat, unit_named

SHOWN = 4
"""So many effects are named in a line for a terminal."""


@dataclass(frozen=True)
class Explained:
    """What explains the scores of one comparison or case study.

    Args:
        comparison: for what its records share.
        how: what was trained, for titles; None takes the adaptation.
        factors: what varies.
        fixed: the level of every factor that has one only, in words.
        left_out: what is in the records and not in the factorial.
        shares: of every effect.
        noise: what replicates of a cell are: ``seeds`` or ``label draws``; None where a cell has one pooled score.
        regrets: what wrong choices cost; none for probes.
        by_labels: shares at every label fraction by itself, the largest first; of pooled scores alone.
    """

    comparison: Comparison
    how: str | None
    factors: tuple[Factor, ...]
    fixed: tuple[str, ...]
    left_out: tuple[str, ...]
    shares: tuple[Share, ...]
    noise: str | None
    regrets: tuple[Regret, ...] = ()
    by_labels: Mapping[str, tuple[Share, ...]] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """Name of its files, without what they hold."""
        return self.comparison.slug

    @property
    def unit(self) -> MetricFormat:
        """How the metric is shown."""
        return unit_named(self.comparison.any_score.metric, self.comparison.record.provenance.target_unit)

    @property
    def scale(self) -> str:
        """Scale of the shares, such as ``logit of mIoU``."""
        bounded = METRICS[self.comparison.any_score.metric].proportion
        return f"logit of {self.unit.name}" if bounded else self.unit.name

    @property
    def rest(self) -> float:
        """Share that no effect has, the noise of a single replicate: all shares sum to 1, those below 0 included."""
        return 1 - sum(one.value for one in self.shares)

    def without(self, one: LeaveOneLevelOut | None) -> str:
        """Such as ``24.8 (labels 10 %)``."""
        if one is None:
            return UNKNOWN
        levels = next(factor.levels for factor in self.factors if factor.name == one.factor)
        return f"{_percent(one.value)} ({one.factor} {levels[one.level]})"


def explained(
    content: RunContent, found: Sequence[Comparison], studies: Sequence[CaseStudy], pairs: Pairs, catalog: Catalog
) -> list[Explained]:
    """Everything in a run that has a balanced factorial; controls and variants of models take no part."""
    models = {record.case.model for record in content.scored}
    made = [_probed(comparison, models, catalog) for comparison in found]
    made += [_trained(study, models, pairs, catalog) for study in studies]
    return [one for one in made if one is not None]


def _probed(comparison: Comparison, models: set[str], catalog: Catalog) -> Explained | None:
    subjects = [one for one in comparison.subjects if not _aside(one.record, models, catalog) and len(one.taps) > 1]
    pooled = comparison.record.provenance.protocol == "shuffle_splits"
    factorial = probed_factorial(subjects, pooled)
    if factorial is None:
        return None
    found = pooled_shares(factorial) if pooled else probed_shares(factorial)
    fixed = tuple(f"{name} {level}" for name, level in factorial.fixed.items())
    noise = None if pooled else "label draws"
    apart = pooled_shares_by_labels(factorial) if pooled else {}
    left = factorial.left_out
    return Explained(comparison, None, factorial.factors, fixed, left, found, noise, by_labels=apart)


def _trained(study: CaseStudy, models: set[str], pairs: Pairs, catalog: Catalog) -> Explained | None:
    factorial = trained_factorial([c for c in study.cells if not _aside(c.record, models, catalog)], catalog)
    if factorial is None:
        return None
    costs = tuple(regrets(factorial, error_of(factorial, pairs)))
    fixed = tuple(f"{name} {level}" for name, level in factorial.fixed.items())
    found = trained_shares(factorial, pairs)
    return Explained(study.comparison, study.how, factorial.factors, fixed, factorial.left_out, found, "seeds", costs)


def _aside(record: Record, models: set[str], catalog: Catalog) -> bool:
    """True for controls, marked rows and variants; what knows simulated scenes alone is a backbone like others here."""
    return marked(record) or bool({"controls", "variants of models"} & set(excluded_model(record, models, catalog)))


def shares_table(one: Explained, catalog: Catalog) -> Table:
    """Shares of all effects, main effects first, the noise last."""
    rows = [
        (
            f"{labels}{_named(share)}",
            _percent(share.value),
            UNKNOWN if share.low is None else f"[{_percent(share.low)}, {_percent(share.high)}]",
            one.without(share.lowest),
            one.without(share.highest),
        )
        for labels, own in (
            ("", one.shares),
            *((f"{level} of the labels: ", own) for level, own in one.by_labels.items()),
        )
        for share in own
    ]
    return Table(
        slug=f"{one.slug}-shares",
        title=heading(one.comparison, catalog, f"what explains test scores, shares of variance ({one.scale})", one.how),
        header=("effect", "share (%)", "interval", "lowest without one level (which)", "highest without one level"),
        rows=(*rows, *([(f"noise: {one.noise}", _percent(one.rest), *[UNKNOWN] * 3)] if one.noise else [])),
        notes=(*_notes(one), *shared_notes(one.comparison, catalog)),
    )


def _notes(one: Explained) -> list[str]:
    ordered = {
        factor.name: sorted(factor.levels, key=tap_order) if factor.name == LAYER else factor.levels
        for factor in one.factors
    }
    levels = "; ".join(f"{name}: {', '.join(own)}" for name, own in ordered.items())
    notes = [
        f"Balanced factorial, controls and variants of models left out. {levels}."
        + (f" Fixed: {', '.join(one.fixed)}." if one.fixed else ""),
        *_method(one),
        "Shares hold for these levels; hence what they are when any one level is left out.",
    ]
    left = f"In the records, but not in the largest balanced factorial: {'; '.join(one.left_out)}."
    return [*notes, *([left] if one.left_out else [])]


def _method(one: Explained) -> list[str]:
    """How shares were computed, and what is known of their error."""
    if one.noise is None:
        return [
            "Eta squared, SS / SS total, of the scores that tables print: R2 pooled over all shuffles, one per cell. "
            "Rows sum to 100, those of one label fraction too. The noise of these scores is not known apart: it is in "
            "all rows, most of it in the last."
        ]
    omega = (
        "Omega squared: (SS - df MS) / (SS total + MS), MS the mean square of the noise. Below 0: less than noise "
        "alone would make of it. Rows sum to 100, those below 0 included."
    )
    if one.noise == "seeds":
        return [omega, "Intervals: 95 %, over test items (or groups of them) and seeds; levels are fixed."]
    return [
        omega,
        f"Noise: what {one.noise} change differently in different cells. No intervals: {one.noise} are few, and "
        "outcomes of most taps need not be kept.",
    ]


def share_rows(one: Explained) -> list[Row]:
    """One row of numbers per effect."""
    case = one.comparison.record.case
    return [
        {
            "evidence": one.comparison.record.evidence, "task": case.task, "scale": one.scale,
            "labels": labels, "effect": _named(share), "share": share.value, "low": share.low, "high": share.high,
            "lowest_without_a_level": None if share.lowest is None else share.lowest.value,
            "highest_without_a_level": None if share.highest is None else share.highest.value,
            "noise": one.noise or "not taken off",
            "factorial": " x ".join(str(len(factor.levels)) for factor in one.factors),
        }
        for labels, own in (("all", one.shares), *one.by_labels.items())
        for share in own
    ]  # fmt: skip


def regret_table(one: Explained, catalog: Catalog) -> Table | None:
    """What the wrong level of every factor costs; None for probes."""
    if not one.regrets:
        return None
    rows = [
        (
            cost.labels or UNKNOWN,
            cost.factor,
            cost.best,
            str(cost.wrong),
            *(text for loss in (cost.kept, cost.anew) for text in _loss(loss, one.unit)),
        )
        for cost in one.regrets
    ]
    return Table(
        slug=f"{one.slug}-regret",
        title=heading(one.comparison, catalog, f"what a wrong choice costs, test {one.unit.label}", one.how),
        header=("labels", "wrong", "chosen by validation", "wrong levels", "all else kept: mean loss [interval]",
                "the level that validation puts last", "all else chosen anew: mean loss [interval]",
                "the level that validation then puts last"),
        rows=tuple(rows),
        notes=(
            "Loss: test score of the combination that validation chooses, minus that of combinations with a wrong "
            "level; above 0 it costs. Kept: all else as in that combination. Anew: the best by validation with the "
            "wrong level. Adaptation: decoder and tuning together.",
            "Intervals: 95 %, t, over test items (or groups of them), which all share, and seeds.",
            *shared_notes(one.comparison, catalog),
        ),
    )  # fmt: skip


def _loss(loss: Loss, unit: MetricFormat) -> tuple[str, str]:
    return unit.difference(loss.mean), f"{unit.difference(loss.last)} ({loss.name})"


def regret_rows(one: Explained) -> list[Row]:
    """One row of numbers per label fraction, factor and way to choose the rest."""
    case = one.comparison.record.case
    return [
        {
            "evidence": one.comparison.record.evidence, "task": case.task, "metric": one.comparison.any_score.metric,
            "labels": cost.labels, "wrong": cost.factor, "rest": rest, "best": cost.best, "levels": cost.wrong,
            "loss": loss.mean.value, "low": loss.mean.low, "high": loss.mean.high, "last_level": loss.name,
            "last_loss": loss.last.value, "last_low": loss.last.low, "last_high": loss.last.high,
        }
        for cost in one.regrets
        for rest, loss in (("kept", cost.kept), ("anew", cost.anew))
    ]  # fmt: skip


def text_of_shares(found: Sequence[Explained], too_small: int = 0) -> str:
    """A line per table with what explains most, and per label fraction what wrong choices cost; empty without any.

    Args:
        found: what is large enough.
        too_small: number of comparisons and case studies in which fewer than two factors vary.
    """
    if not found and not too_small:
        return ""
    simulated = any(one.comparison.simulated for one in found)
    lines = ["What explains test scores, % of their variance" + (f" ({SIMULATED} included)" if simulated else "")]
    if too_small:
        each = "two factors that vary, and of probes two draws of the labels"
        lines.append(f"  too few cells in {too_small} of {len(found) + too_small} tables: at least {each} are needed")
    for one in found:
        lines.append(f"  {one.slug}: {', '.join(_largest(one))}")
        for level, own in list(one.by_labels.items())[:1]:
            parts = [f"{_named(share)} {_percent(share.value)}" for share in own]
            lines.append(f"    with {level} of the labels alone: {', '.join(parts)}")
        for labels in dict.fromkeys(cost.labels for cost in one.regrets):
            costs = [cost for cost in one.regrets if cost.labels == labels]
            parts = [f"{cost.factor} {one.unit.difference(cost.kept.mean)}" for cost in costs]
            at = f" at {labels} of the labels" if labels else ""
            lines.append(f"    a wrong choice costs{at}, {one.unit.label}: {'; '.join(parts)}")
    return "\n".join(lines)


def _largest(one: Explained) -> list[str]:
    """The largest shares, the sum of the others, and the noise: 100 % together."""
    ranked = sorted(one.shares, key=lambda share: -share.value)
    parts = [f"{_named(share)} {_percent(share.value)}" for share in ranked[:SHOWN]]
    if ranked[SHOWN:]:
        parts.append(f"all others {_percent(sum(share.value for share in ranked[SHOWN:]))}")
    return [*parts, f"noise of {one.noise} {_percent(one.rest)}" if one.noise else "noise in all of these"]


def lines_of_shares(found: Sequence[Explained]) -> list[str]:
    """For the index page: links, one line per task and adaptation."""
    lines = []
    for one in found:
        kind = f" ({SIMULATED})" if one.comparison.simulated else ""
        names = ["shares", *(["regret"] if one.regrets else [])]
        links = ", ".join(f"[{n}]({one.slug}-{n}.md), [CSV]({one.slug}-{n}.csv)" for n in names)
        lines.append(f"{one.slug}{kind}: {links}")
    return lines


def _named(share: Share) -> str:
    return " x ".join(share.effect)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{round(100 * share, 1) + 0.0:.1f}"
