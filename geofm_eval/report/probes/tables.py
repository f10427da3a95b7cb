"""The tables of one comparison, as they are read: ranking, depth profile, label efficiency."""

from collections.abc import Sequence

from geofm_eval.catalog import Catalog
from geofm_eval.records import Record, Score, display_name, marks
from geofm_eval.report.formats import Footnotes, Table
from geofm_eval.report.probes.curves import DepthProfile, LabelCurve, LabelPoint
from geofm_eval.report.wording import family, heading, interval_sentence, named, shared_notes
from geofm_eval.results.comparison import Comparison, Subject, tap_order
from geofm_eval.results.leaderboard import Ranking, RankingRow
from geofm_eval.results.units import UNKNOWN, MetricFormat, of_labels, target_unit, unit_of

CHOSEN = "*"
"""Marks the tap that validation chose."""

TEMPORAL = {"native": "all given to the model at once", "per_date": "one after another, their features averaged"}
"""What became of the dates of a time series."""


def ranking_table(ranking: Ranking, catalog: Catalog) -> Table:
    """Models in the order of their test scores at the validation-chosen tap, controls among them and marked."""
    comparison, footnotes = ranking.comparison, Footnotes()
    unit = unit_of(comparison)
    companions = (f"RMSE ({target_unit(comparison)})",) if _has_rmse(comparison.any_score) else ()
    header = (
        "rank",
        "model",
        "family",
        f"{unit.label} [interval]",
        *companions,
        "chosen tap",
        "within one standard error",
        "final",
        "gain [interval]",
        f"over {ranking.control or 'best control'} [interval]",
        "bands",
        "pooling",
        "n",
        "notes",
    )
    what = f"ranking by test {unit.label}, {of_labels(comparison.record.scores, comparison.full)}"
    return Table(
        slug=f"{comparison.slug}-ranking",
        title=heading(comparison, catalog, what),
        header=header,
        rows=tuple(_ranking_cells(row, unit, catalog, footnotes) for row in ranking.rows),
        footnotes=footnotes.texts,
        notes=(*_ranking_notes(ranking), *shared_notes(comparison, catalog)),
    )


def _ranking_cells(row: RankingRow, unit: MetricFormat, catalog: Catalog, footnotes: Footnotes) -> tuple[str, ...]:
    record = row.subject.record
    return (
        str(row.rank),
        display_name(row.subject.record),
        family(record, catalog),
        unit.score(row.chosen.score),
        *((f"{row.chosen.score.extra['rmse']:.4g}",) if _has_rmse(row.chosen.score) else ()),
        f"{row.chosen.tap} (of {row.chosen.candidates})",
        UNKNOWN if row.again is None else row.again.words,
        UNKNOWN if row.final is None else unit.value(row.final.value),
        unit.difference(row.gain),
        unit.difference(row.over_control),
        real_bands(record),
        record.provenance.pooling or UNKNOWN,
        str(row.chosen.score.n),
        " ".join(footnotes.mark(text) for text in (*_taken_as_given(row), *remarks(row.subject, catalog))),
    )


def _taken_as_given(row: RankingRow) -> list[str]:
    if row.again is not None or row.chosen.candidates < 2:
        return []
    return ["no validation resamples in its records: the gain's interval takes the chosen tap as given"]


def _has_rmse(score: Score) -> bool:
    return "rmse" in score.extra


def real_bands(record: Record) -> str:
    """Real against expected bands, such as ``3 of 12``."""
    inputs = record.provenance.inputs
    return UNKNOWN if inputs is None else f"{len(inputs.real_bands)} of {len(inputs.expected_bands)}"


def _filled_with(record: Record) -> str:
    """What stands for absent bands; the first version of the recipes put them at zero in the task's unit."""
    recipe = record.provenance.recipe or {}
    if recipe.get("fill") != "band_mean":
        return "filled with zero" if recipe.get("fill") == "raw_zero" else "filled"
    own = recipe.get("normalisation") == "native"
    return "filled with the band means of the model's pretraining corpus" if own else "filled with the band mean"


def _dropped_channels(subject: Subject) -> str:
    """How many channels probes left out because they only hold rounding, at most, and at which tap; or nothing."""
    counts = {
        tap: max((one.dropped_channels or 0 for one in record.selection.choices), default=0)
        for tap, record in subject.taps.items()
        if record.selection is not None
    }
    most = max(counts, key=counts.__getitem__, default=None)
    if most is None or not counts[most]:
        return ""
    return f"up to {counts[most]} channels only hold rounding and are left out (most at {most})"


def remarks(subject: Subject, catalog: Catalog) -> list[str]:
    """What a reader must know of one row: failed cases, bands, product, licence."""
    remarks = []
    failed = [record for record in subject.taps.values() if record.outcome.status == "failed"]
    if failed:
        remarks.append(f"{len(failed)} of its cases failed, the first with: {failed[0].outcome.reason}")
    remarks += [f"{reason}: shown, but not counted in any verdict" for reason in marks(subject.record)]
    inputs = subject.record.provenance.inputs
    if inputs is not None and inputs.filled_bands:
        absent = ", ".join(inputs.filled_bands)
        remarks.append(f"bands absent from the data and {_filled_with(subject.record)}: {absent}")
    if inputs is not None and inputs.masked_bands:
        remarks.append(f"bands absent from the data and masked: {', '.join(inputs.masked_bands)}")
    if inputs is not None and inputs.product_mismatch:
        remarks.append(f"product mismatch: trained on {inputs.product_expected}, the data are {inputs.product_found}")
    if inputs is not None and inputs.temporal in TEMPORAL:
        remarks.append(f"{inputs.dates} dates, {TEMPORAL[inputs.temporal]}")
    if dropped := _dropped_channels(subject):
        remarks.append(dropped)
    spec = catalog.models.get(subject.model)
    if spec is None:
        remarks.append("licence unknown: the model is not in the catalog (give its file with --catalog)")
    elif spec.licence:
        remarks.append(f"licence {spec.licence}")
    return remarks


def _ranking_notes(ranking: Ranking) -> list[str]:
    scores = [row.chosen.score for row in ranking.rows]
    notes = [
        "Chosen tap: the best mean validation score (ties: the lower validation loss, then the shallower tap), among "
        "as many taps as the bracket says; the test score was read afterwards. Within one standard error: the chosen "
        "tap, and those whose validation score is at most one standard error of the paired difference below its own.",
        "final: after the last norm. Gain: chosen tap minus final; its interval includes how the tap was chosen. "
        "Controls are marked; models are set against the one with the best validation score. Differences have paired "
        "intervals over the same items.",
        interval_sentence(scores),
    ]
    if ranking.dropped:
        notes.append(f"Not ranked: {named(ranking.dropped)}.")
    return notes


def depth_table(comparison: Comparison, profiles: Sequence[DepthProfile], catalog: Catalog) -> Table:
    """Test score per tap: one row per tap, one column per model."""
    unit = unit_of(comparison)
    taps = sorted({tap for profile in profiles for tap in profile.taps}, key=tap_order)
    cells = {(p.subject.model, point.tap): point for p in profiles for point in p.points}

    def cell(model: str, tap: str) -> str:
        point = cells.get((model, tap))
        return UNKNOWN if point is None else unit.value(point.score.value) + (f" {CHOSEN}" if point.chosen else "")

    what = f"depth profile, test {unit.label}, {of_labels(comparison.record.scores, comparison.full)}"
    return Table(
        slug=f"{comparison.slug}-depth",
        title=heading(comparison, catalog, what),
        header=("tap", *(display_name(profile.subject.record) for profile in profiles)),
        rows=tuple((tap, *(cell(profile.subject.model, tap) for profile in profiles)) for tap in taps),
        notes=(
            f"{CHOSEN} chosen on validation. The other test scores are a figure, not results: the best of a column is "
            "optimistic.",
            *shared_notes(comparison, catalog),
        ),
    )


def label_table(comparison: Comparison, curves: Sequence[LabelCurve], catalog: Catalog) -> Table:
    """Test score per label fraction: one row per model, one column per fraction."""
    unit = unit_of(comparison)
    fractions, scores = [float(key) for key in comparison.fractions], comparison.record.scores
    return Table(
        slug=f"{comparison.slug}-labels",
        title=heading(comparison, catalog, f"label efficiency, test {unit.label}"),
        header=("model", *(of_labels(scores, fraction) for fraction in comparison.fractions)),
        rows=tuple((display_name(curve.subject.record), *_label_cells(curve, fractions, unit)) for curve in curves),
        notes=(
            "Mean over the draws of the label subset, at the tap that validation chose at that fraction.",
            interval_sentence(_scores(curves)),
            *_unchosen(curves),
            *shared_notes(comparison, catalog),
        ),
    )


def _label_cells(curve: LabelCurve, fractions: Sequence[float], unit: MetricFormat) -> list[str]:
    points = {point.fraction: point for point in curve.points}
    return [_label_cell(points.get(fraction), unit) for fraction in fractions]


def _label_cell(point: LabelPoint | None, unit: MetricFormat) -> str:
    if point is None:
        return UNKNOWN
    return f"{unit.score(point.score)} at {point.tap}, {point.score.n_train} labels"


def _scores(curves: Sequence[LabelCurve]) -> list[Score]:
    return [point.score for curve in curves for point in curve.points]


def _unchosen(curves: Sequence[LabelCurve]) -> list[str]:
    models = [curve.subject.model for curve in curves if curve.unchosen]
    if not models:
        return []
    return [f"{UNKNOWN}: too few labels for a validation score to choose a tap by ({', '.join(models)})."]
