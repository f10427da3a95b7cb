"""Shares of the variance of test scores, and the cost of wrong choices: tables, rows and text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from geofm_eval.catalog import Catalog
from geofm_eval.factors.explained import (
    error_of,
    pooled_shares,
    pooled_shares_by_labels,
    probed_shares,
    trained_shares,
)
from geofm_eval.factors.factorial import LAYER, Factorial, probed_factorial, trained_factorial
from geofm_eval.factors.regret import Loss, Regret, regrets
from geofm_eval.factors.variance import LeaveOneLevelOut, Share
from geofm_eval.metric import METRICS
from geofm_eval.records import Record, marked
from geofm_eval.report.formats import Column, Row, Table, attributes, described
from geofm_eval.report.pages import MakeRows, Page, line_of
from geofm_eval.report.wording import table_of
from geofm_eval.results.comparison import Comparison, comparisons, tap_order
from geofm_eval.results.run import Run
from geofm_eval.results.scope import excluded_model
from geofm_eval.results.trainings import TrainedCases, comparable_trainings
from geofm_eval.results.units import SIMULATED, MetricFormat, unit_named

SHOWN = 4
"""Effects that are named in a line for a terminal."""

Explaining = tuple[str, Share]
"""Label fraction, empty for all of them, and the share of an effect."""


@dataclass(frozen=True)
class Explained:
    """Shares of variance (none with a single backbone) and regrets (none for probes) of comparable cases.

    ``how`` is what was trained, for titles (None: the adaptation); ``noise`` what replicates of a cell are, ``seeds``
    or ``label draws`` (None: one pooled score); ``by_labels`` the shares of pooled scores at each label fraction.
    """

    comparison: Comparison
    how: str | None
    factorial: Factorial[Any]
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
        """Share of the noise of a single replicate: all shares sum to 1, negative ones included."""
        return 1 - sum(one.value for one in self.shares)

    def without(self, one: LeaveOneLevelOut) -> str:
        """Format a share without one level: ``24.8 (labels 10 %)``."""
        levels = next(factor.levels for factor in self.factorial.factors if factor.name == one.factor)
        return f"{percents(one.value)} ({one.factor} {levels[one.level]})"


def explained(run: Run, catalog: Catalog) -> list[Explained]:
    """Analyse everything in a run with a balanced factorial, without controls and variants of models."""
    models = {record.case.model for record in run.scored}
    made = [_probed(comparison, models, catalog) for comparison in comparisons(run)[0]]
    made += [_trained(cases, models, catalog) for cases in comparable_trainings(run)[0]]
    return [one for one in made if one is not None and (one.shares or one.regrets)]


def _probed(comparison: Comparison, models: set[str], catalog: Catalog) -> Explained | None:
    subjects = [one for one in comparison.subjects if not _excluded(one.record, models, catalog) and len(one.taps) > 1]
    pooled = comparison.record.provenance.protocol == "shuffle_splits"
    factorial = probed_factorial(subjects, pooled) if len(subjects) > 1 else None
    if factorial is None:
        return None
    found = pooled_shares(factorial) if pooled else probed_shares(factorial)
    apart = pooled_shares_by_labels(factorial) if pooled else {}
    noise = None if pooled else "label draws"
    return Explained(comparison, None, factorial, found, noise, by_labels=apart)


def _trained(cases: TrainedCases, models: set[str], catalog: Catalog) -> Explained | None:
    cells = [cell for cell in cases.cells if not _excluded(cell.record, models, catalog)]
    factorial = trained_factorial(cells, catalog)
    if factorial is None:
        return None
    # What explains scores is asked of several backbones; what a wrong choice costs, of one too.
    found = trained_shares(factorial, cases.pairs) if len({cell.model for cell in cells}) > 1 else ()
    costs = tuple(regrets(factorial, error_of(factorial, cases.pairs)))
    return Explained(cases.comparison, cases.how, factorial, found, "seeds", costs)


def _excluded(record: Record, models: set[str], catalog: Catalog) -> bool:
    """True for controls, marked rows and variants; backbones pretrained on simulated scenes are included here."""
    return marked(record) or bool({"controls", "variants of models"} & set(excluded_model(record, models, catalog)))


def shares_table(one: Explained, catalog: Catalog) -> Table[Explaining]:
    """Shares of all effects, main effects first."""
    labels = {"": one.shares, **one.by_labels}
    columns: list[Column[Explaining]] = [
        Column(None, lambda row: {**described(one.comparison.record, "evidence task"), "scale": one.scale}),
        Column(None, lambda row: row[0] or "all", "labels"),
        Column("effect", lambda row: f"{row[0]} of the labels: " * bool(row[0]) + _named(row[1])),
        Column(None, lambda row: _named(row[1]), "effect"),
        Column("share (%)", lambda row: row[1].value, "share", percents),
        Column("interval", lambda row: _interval(row[1])),
        Column(None, lambda row: attributes(row[1], "low high")),
        Column("lowest without one level (which)", lambda row: row[1].lowest, show=one.without),
        Column("highest without one level", lambda row: row[1].highest, show=one.without),
        Column(None, lambda row: attributes(row[1].lowest, lowest_without_a_level="value")),
        Column(None, lambda row: attributes(row[1].highest, highest_without_a_level="value")),
        Column(None, lambda row: one.noise or "not subtracted", "noise"),
        Column(None, lambda row: " x ".join(str(len(factor.levels)) for factor in one.factorial.factors), "factorial"),
    ]
    what = f"shares of the variance of test scores ({one.scale})"
    rows = [(level, share) for level, own in labels.items() for share in own]
    return table_of(one.comparison, catalog, "shares", what, columns, rows, _notes(one), one.how)


def with_noise(table: Table[Explaining], one: Explained) -> Table[Explaining]:
    """The table as it is read, with a last row for the noise."""
    noise = Share((f"noise: {one.noise}",), one.rest)
    return replace(table, rows=[*table.rows, ("", noise)]) if one.noise else table


def _interval(share: Share) -> str | None:
    return None if share.low is None else f"[{percents(share.low)}, {percents(share.high or 0.0)}]"


def _notes(one: Explained) -> list[str]:
    ordered = {
        factor.name: sorted(factor.levels, key=tap_order) if factor.name == LAYER else factor.levels
        for factor in one.factorial.factors
    }
    fixed = [f"{name} {level}" for name, level in one.factorial.fixed.items()]
    levels = "; ".join(f"{name}: {', '.join(own)}" for name, own in ordered.items())
    notes = [
        f"Balanced factorial without controls and variants of models. {levels}."
        + (f" Fixed: {', '.join(fixed)}." if fixed else ""),
        *_method(one),
        "Shares apply to these levels; the lowest and highest share without any one level show how much they depend on "
        "it.",
    ]
    left = f"Recorded, but not in the largest balanced factorial: {'; '.join(one.factorial.left_out)}."
    return [*notes, *([left] if one.factorial.left_out else [])]


def _method(one: Explained) -> list[str]:
    """How shares were computed, and what is known of their error."""
    if one.noise is None:
        return [
            "Eta squared, SS / SS total, of the scores in the tables: R2 pooled over all shuffles, one per cell. Rows "
            "sum to 100, also within one label fraction. The noise of these scores is unknown and not subtracted: it "
            "is part of all rows, mostly of the last."
        ]
    omega = (
        "Omega squared: (SS - df MS) / (SS total + MS), where MS is the mean square of the noise. A negative share is "
        "smaller than expected from noise alone. Rows sum to 100, negative ones included."
    )
    if one.noise == "seeds":
        return [omega, "Intervals: 95 %, over test samples (or groups of samples) and seeds; levels are fixed."]
    return [
        omega,
        f"Noise: what {one.noise} change differently in different cells. There are no intervals, because {one.noise} "
        "are few and the outcomes of most taps need not be kept.",
    ]


def regret_table(one: Explained, catalog: Catalog) -> Table[Regret]:
    """What the wrong level of every factor costs."""
    columns: list[Column[Regret]] = [
        Column("labels", lambda cost: cost.labels or None),
        Column("wrong", lambda cost: cost.factor),
        Column("chosen by validation", lambda cost: cost.best),
        Column("wrong levels", lambda cost: cost.wrong),
        Column("all else kept: mean loss [interval]", lambda cost: cost.kept.mean),
        Column("the level ranked last on validation", lambda cost: _last(cost.kept, one.unit)),
        Column("all else chosen again: mean loss [interval]", lambda cost: cost.rechosen.mean),
        Column("the level then ranked last on validation", lambda cost: _last(cost.rechosen, one.unit)),
    ]
    notes = (
        "Loss: test score of the combination that validation chooses minus that of combinations with a wrong level; a "
        "positive value is a cost. Kept: all else as in the chosen combination. Chosen again: the best combination on "
        "validation with the wrong level. Adaptation: decoder and tuning together.",
        "Intervals: 95 %, t, over the common test samples (or groups of samples) and seeds.",
    )
    what = f"cost of a wrong choice, test {one.unit.label}"
    return table_of(one.comparison, catalog, "regret", what, columns, one.regrets, notes, one.how)


def _last(loss: Loss, unit: MetricFormat) -> str:
    return f"{unit.difference(loss.last)} ({loss.name})"


def regret_rows(one: Explained) -> list[Row]:
    """One row of numbers per label fraction, factor and way to choose the rest."""
    source = {**described(one.comparison.record, "evidence task"), "metric": one.comparison.any_score.metric}
    return [
        {
            **source,
            **attributes(cost, "labels", wrong="factor"),
            "rest": rest,
            **attributes(cost, "best", levels="wrong"),
            **attributes(loss.mean, loss="value", low="low", high="high"),
            "last_level": loss.name,
            **attributes(loss.last, last_loss="value", last_low="low", last_high="high"),
        }
        for cost in one.regrets
        for rest, loss in (("kept", cost.kept), ("rechosen", cost.rechosen))
    ]


def shares_pages(found: Sequence[Explained], catalog: Catalog) -> list[Page]:
    """What explains scores, and what wrong choices cost, on one page; none without any."""
    tables: list[Table[Any]] = []
    csv: dict[str, MakeRows] = {}
    lines = []
    for one in found:
        shares = shares_table(one, catalog)
        own: list[Table[Any]] = [with_noise(shares, one)] if one.shares else []
        csv |= {table.slug: shares.data for table in own}
        if one.regrets:
            own.append(regret_table(one, catalog))
            csv[own[-1].slug] = partial(regret_rows, one)
        files = [(table.slug.rpartition("-")[2], table.slug) for table in own]
        links = [pair for name, slug in files for pair in ((name, f"{slug}.md"), ("CSV", f"{slug}.csv"))]
        lines.append(line_of(one.slug, one.comparison.simulated, links))
        tables += own
    return [Page(tables, lines, _text(found), csv)] if found else []


def _text(found: Sequence[Explained]) -> str:
    """A line per table with what explains most, and per label fraction what wrong choices cost."""
    simulated = any(one.comparison.simulated for one in found)
    lines = ["Shares of the variance of test scores (%)" + (f", {SIMULATED} included" if simulated else "")]
    for one in found:
        lines.append(f"  {one.slug}: {', '.join(_largest(one))}" if one.shares else f"  {one.slug}")
        for level, own in list(one.by_labels.items())[:1]:
            parts = [f"{_named(share)} {percents(share.value)}" for share in own]
            lines.append(f"    with {level} of the labels alone: {', '.join(parts)}")
        for labels in dict.fromkeys(cost.labels for cost in one.regrets):
            costs = [cost for cost in one.regrets if cost.labels == labels]
            parts = [f"{cost.factor} {one.unit.difference(cost.kept.mean)}" for cost in costs]
            at = f" at {labels} of the labels" if labels else ""
            lines.append(f"    cost of a wrong choice{at}, {one.unit.label}: {'; '.join(parts)}")
    return "\n".join(lines)


def _largest(one: Explained) -> list[str]:
    """The largest shares, the sum of the others, and the noise: 100 % together."""
    ranked = sorted(one.shares, key=lambda share: -share.value)
    parts = [f"{_named(share)} {percents(share.value)}" for share in ranked[:SHOWN]]
    if ranked[SHOWN:]:
        parts.append(f"all others {percents(sum(share.value for share in ranked[SHOWN:]))}")
    return [*parts, f"noise of {one.noise} {percents(one.rest)}" if one.noise else "noise is part of all of these"]


def _named(share: Share) -> str:
    return " x ".join(share.effect)


def percents(share: float) -> str:
    """Format a share in percent, without the sign: ``24.8``."""
    return f"{round(100 * share, 1) + 0.0:.1f}"
