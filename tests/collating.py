"""What the tests of collation share: a small run, and edits of its records."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.records import Outcome, Record, read_record, record_path, write_record
from geofm_eval.report.probes import page as probes
from geofm_eval.report.trainings import page as trainings
from geofm_eval.results.comparison import Subject
from geofm_eval.results.leaderboard import Ranking
from tests.synthetic_run import MODELS, Synthetic, make_record, write_run

SMALL = tuple(model for model in MODELS if model.slug in {"galileo_nano", "galileo_nano_random", "band_stats"})
MODEL, CONTROL = SMALL[0], SMALL[1]
CATALOG = load_catalog()


def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of the time of a collation, and most tests look at words."""
    for page, name in ((probes, "depth"), (probes, "label"), (trainings, "pareto"), (trainings, "block")):
        monkeypatch.setattr(page, f"{name}_figure", lambda *_: None)


def small_run(folder: Path) -> Path:
    """A run of three models on one simulated task."""
    return write_run(folder / "small", SMALL, ("eurosat_sim",), ("linear",))


def change(run: Path, model: Synthetic, tap: str, edit: Callable[[Record], Record], task: str = "eurosat_sim") -> Path:
    """Rewrite one record of a run, with its outcomes where it keeps its scores."""
    path = record_path(run, "probe", f"{model.slug}-{task}-linear-{tap}")
    _, outcomes = make_record(model, task, "linear", tap)
    record = edit(read_record(path))
    return write_record(record, outcomes if record.scores else None, run)


def fail(record: Record, status: str = "error", keep: bool = False) -> Record:
    outcome = Outcome(status=status, verdict="no_range", reason="AssertionError: the solver did not converge")
    return record.model_copy(update={"outcome": outcome, **({} if keep else {"scores": {}})})


def with_source(record: Record, **changes: object) -> Record:
    return record.model_copy(update={"provenance": record.provenance.model_copy(update=changes)})


def rows_of(ranking: Ranking) -> dict[str, int]:
    return {row.subject.model: row.rank for row in ranking.rows}


def page(run: Path) -> str:
    return (run / "tables" / "README.md").read_text(encoding="utf-8")


def subject_of(val_scores: list[float], test_scores: list[float]) -> Subject:
    model = Synthetic("m", val_scores if len(val_scores) != 1 else (0.5,))
    taps = {}
    for tap, val, test in zip(model.taps, val_scores, test_scores, strict=True):
        record, _ = make_record(model, "eurosat_sim", "linear", tap)
        assert record.selection is not None
        choices = tuple(replace(c, val_score=val) for c in record.selection.choices)
        scores = {"1.0": record.scores["1.0"].model_copy(update={"value": test})}
        selection = record.selection.model_copy(update={"choices": choices})
        taps[tap] = record.model_copy(update={"scores": scores, "selection": selection})
    return Subject("m", taps, {})
