"""The table of transferable taps."""

from collections.abc import Sequence

from geofm_eval.plurals import counted
from geofm_eval.report.formats import Column, Row, Table, described, ends
from geofm_eval.results.comparison import LAST
from geofm_eval.results.taps import sign
from geofm_eval.results.transfer import FEWEST_TASKS, TapTransfers, Transfer
from geofm_eval.results.units import SIMULATED, percent, unit_of
from geofm_eval.stats.difference import Difference

SAME = "same tap"


def transfer_table(transfers: TapTransfers) -> Table[Transfer]:
    """One row per model and left-out task, each in the unit of its task."""
    columns: list[Column[Transfer]] = [
        Column("model", lambda row: row.subject.record),
        Column("task", lambda row: f"{row.task}, {unit_of(row.comparison).label}"),
        Column("transferable tap", lambda row: f"{row.tap} (from {counted(len(row.others), 'task')})"),
        Column("score [interval]", lambda row: unit_of(row.comparison).score(row.score)),
        Column("own choice", lambda row: f"{row.own.tap} {unit_of(row.comparison).value(row.own.score.value)}"),
        Column("minus own [interval]", lambda row: _difference(row, row.own.tap, row.over_own)),
        Column("final", lambda row: unit_of(row.comparison).value(_final(row))),
        Column("minus final [interval]", lambda row: _difference(row, LAST, row.over_final)),
        Column(None, lambda row: {"evidence": row.comparison.record.evidence, "family": transfers.family}),
        Column(None, lambda row: described(row.subject.record, "task adaptation model control")),
        Column(None, _fields),
        Column(None, lambda row: row.over_own, ends("minus_own")),
        Column(None, _final, "final_score"),
        Column(None, lambda row: row.over_final, ends("minus_final")),
    ]
    title = f"Transferable tap, {transfers.family} probes: chosen on all other tasks, scored on the one left out"
    return Table(
        slug=transfers.slug,
        title=f"{SIMULATED}: {title}" if transfers.rows[0].comparison.simulated else title,
        columns=columns,
        rows=transfers.rows,
        notes=(
            "Transferable tap: the tap with the highest mean of validation scores, standardised over the taps of each "
            "task (ties: the shallower tap), over the other tasks of this evidence class and family of probes that "
            f"share no sample with the one left out, at least {FEWEST_TASKS - 1}; data sets have equal weights, "
            "whatever their number of tasks. Own choice: the tap with the best validation score on the task itself.",
            "Differences have paired 95 % intervals over the same test samples, which take both taps as given and are "
            "not adjusted for the number of rows. Without per-sample outcomes there is no interval.",
            f"Minus own choice: {_tally([row.over_own for row in transfers.rows], transfers)}. Minus final: "
            f"{_tally([row.over_final for row in transfers.rows], transfers)}.",
            f"Label fraction: the largest of every task ({_fractions(transfers)}).",
        ),
    )


def _final(row: Transfer) -> float | None:
    score = row.subject.score(LAST, row.fraction)
    return None if score is None else score.value


def _difference(row: Transfer, tap: str, difference: Difference | None) -> str:
    return SAME if row.tap == tap else unit_of(row.comparison).difference(difference)


def _fields(row: Transfer) -> Row:
    return {
        "fraction": float(row.fraction),
        "metric": row.score.metric,
        "tap": row.tap,
        "other_tasks": " ".join(row.others),
        "score": row.score.value,
        "own_tap": row.own.tap,
        "own_score": row.own.score.value,
    }


def _tally(differences: Sequence[Difference | None], transfers: TapTransfers) -> str:
    """``clearly better in 2 of 9 rows with an interval, clearly worse in 1``."""
    turned = [
        one.times(sign(row.score)) for one, row in zip(differences, transfers.rows, strict=True) if one is not None
    ]
    known = [one for one in turned if one.low is not None and one.high is not None]
    better = sum(one.low is not None and one.low > 0 for one in known)
    worse = sum(one.high is not None and one.high < 0 for one in known)
    return f"clearly better in {better} of {counted(len(known), 'row')} with an interval, clearly worse in {worse}"


def _fractions(transfers: TapTransfers) -> str:
    return ", ".join(percent(value) for value in sorted({float(row.fraction) for row in transfers.rows}))
