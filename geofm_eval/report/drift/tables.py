"""Tables of drift: how much, where in a block, what it is worth; to be read, and as rows of numbers."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.records import Contrast, Reverted, display_name
from geofm_eval.report.formats import Row, Table
from geofm_eval.report.wording import heading, named, shared_notes
from geofm_eval.results.drift import NAMES, VERDICTS_ON, DriftCell, DriftStudy
from geofm_eval.results.units import UNKNOWN, MetricFormat, unit_named
from geofm_eval.stats.over_seeds import Estimate, estimate, leader

DIGITS = 3
QKV = ("q", "k", "v")
TUNED = "tuned backbones"


def small(value: float | None) -> str:
    """A drift in three significant digits."""
    if value is None or not np.isfinite(value):
        return UNKNOWN
    return f"{value:.{DIGITS}f}" if abs(value) >= 0.01 or value == 0 else f"{value:.1e}"


def signed(found: Estimate, factor: float = 1.0, decimals: int | None = None) -> str:
    """Such as ``+0.012 [+0.001, +0.023]``; without ``decimals`` small values are written ``+1.2e-05``."""
    values = [found.value, *([found.low, found.high] if found.low is not None and found.high is not None else [])]
    shape = f"+.{DIGITS if decimals is None else decimals}f"
    if decimals is None and 0 < max(map(abs, values)) < 0.01:
        shape = "+.1e"
    texts = [
        format(round(value * factor, 12 if shape == "+.1e" else int(shape[2:-1])) + 0.0, shape) for value in values
    ]
    return texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def summary_table(study: DriftStudy, catalog: Catalog) -> Table:
    """How much every backbone changed, against its floors, and whether it is more than noise."""
    unit = unit_of_drift(study, catalog)
    header = ["model", "adaptation", "labels", "rate", f"{unit.label}, {study.cells[0].drift.scored} items",
              "the same, backbone reverted"]  # fmt: skip
    for measure in VERDICTS_ON:
        header += [f"{measure}: tuned / shuffled / seeds", f"{measure}: tuned - shuffled [interval]"]
    header += ["total, tuned: last - first third of blocks [interval]", "largest where nothing was learnt"]
    rows = []
    for cell in study.cells:
        drift = cell.drift
        row = [display_name(cell.record), cell.name]
        row += [_labels(cell), f"{drift.rate:g}"]
        row += [unit.value(drift.score), unit.value(drift.frozen_score)]
        for measure in VERDICTS_ON:
            row.append(" / ".join(small(cell.over_blocks(measure, arm)) for arm in ("tuned", "shuffled", "seeds")))
            row.append(_signed(cell, drift.whole, measure))
        row += [_signed(cell, drift.raw_depth, "total"), small(_zero(cell))]
        rows.append(tuple(row))
    return Table(
        slug=f"{study.slug}",
        title=heading(study.comparison, catalog, "drift and its floors, mean over blocks", TUNED),
        header=tuple(header),
        rows=tuple(rows),
        notes=(*_notes(study), *shared_notes(study.comparison, catalog)),
    )


def parts_table(study: DriftStudy, catalog: Catalog) -> Table:
    """Drift of every part of a block, mean over blocks, and whether fc1 changes most."""
    rows = []
    for cell in study.cells:
        for measure in (m for m in NAMES if m in cell.drift.raw_parts):
            tuned, shuffled = (_by_part(cell, measure, arm) for arm in ("tuned", "shuffled"))
            texts = [_with_floor(part, tuned, shuffled) for part in study.cells[0].parts]
            rows.append((cell.model, cell.name, measure, *texts, *_verdict(cell, measure)))
    return Table(
        slug=f"{study.slug}-parts",
        title=heading(study.comparison, catalog, "drift by part of a block, mean over blocks", TUNED),
        header=(
            "model", "adaptation", "measure", *study.cells[0].parts, "most: tuned", "fc1 above shuffled: verdict",
            "fc1 minus the part that decides [interval]", "the same without floor",
        ),
        rows=tuple(rows),
        notes=(
            "In brackets: the same training on shuffled labels. Verdict on: what tuned exceeds shuffled labels by is "
            "larger at fc1 than at each other part. Supported: fc1 is clearly above its floor and all others; refuted: "
            "another that is above its floor is clearly above fc1 (Holm); of tunings that change some parts alone "
            "there is none. The part that decides: of those ahead of fc1 the clearest, else the closest.",
            *_notes(study),
            *shared_notes(study.comparison, catalog),
        ),
    )  # fmt: skip


def reverted_table(study: DriftStudy, catalog: Catalog) -> Table:
    """Score that is lost when a part, a block or all of a backbone goes back to its frozen weights."""
    names = list(dict.fromkeys(name for cell in study.cells for name in cell.drift.reverted))
    unit = unit_of_drift(study, catalog)
    rows = [
        (
            cell.model,
            cell.name,
            unit.value(cell.drift.score),
            *(
                signed(estimate(cell.drift.reverted[name], cell.drift.units), unit.factor, unit.decimals)
                if name in cell.drift.reverted
                else UNKNOWN
                for name in names
            ),
        )
        for cell in study.cells
    ]
    return Table(
        slug=f"{study.slug}-reverted",
        title=heading(study.comparison, catalog, f"{unit.label} lost on reverting a part", TUNED),
        header=("model", "adaptation", "score", *names),
        rows=tuple(rows),
        notes=(
            f"Scored on {study.cells[0].drift.scored} test items with the tuned head as it is; a loss is positive. "
            "qkv, fc1 and so on: in all blocks at once.",
            "Intervals: t over seeds, with the jackknife variance over the items.",
            *shared_notes(study.comparison, catalog),
        ),
    )


def layer_rows(study: DriftStudy) -> list[Row]:
    """One row of numbers per pair of a frozen and a tuned tap: CKA, first seed."""
    return [
        {
            "evidence": cell.record.evidence, "task": cell.record.case.task, "model": cell.model,
            "adaptation": cell.record.case.adaptation, "layer": cell.record.case.layer, "n": cell.drift.n,
            "frozen_tap": row, "tuned_tap": column, "debiased": debiased, "biased": biased,
        }
        for cell in study.cells
        if (matrix := cell.drift.layers) is not None
        for row, own, plain in zip(matrix.rows, matrix.debiased, matrix.biased, strict=True)
        for column, debiased, biased in zip(matrix.columns, own, plain, strict=True)
    ]  # fmt: skip


def lost_rows(study: DriftStudy) -> list[Row]:
    """One row of numbers per part or block that could change: what reverting it costs, over how much it drifted."""
    return [
        {
            "evidence": cell.record.evidence, "task": cell.record.case.task, "model": cell.model,
            "adaptation": cell.record.case.adaptation, "layer": cell.record.case.layer, "part": name,
            **{measure: drifts[measure].get(name) for measure in VERDICTS_ON},
            "lost": found.value, "low": found.low, "high": found.high,
        }
        for cell in study.cells
        for drifts in [{measure: part_drift(cell, measure) for measure in VERDICTS_ON}]
        for name, lost in cell.drift.reverted.items()
        if name in cell.tuned_parts or name in cell.blocks
        for found in [estimate(lost, cell.drift.units)]
    ]  # fmt: skip


def part_drift(cell: DriftCell, measure: str) -> dict[str, float]:
    """Drift of every block, and of every part that is reverted at once, mean over blocks; of q, k and v their mean."""
    means = cell.mean(measure, "tuned")
    parts = {part: float(np.mean([means[f"{block}.{part}"] for block in cell.blocks])) for part in cell.parts}
    found = {**parts, "qkv": float(np.mean([parts[part] for part in QKV])), **{b: means[b] for b in cell.blocks}}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def value_rows(study: DriftStudy) -> list[Row]:
    """One row of numbers per tap, measure, arm and repetition."""
    return [
        {
            "evidence": cell.record.evidence, "task": cell.record.case.task, "model": cell.model,
            "adaptation": cell.record.case.adaptation, "layer": cell.record.case.layer, "n": cell.drift.n,
            "measure": measure, "arm": arm, "repetition": number, "tap": tap, "value": value,
        }
        for cell in study.cells
        for measure, arms in cell.drift.values.items()
        for arm, repetitions in arms.items()
        for number, row in enumerate(repetitions)
        for tap, value in zip(cell.drift.taps, row, strict=True)
    ]  # fmt: skip


def contrast_rows(study: DriftStudy) -> list[Row]:
    """One row of numbers per contrast, with its interval."""
    rows: list[Row] = []
    for cell in study.cells:
        case = cell.record.case
        for kind, measure, part, one in _contrasts(cell):
            # Values of a seed against pairs of seeds depend on each other: their spread makes no interval.
            found = estimate(one, cell.drift.units) if kind != "above_seeds" else Estimate(float(np.mean(one.per_seed)))
            rows.append(
                {
                    "evidence": cell.record.evidence, "task": case.task, "model": cell.model,
                    "adaptation": case.adaptation, "layer": case.layer, "contrast": kind, "measure": measure,
                    "part": part, "value": found.value, "low": found.low, "high": found.high,
                    "seeds": len(one.per_seed), "item_error": one.error,
                }
            )  # fmt: skip
    return rows


def part_verdict(cell: DriftCell, measure: str) -> str | None:
    """Whether fc1 changes most; None where not all parts were tuned, or the measure is unknown."""
    leads = cell.drift.leads.get(measure)
    if cell.adaptation.tuning != "full" or not leads:
        return None
    return leader(leads, cell.drift.parts.get(measure), cell.drift.units).verdict


def _contrasts(cell: DriftCell) -> Iterator[tuple[str, str, str, Contrast | Reverted]]:
    drift = cell.drift
    for kind in ("whole", "raw_whole", "depth", "raw_depth", "above_seeds"):
        for measure, one in getattr(drift, kind).items():
            yield kind, measure, "", one
    for kind in ("parts", "raw_parts", "leads", "raw_leads"):
        for measure, parts in getattr(drift, kind).items():
            for part, one in parts.items():
                yield kind, measure, part, one
    for part, one in drift.reverted.items():
        yield "reverted", "score", part, one


def _verdict(cell: DriftCell, measure: str) -> tuple[str, str, str, str]:
    raw = {part: float(np.mean(one.per_seed)) for part, one in cell.drift.raw_parts[measure].items()}
    most = max(raw, key=lambda part: raw[part], default=UNKNOWN)
    verdict = part_verdict(cell, measure)
    if verdict is None:
        return most, UNKNOWN, UNKNOWN, UNKNOWN
    drift = cell.drift
    found = leader(drift.leads[measure], drift.parts.get(measure), drift.units)
    without = leader(drift.raw_leads[measure], None, drift.units)
    return (
        most,
        verdict,
        f"{signed(found.lead)} ({found.rival})",
        f"{without.verdict}: {signed(without.lead)} ({without.rival})",
    )


def _with_floor(part: str, tuned: Mapping[str, float], shuffled: Mapping[str, float]) -> str:
    return f"{small(tuned[part])} ({small(shuffled.get(part))})" if part in tuned else UNKNOWN


def _by_part(cell: DriftCell, measure: str, arm: str) -> dict[str, float]:
    means = cell.mean(measure, arm)
    found = {part: [means[f"{block}.{part}"] for block in cell.blocks] for part in cell.parts}
    return {part: float(np.mean(values)) for part, values in found.items() if np.isfinite(values).all()}


def _zero(cell: DriftCell) -> float:
    """Largest total drift where nothing was learnt."""
    rows = np.concatenate([cell.rows("total", arm) for arm in ("still", "again")])
    return float(np.nanmax(np.abs(rows)))


def _signed(cell: DriftCell, contrasts: Mapping[str, Contrast], measure: str) -> str:
    return signed(estimate(contrasts[measure], cell.drift.units)) if measure in contrasts else UNKNOWN


def _labels(cell: DriftCell) -> str:
    training = cell.record.training
    return UNKNOWN if training is None else str(training.chips.get("train"))


def unit_of_drift(study: DriftStudy, catalog: Catalog) -> MetricFormat:
    """How the scores of a study are shown."""
    task = catalog.tasks.get(study.cells[0].record.case.task)
    return unit_named("" if task is None else task.metric, study.cells[0].record.provenance.target_unit)


def _notes(study: DriftStudy) -> Sequence[str]:
    first = study.cells[0].drift
    seeds = len(study.cells[0].rows("total", "tuned"))
    third = max(len(study.cells[0].blocks) // 3, 1)
    over = f"{first.errors_over}{'' if first.units is None else f' ({first.units})'}"
    notes = [
        f"{first.n} test items, {seeds} seeds. Mean over blocks. Shuffled: trained as long, at the same rate, on "
        "labels that the training items exchanged; seeds: tuned networks of two seeds against each other (- where "
        "there is none). Total: both networks run whole; local: the tuned part is fed what the frozen one is; weight: "
        "norm gains and shifts are folded into the layer behind them.",
        "Shuffled labels may move a network further than true ones, because it cannot settle: drift below this floor "
        "is no proof that nothing was learnt; the score says that.",
        f"A third of the blocks: {third}. Where nothing was learnt: largest total drift after an epoch at a learning "
        "rate of 0, and of the same weights loaded anew; it must be 0 but for rounding.",
        f"Scores are of {first.scored} test items with the tuned head; those of all test items are in the tables of "
        "trainings.",
        f"Intervals: t over seeds, with the jackknife variance over {over} of total, local and token drift and of "
        "scores; of other measures over seeds alone.",
    ]
    if study.left_out:
        notes.append(f"Without a measurement: {named(dict(list(study.left_out.items())[:8]))}.")
    return notes
