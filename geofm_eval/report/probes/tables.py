"""The tables of one comparison: ranking, depth profile, label efficiency."""

from collections.abc import Iterator, Sequence
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.records import Record, display_name, marks
from geofm_eval.report.formats import Column, Row, Table, attributes, described, ends
from geofm_eval.report.probes.curves import DepthPoint, DepthProfile, LabelCurve
from geofm_eval.report.probes.rows import CASE, error_fields, input_fields, score_fields
from geofm_eval.report.wording import family, interval_sentence, named, table_of
from geofm_eval.results.comparison import Comparison, Subject, tap_order
from geofm_eval.results.leaderboard import Ranking, RankingRow
from geofm_eval.results.taps import ChosenTap
from geofm_eval.results.units import UNKNOWN, of_labels, target_unit, unit_of

CHOSEN = "*"
"""Marks the tap that validation chose."""

TEMPORAL = {"native": "passed to the model together", "per_date": "passed one by one, features averaged"}
"""Use of the dates of a time series."""


def ranking_table(ranking: Ranking, catalog: Catalog, notes: Sequence[str] = ()) -> Table[RankingRow]:
    """Models in the order of their test scores at the validation-chosen tap, controls among them and marked."""
    comparison, unit = ranking.comparison, unit_of(ranking.comparison)
    over = f"over {ranking.control or 'best control'}"
    error: list[Column[RankingRow]] = [
        Column(f"RMSE ({target_unit(comparison)})", lambda row: row.chosen.score.extra["rmse"], show="{:.4g}".format)
    ]
    columns: list[Column[RankingRow]] = [
        Column("rank", lambda row: row.rank, "rank", short="", right=True),
        Column(None, lambda row: described(row.subject.record, CASE)),
        Column("model", lambda row: row.subject.record, "model control", short="model"),
        Column("family", lambda row: family(row.subject.record, catalog), "family"),
        Column(f"{unit.label} [interval]", lambda row: row.chosen.score, short="score [interval]"),
        *(error if "rmse" in comparison.any_score.extra else []),
        Column("chosen tap", lambda row: f"{row.chosen.words} (of {row.chosen.candidates})"),
        Column(None, lambda row: f"{row.chosen.words} of {row.chosen.candidates}", short="chosen tap"),
        Column("within one standard error", lambda row: row.again and row.again.words, short="within one SE"),
        Column(None, lambda row: _choice_fields(row, comparison.full)),
        Column("final", lambda row: row.final and row.final.value, "final", short="final", right=True),
        Column("gain [interval]", lambda row: row.gain, ends("gain"), short="gain [interval]"),
        Column(None, lambda row: row.control, "best_control"),
        Column(f"{over} [interval]", lambda row: row.over_control, ends("over_control"), short=over),
        Column(None, lambda row: error_fields(comparison, row.chosen.score) | input_fields(row.subject.record)),
        Column("bands", lambda row: real_bands(row.subject.record)),
        Column("pooling", lambda row: row.subject.record.provenance.pooling),
        Column("n", lambda row: row.chosen.score.n),
        Column("notes", lambda row: (*_taken_as_given(row), *remarks(row.subject, catalog))),
    ]
    what = f"ranking by test {unit.label}, {of_labels(comparison.record.scores, comparison.full)}"
    notes = (*notes, *_ranking_notes(ranking))
    return table_of(comparison, catalog, "ranking", what, columns, ranking.rows, notes)


def _choice_fields(row: RankingRow, fraction: str) -> Row:
    chosen, again = row.chosen, row.again
    return {
        "fraction": float(fraction),
        **attributes(chosen, "tap candidates val_score val_loss"),
        "taps_within_one_se": None if again is None else len(again.near),
        "within_one_se": None if again is None else " ".join(again.near),
        "chosen_again": None if again is None else again.share[chosen.tap],
        **score_fields(chosen.score),
    }


def _taken_as_given(row: RankingRow) -> list[str]:
    if row.again is not None or row.chosen.candidates < 2:
        return []
    return ["its records have no validation resamples: the interval of the gain takes the chosen tap as given"]


def real_bands(record: Record) -> str:
    """Real against expected bands, such as ``3 of 12``."""
    inputs = record.provenance.inputs
    return UNKNOWN if inputs is None else f"{len(inputs.real_bands)} of {len(inputs.expected_bands)}"


def _filled_with(record: Record) -> str:
    """How absent bands were filled; the first version of the recipes used zero in the task's unit."""
    recipe = record.provenance.recipe or {}
    if recipe.get("fill") != "band_mean":
        return "filled with zero" if recipe.get("fill") == "raw_zero" else "filled"
    own = recipe.get("normalisation") == "native"
    return "filled with the band means of the model's pretraining corpus" if own else "filled with the band mean"


def _dropped_channels(subject: Subject) -> str:
    """Largest number of channels with nothing but rounding errors, which probes left out, and its tap; or nothing."""
    counts = {
        tap: max((one.dropped_channels or 0 for one in record.selection.choices), default=0)
        for tap, record in subject.taps.items()
        if record.selection is not None
    }
    most = max(counts, key=counts.__getitem__, default=None)
    if most is None or not counts[most]:
        return ""
    return f"up to {counted(counts[most], 'channel')} with nothing but rounding errors left out (most at {most})"


def remarks(subject: Subject, catalog: Catalog) -> Iterator[str]:
    """What a reader must know of one row: failed cases, bands, product, licence."""
    failed = [record for record in subject.taps.values() if record.outcome.status == "failed"]
    if failed:
        yield f"{len(failed)} of its cases failed; first reason: {failed[0].outcome.reason}"
    yield from (f"{reason}: shown, but not counted in any verdict" for reason in marks(subject.record))
    yield from _input_remarks(subject.record)
    if dropped := _dropped_channels(subject):
        yield dropped
    spec = catalog.models.get(subject.model)
    if spec is None:
        yield "licence unknown: the model is not in the catalog (give its file with --catalog)"
    elif spec.licence:
        yield f"licence {spec.licence}"


def _input_remarks(record: Record) -> Iterator[str]:
    inputs = record.provenance.inputs
    if inputs is None:
        return
    for how, bands in ((_filled_with(record), inputs.filled_bands), ("masked", inputs.masked_bands)):
        if bands:
            yield f"bands absent from the data and {how}: {', '.join(bands)}"
    if inputs.product_mismatch:
        yield f"product mismatch: pretrained on {inputs.product_expected}, but the data are {inputs.product_found}"
    if inputs.dates is not None and inputs.temporal in TEMPORAL:
        yield f"{counted(inputs.dates, 'date')}, {TEMPORAL[inputs.temporal]}"


def _ranking_notes(ranking: Ranking) -> list[str]:
    notes = [
        "Chosen tap: the tap with the best mean validation score (ties: the lower validation loss, then the shallower "
        "tap); the number of candidates is in brackets, and test scores play no part. Within one standard error: the "
        "chosen tap, and taps whose validation score is at most one standard error of the paired difference lower.",
        "final: after the last norm. Gain: chosen tap minus final; its interval includes the choice of the tap. "
        "Controls are marked; models are compared with the control with the best validation score. Intervals of "
        "differences are paired over the same samples.",
        interval_sentence([row.chosen.score for row in ranking.rows]),
    ]
    if any(row.chosen.agreed is not None for row in ranking.rows):
        notes.append(
            "Cross-validated: every fold is tested at the tap and penalty that its own inner validation chooses. The "
            "chosen tap is the one that most folds chose, with the number of these folds over all label draws."
        )
    if ranking.dropped:
        notes.append(f"Not ranked: {named(ranking.dropped)}.")
    return notes


def depth_table(comparison: Comparison, profiles: Sequence[DepthProfile], catalog: Catalog) -> Table[str]:
    """Test score per tap: one row per tap, one column per model."""
    unit = unit_of(comparison)

    def show(point: DepthPoint) -> str:
        return unit.value(point.score.value) + f" {CHOSEN}" * point.chosen

    columns: list[Column[str]] = [Column("tap", str)]
    for profile in profiles:
        by_tap = {point.tap: point for point in profile.points}
        columns.append(Column(display_name(profile.subject.record), by_tap.get, show=show))
    what = f"depth profile, test {unit.label}, {of_labels(comparison.record.scores, comparison.full)}"
    note = "The other test scores only show the profile: the best of a column is optimistic."
    taps = sorted({tap for profile in profiles for tap in profile.taps}, key=tap_order)
    return table_of(comparison, catalog, "depth", what, columns, taps, [f"{CHOSEN} chosen on validation. {note}"])


def label_table(comparison: Comparison, curves: Sequence[LabelCurve], catalog: Catalog) -> Table[LabelCurve]:
    """Test score per label fraction: one row per model, one column per fraction."""
    unit, scores = unit_of(comparison), comparison.record.scores

    def show(chosen: ChosenTap) -> str:
        return f"{unit.score(chosen.score)} at {chosen.tap}, {counted(chosen.score.n_train, 'label')}"

    columns: list[Column[LabelCurve]] = [Column("model", lambda curve: curve.subject.record)]
    for fraction in comparison.fractions:
        columns.append(Column(of_labels(scores, fraction), partial(_chosen, float(fraction)), show=show))
    notes = [
        "Mean over the draws of the label subset, at the tap that validation chose at that fraction.",
        interval_sentence([chosen.score for curve in curves for chosen in curve.points.values()]),
    ]
    few = [curve.subject.model for curve in curves if len(curve.points) < len(comparison.fractions)]
    if few:
        notes.append(f"{UNKNOWN}: no chosen tap, because too few labels give no validation score ({', '.join(few)}).")
    return table_of(comparison, catalog, "labels", f"label efficiency, test {unit.label}", columns, curves, notes)


def _chosen(fraction: float, curve: LabelCurve) -> ChosenTap | None:
    return curve.points.get(fraction)
