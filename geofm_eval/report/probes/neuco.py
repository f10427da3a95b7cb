"""The table of NeuCo-Bench's own probe: what its leaderboard would show, beside ridge, and ranked by nothing."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import Record, Score
from geofm_eval.report.formats import Table
from geofm_eval.report.wording import heading
from geofm_eval.results.comparison import Comparison, Subject
from geofm_eval.results.neuco import COLUMNS, NeucoStudy
from geofm_eval.results.units import SIMULATED, UNKNOWN


def neuco_table(study: NeucoStudy, catalog: Catalog) -> Table:
    """One row per model and tap: mean R2 of the shuffles and Q under each probe."""
    subject = Subject(study.first.case.model, {study.first.case.layer: study.first}, {})
    shared = Comparison(study.slug, (subject,), {})
    header = [f"{name}: {what}" for name in COLUMNS for what in ("mean R2", "Q")]
    return Table(
        slug=study.slug,
        title=heading(shared, catalog, "mean R2 and Q over 40 shuffles; not ranked", "NeuCo-Bench's own protocol"),
        header=("model", "tap", *header),
        rows=tuple(_cells(study, model, tap) for model, tap in study.rows),
        notes=(
            "adamw is NeuCo-Bench's probe as published: AdamW, ten epochs, the best of them picked on the test items "
            "of each shuffle; features and target scaled with all items. adamw_mended scales with training items and "
            "scores the last epoch. ridge is the probe of all other tables, solved to its optimum.",
            "Q = 2 mean / (0.02 + sd) of the R2 of the shuffles. Compare the first two columns with NeuCo-Bench's "
            "leaderboard, nothing else: no ranking, verdict or range counts adamw or adamw_mended.",
        ),
    )


def _cells(study: NeucoStudy, model: str, tap: str) -> tuple[str, ...]:
    found = [model, tap]
    for adaptation in COLUMNS:
        score = _full(study.records.get((adaptation, model, tap)))
        found += [UNKNOWN if score is None else f"{score.extra[name]:.3f}" for name in ("mean_r2", "neuco_q")]
    return tuple(found)


def _full(record: Record | None) -> Score | None:
    """The score with all labels: NeuCo-Bench has no other."""
    return None if record is None else record.scores.get("1.0")


def lines_of_neuco(studies: Sequence[NeucoStudy]) -> list[str]:
    """Links for the index page."""
    return [
        f"{one.slug}{f' ({SIMULATED})' if one.first.evidence == 'simulated' else ''}: [table]({one.slug}.md), "
        f"[LaTeX]({one.slug}.tex)"
        for one in studies
    ]
