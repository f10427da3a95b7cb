"""Tables of a comparison: the verdicts on primary cases, and where features moved."""

from geofm_eval.compare import CaseVerdict, RunComparison
from geofm_eval.report.formats import Column, Table
from geofm_eval.report.gate.sentences import difference_text, gain_unit, levels_text, named, role_text


def primary_table(found: RunComparison) -> Table[CaseVerdict]:
    """One row per primary case: regressions first, then by loss; identical cases are last."""
    columns: list[Column[CaseVerdict]] = [
        Column("case", lambda case: case.new.case.id),
        Column("role", role_text),
        Column("verdict", lambda case: "identical" if case.identical else case.verdict),
        Column("difference [95 %]", lambda case: difference_text(case, case.full)),
        Column("margin", lambda case: _in_its_unit(case, case.delta)),
        Column("old -> new", lambda case: levels_text(case, case.full)),
        Column("p (Holm)", lambda case: case.full.p, show=lambda p: f"{p:.2g}"),
        Column("smallest drop found (80 %)", lambda case: _in_its_unit(case, case.full.smallest)),
    ]
    return Table("gate", "Primary cases", columns, _by_loss(found))


def moved_table(found: RunComparison) -> Table[tuple[str, str, str, float | None]]:
    """Feature changes: one row per backbone and tap, shallow to deep."""
    rows = [(one.model, named(one.tasks), tap, value) for one in found.moved for tap, value in one.taps.items()]
    columns: list[Column[tuple[str, str, str, float | None]]] = [
        Column("model", lambda row: row[0]),
        Column("tasks", lambda row: row[1]),
        Column("tap", lambda row: row[2]),
        # Adding zero turns -0.0 into 0.0.
        Column("1 - CKA", lambda row: None if row[3] is None else row[3] + 0.0),
    ]
    return Table("moved", "Feature changes by tap", columns, rows)


def _by_loss(found: RunComparison) -> list[CaseVerdict]:
    rest = [case for case in found.primary if case.verdict != "regression"]
    others = sorted(
        (case for case in rest if not case.identical), key=lambda case: case.full.difference.value / case.delta
    )
    return [*found.regressions, *others, *(case for case in rest if case.identical)]


def _in_its_unit(case: CaseVerdict, value: float | None) -> str | None:
    gain = gain_unit(case.score.metric, case.new.provenance.target_unit)
    return None if value is None else gain.value(value)
