"""The table of NeuCo-Bench's own probe: what its leaderboard would show, beside ridge, and ranked by nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog, is_neuco
from geofm_eval.records import Record, Score
from geofm_eval.report.comparison import Comparison, Subject, split_records, tap_order
from geofm_eval.report.formats import Table
from geofm_eval.report.run import PROBE, RunContent
from geofm_eval.report.wording import SIMULATED, UNKNOWN, heading

COLUMNS = ("adamw", "adamw_mended", "ridge")
"""Adaptations that are shown side by side."""


@dataclass(frozen=True)
class NeucoStudy:
    """Records of one task under NeuCo-Bench's own probe, and of ridge on the same data.

    Args:
        slug: of the table, such as ``neuco_crops-neuco``.
        records: by adaptation, model and tap.
    """

    slug: str
    records: dict[tuple[str, str, str], Record]

    @property
    def first(self) -> Record:
        """One of the records, for what all share."""
        return next(iter(self.records.values()))

    @property
    def rows(self) -> list[tuple[str, str]]:
        """Models and taps that the probe was trained on, taps from shallow to deep."""
        own = {(model, tap) for adaptation, model, tap in self.records if is_neuco(adaptation)}
        return sorted(own, key=lambda pair: (pair[0], tap_order(pair[1])))


def neuco_studies(content: RunContent) -> list[NeucoStudy]:
    """What a run has of the probe, one table per task and data."""
    scored = content.scored_of(PROBE)
    tasks = sorted({record.case.task for record in scored if is_neuco(record.case.adaptation)})
    return [study for task in tasks for study in _studies(task, [one for one in scored if one.case.task == task])]


def _studies(task: str, records: Sequence[Record]) -> Iterator[NeucoStudy]:
    shown = [one for one in records if one.case.adaptation in COLUMNS]
    for number, part in enumerate(split_records(shown)):
        found = {(one.case.adaptation, one.case.model, one.case.layer): one for one in part}
        study = NeucoStudy(f"{task}-neuco" + (f"-{number + 1}" if number else ""), found)
        if study.rows:
            yield study


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
