"""The table, CSV and links of transferable taps."""

from collections.abc import Sequence

from geofm_eval.records import display_name
from geofm_eval.report.formats import Row, Table
from geofm_eval.results.comparison import LAST
from geofm_eval.results.taps import sign
from geofm_eval.results.transfer import FEWEST_TASKS, Transfer, TransferStudy
from geofm_eval.results.units import SIMULATED, UNKNOWN, percent, unit_of
from geofm_eval.stats.difference import Difference

SAME = "same tap"


def transfer_table(study: TransferStudy) -> Table:
    """One row per model and left-out task."""
    header = ("model", "task", "transferable tap", "score [interval]", "own choice", "minus own [interval]")
    simulated = study.rows[0].comparison.simulated
    title = f"Transferable tap, {study.family} probes: chosen on all other tasks, scored on the one left out"
    return Table(
        slug=study.slug,
        title=f"{SIMULATED}: {title}" if simulated else title,
        header=(*header, "final", "minus final [interval]"),
        rows=tuple(_cells(row) for row in study.rows),
        notes=(
            "Transferable tap: the highest mean of validation scores, standardised over the taps of each task (ties: "
            "the shallower tap), over all other tasks of this evidence class and family of probes that have no item "
            f"in common with the one left out, at least {FEWEST_TASKS - 1}; data sets have equal weights, whatever "
            "their number of tasks. Own choice: best validation score on the task itself.",
            "Differences have paired 95 % intervals over the same test items, which take both taps as given and are "
            "not adjusted for the number of rows; without an interval where the records have no per-item outcomes.",
            f"Minus own choice: {_tally([row.over_own for row in study.rows], study)}. Minus final: "
            f"{_tally([row.over_final for row in study.rows], study)}.",
            f"Label fraction: the largest of every task ({_fractions(study)}).",
        ),
    )


def _cells(row: Transfer) -> tuple[str, ...]:
    unit, final = unit_of(row.comparison), row.subject.score(LAST, row.fraction)
    return (
        display_name(row.subject.record),
        f"{row.task}, {unit.label}",
        f"{row.tap} (by {len(row.others)} tasks)",
        unit.score(row.score),
        f"{row.own.tap} {unit.value(row.own.score.value)}",
        SAME if row.tap == row.own.tap else unit.difference(row.over_own),
        UNKNOWN if final is None else unit.value(final.value),
        SAME if row.tap == LAST else unit.difference(row.over_final),
    )


def _tally(differences: Sequence[Difference | None], study: TransferStudy) -> str:
    """Such as ``better in 2 of 9 rows with an interval, worse in 1``."""
    turned = [one.times(sign(row.score)) for one, row in zip(differences, study.rows, strict=True) if one is not None]
    known = [one for one in turned if one.low is not None and one.high is not None]
    better = sum(one.low is not None and one.low > 0 for one in known)
    worse = sum(one.high is not None and one.high < 0 for one in known)
    return f"clearly better in {better} of {len(known)} rows with an interval, clearly worse in {worse}"


def _fractions(study: TransferStudy) -> str:
    return ", ".join(percent(value) for value in sorted({float(row.fraction) for row in study.rows}))


def transfer_rows(study: TransferStudy) -> list[Row]:
    """Rows of the CSV: one per model and left-out task."""
    return [
        {
            "evidence": row.comparison.record.evidence,
            "family": study.family,
            "task": row.task,
            "adaptation": row.comparison.record.case.adaptation,
            "model": row.subject.model,
            "control": row.subject.is_control,
            "fraction": float(row.fraction),
            "metric": row.score.metric,
            "tap": row.tap,
            "other_tasks": " ".join(row.others),
            "score": row.score.value,
            "own_tap": row.own.tap,
            "own_score": row.own.score.value,
            **_ends("minus_own", row.over_own),
            "final_score": None if (final := row.subject.score(LAST, row.fraction)) is None else final.value,
            **_ends("minus_final", row.over_final),
        }
        for row in study.rows
    ]


def _ends(name: str, difference: Difference | None) -> Row:
    value, low, high = (None, None, None) if difference is None else (difference.value, difference.low, difference.high)
    return {name: value, f"{name}_low": low, f"{name}_high": high}


def lines_of_transfers(studies: Sequence[TransferStudy]) -> list[str]:
    """Links for the index page."""
    return [
        f"{one.slug}{f' ({SIMULATED})' if one.rows[0].comparison.simulated else ''}: [table]({one.slug}.md), "
        f"[LaTeX]({one.slug}.tex), [CSV]({one.slug}.csv)"
        for one in studies
    ]
