"""The rankings and depth profiles as plain text, for the end of a run."""

from collections.abc import Sequence
from dataclasses import replace

from geofm_eval.catalog import Catalog
from geofm_eval.records import display_name, marks_legend
from geofm_eval.records.marking import SHORT_CONTROL
from geofm_eval.report.formats import Table, aligned
from geofm_eval.report.probes.curves import DepthProfile
from geofm_eval.report.probes.tables import CHOSEN
from geofm_eval.report.wording import embedding_notes, heading, named
from geofm_eval.results.leaderboard import Ranking, RankingRow
from geofm_eval.results.units import MetricFormat, of_labels, unit_of

BARS = "▁▂▃▄▅▆▇█"


def text_of(
    ranking: Ranking,
    profiles: Sequence[DepthProfile],
    catalog: Catalog,
    table: Table[RankingRow],
    notes: Sequence[str] = (),
) -> str:
    """One comparison: the ranking, ``notes``, then the profile of every model that has a depth."""
    comparison, unit = ranking.comparison, unit_of(ranking.comparison)
    what = f"test {unit.label}, {of_labels(comparison.record.scores, comparison.full)}, n = {comparison.any_score.n}"
    legend = (
        f"  {SHORT_CONTROL} control; chosen tap: best of N on validation; within one SE: taps at most one standard "
        "error lower on validation; gain: chosen minus final"
    )
    return "\n".join(
        [
            heading(comparison, catalog, what),
            *table.lines(),
            legend + (f"; {ranking.control}: best control on validation" if ranking.control else ""),
            *(f"  {line}" for line in marks_legend(row.subject.record for row in ranking.rows)),
            *(f"  note: {line}" for line in embedding_notes(comparison, catalog)),
            *(f"  {note}" for note in notes),
            *_depth_lines(profiles, unit),
            *([f"  not ranked: {named(ranking.dropped)}"] if ranking.dropped else []),
        ]
    )


def _depth_lines(profiles: Sequence[DepthProfile], unit: MetricFormat) -> list[str]:
    """One block per set of taps, so that equal taps stand below each other."""
    deep = [profile for profile in profiles if len(profile.points) > 1]
    if not deep:
        return []
    scores = [point.score.value for profile in deep for point in profile.points]
    low, high = min(scores), max(scores)
    if unit.floor is not None and low < unit.floor < high:
        low = unit.floor
    lines = ["", f"  depth profile, test {unit.label} ({CHOSEN} chosen on validation)"]
    for taps in sorted({profile.taps for profile in deep}, key=len):
        rows = [["", *(tap.removeprefix("block") for tap in taps), ""]]
        rows += [_depth_cells(profile, unit, low, high) for profile in deep if profile.taps == taps]
        lines += aligned(rows, "l" + "r" * len(taps) + "l")
    return lines


def _depth_cells(profile: DepthProfile, unit: MetricFormat, low: float, high: float) -> list[str]:
    # One decimal less than in tables: fourteen taps must fit into a line.
    shape = replace(unit, decimals=unit.decimals - 1)
    cells = [shape.value(point.score.value) + (CHOSEN if point.chosen else " ") for point in profile.points]
    bars = "".join(sparkbar(point.score.value, low, high) for point in profile.points)
    return [display_name(profile.subject.record, short=True), *cells, bars]


def sparkbar(value: float, low: float, high: float) -> str:
    """One of eight bars, the lowest for ``low`` and what lies below it, the highest for ``high``."""
    share = (value - low) / (high - low) if high > low else 1.0
    return BARS[min(max(int(share * len(BARS)), 0), len(BARS) - 1)]
