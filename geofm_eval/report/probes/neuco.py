"""The table of NeuCo-Bench's own probe: what its leaderboard would show, next to ridge; not used in rankings."""

from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.report.formats import Column, Table
from geofm_eval.report.wording import heading
from geofm_eval.results.comparison import Comparison, Subject
from geofm_eval.results.neuco import COLUMNS, NeucoComparison


def neuco_table(comparison: NeucoComparison, catalog: Catalog) -> Table[tuple[str, str]]:
    """One row per model and tap: mean R2 of the shuffles and Q under each probe."""
    subject = Subject(comparison.first.case.model, {comparison.first.case.layer: comparison.first}, {})
    columns: list[Column[tuple[str, str]]] = [Column("model", lambda row: row[0]), Column("tap", lambda row: row[1])]
    for adaptation in COLUMNS:
        for name, what in (("mean R2", "mean_r2"), ("Q", "neuco_q")):
            columns.append(Column(f"{adaptation}: {name}", partial(_value, comparison, adaptation, what)))
    return Table(
        slug=comparison.slug,
        title=heading(
            Comparison(comparison.slug, (subject,), {}),
            catalog,
            "mean R2 and Q over 40 shuffles; not ranked",
            "NeuCo-Bench's own protocol",
        ),
        columns=columns,
        rows=comparison.rows,
        notes=(
            "adamw is NeuCo-Bench's probe as published: AdamW, ten epochs, the best of which is picked on the test "
            "samples of each shuffle; features and target are scaled with all samples. adamw_mended scales with the "
            "training samples and scores the last epoch. ridge is the probe of all other tables, solved to its "
            "optimum.",
            "Q = 2 mean / (0.02 + sd) of the R2 of the shuffles. Compare only the first two columns with NeuCo-Bench's "
            "leaderboard: adamw and adamw_mended are excluded from rankings, verdicts and ranges.",
        ),
    )


def _value(comparison: NeucoComparison, adaptation: str, what: str, row: tuple[str, str]) -> float | None:
    """With all labels: NeuCo-Bench has no other score."""
    record = comparison.records.get((adaptation, *row))
    score = None if record is None else record.scores.get("1.0")
    return None if score is None else score.extra[what]
