"""Tables of drift: how much, where in a block, what it is worth."""

from collections.abc import Sequence
from functools import partial

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.report.formats import Column, Table
from geofm_eval.report.wording import named, table_of
from geofm_eval.results.drift_cases import NAMES, VERDICTS_ON, DriftCases, DriftCell
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
    """Return an estimate with its interval: ``+0.012 [+0.001, +0.023]``.

    Without ``decimals`` small values are written ``+1.2e-05``.
    """
    values = [found.value, *([found.low, found.high] if found.low is not None and found.high is not None else [])]
    shape = f"+.{DIGITS if decimals is None else decimals}f"
    if decimals is None and 0 < max(map(abs, values)) < 0.01:
        shape = "+.1e"
    texts = [
        format(round(value * factor, 12 if shape == "+.1e" else int(shape[2:-1])) + 0.0, shape) for value in values
    ]
    return texts[0] if len(texts) == 1 else f"{texts[0]} [{texts[1]}, {texts[2]}]"


def summary_table(cases: DriftCases, catalog: Catalog) -> Table[DriftCell]:
    """How much every backbone changed, against its floors, and whether it is more than noise."""
    unit = unit_of_drift(cases, catalog)
    columns: list[Column[DriftCell]] = [
        Column("model", lambda cell: cell.record, short="model"),
        Column("adaptation", lambda cell: cell.name, short="adaptation"),
        Column("labels", lambda cell: cell.record.training and cell.record.training.chips.get("train")),
        Column("learning rate", lambda cell: cell.drift.rate, show="{:g}".format),
        Column(f"{unit.label}, {cases.cells[0].drift.scored} samples", lambda cell: cell.drift.score),
        Column("the same, backbone reverted", lambda cell: cell.drift.frozen_score),
    ]
    for measure in VERDICTS_ON:
        arms, floor = partial(_arms, measure), partial(_shuffled, measure)
        columns += [
            Column(f"{measure}: tuned / shuffled / seeds", arms),
            Column(None, floor, short=f"{measure} (shuffled)", right=True),
            Column(f"{measure}: tuned - shuffled [interval]", partial(_contrast, "whole", measure)),
        ]
    columns += [
        Column(None, partial(_contrast, "whole", "total"), short="total - shuffled", right=True),
        Column(None, _part_verdicts, short="fc1 changes most"),
        Column("total, tuned: last - first third of blocks [interval]", partial(_contrast, "raw_depth", "total")),
        Column("largest without learning", _zero, show=small),
    ]
    what = "drift and its floors, mean over blocks"
    return table_of(cases.comparison, catalog, "", what, columns, cases.cells, _notes(cases), TUNED, unit)


def _arms(measure: str, cell: DriftCell) -> str:
    return " / ".join(small(cell.over_blocks(measure, arm)) for arm in ("tuned", "shuffled", "seeds"))


def _shuffled(measure: str, cell: DriftCell) -> str:
    return f"{small(cell.over_blocks(measure, 'tuned'))} ({small(cell.over_blocks(measure, 'shuffled'))})"


def _contrast(kind: str, measure: str, cell: DriftCell) -> str | None:
    contrasts = getattr(cell.drift, kind)
    return signed(estimate(contrasts[measure], cell.drift.units)) if measure in contrasts else None


def _part_verdicts(cell: DriftCell) -> str | None:
    known = {measure: part_verdict(cell, measure) for measure in VERDICTS_ON}
    return ", ".join(f"{name} {verdict or UNKNOWN}" for name, verdict in known.items()) if any(known.values()) else None


def parts_table(cases: DriftCases, catalog: Catalog) -> Table[tuple[DriftCell, str]]:
    """Drift of every part of a block, mean over blocks, and whether fc1 changes most."""
    columns: list[Column[tuple[DriftCell, str]]] = [
        Column("model", lambda row: row[0].model),
        Column("adaptation", lambda row: row[0].name),
        Column("measure", lambda row: row[1]),
        *(Column(part, partial(_with_floor, part)) for part in cases.cells[0].parts),
        Column("most: tuned", _most),
        Column("fc1 above shuffled: verdict", lambda row: part_verdict(*row)),
        Column("fc1 minus the deciding part [interval]", partial(_lead, True)),
        Column("the same without floor", partial(_lead, False)),
    ]
    rows = [(cell, measure) for cell in cases.cells for measure in NAMES if measure in cell.drift.raw_parts]
    notes = [
        "In brackets: the same training on shuffled labels (the floor). The verdict is about drift above the floor. "
        "Supported: fc1 is clearly above its floor and above all other parts; refuted: another part that is above its "
        "floor is clearly above fc1 (Holm). Tunings that change only some parts have no verdict. Deciding part: the "
        "clearest of those ahead of fc1, otherwise the closest.",
        *_notes(cases),
    ]
    what, unit = "drift by part of a block, mean over blocks", unit_of_drift(cases, catalog)
    return table_of(cases.comparison, catalog, "parts", what, columns, rows, notes, TUNED, unit)


def reverted_table(cases: DriftCases, catalog: Catalog) -> Table[DriftCell]:
    """Score that is lost when a part, a block or all of a backbone goes back to its frozen weights."""
    unit = unit_of_drift(cases, catalog)
    names = dict.fromkeys(name for cell in cases.cells for name in cell.drift.reverted)
    columns: list[Column[DriftCell]] = [
        Column("model", lambda cell: cell.model),
        Column("adaptation", lambda cell: cell.name),
        Column("score", lambda cell: cell.drift.score),
        *(Column(name, partial(_lost, name, unit)) for name in names),
    ]
    notes = [
        f"Scored on {cases.cells[0].drift.scored} test samples with the tuned head unchanged; a loss is positive. "
        "Parts such as qkv or fc1 are reverted in all blocks together.",
        "Intervals: t over seeds, including the jackknife variance over the samples.",
    ]
    what = f"{unit.label} lost on reverting a part"
    return table_of(cases.comparison, catalog, "reverted", what, columns, cases.cells, notes, TUNED, unit)


def _lost(name: str, unit: MetricFormat, cell: DriftCell) -> str | None:
    lost = cell.drift.reverted.get(name)
    return None if lost is None else signed(estimate(lost, cell.drift.units), unit.factor, unit.decimals)


def part_verdict(cell: DriftCell, measure: str) -> str | None:
    """Whether fc1 changes most; None where not all parts were tuned, or the measure is unknown."""
    leads = cell.drift.leads.get(measure)
    if cell.adaptation.tuning != "full" or not leads:
        return None
    return leader(leads, cell.drift.parts.get(measure), cell.drift.units).verdict


def _most(row: tuple[DriftCell, str]) -> str | None:
    raw = {part: float(np.mean(one.per_seed)) for part, one in row[0].drift.raw_parts[row[1]].items()}
    return max(raw, key=lambda part: raw[part], default=None)


def _lead(floor: bool, row: tuple[DriftCell, str]) -> str | None:
    drift, measure = row[0].drift, row[1]
    if part_verdict(*row) is None:
        return None
    leads, parts = (drift.leads, drift.parts.get(measure)) if floor else (drift.raw_leads, None)
    found = leader(leads[measure], parts, drift.units)
    return f"{'' if floor else f'{found.verdict}: '}{signed(found.lead)} ({found.rival})"


def _with_floor(part: str, row: tuple[DriftCell, str]) -> str | None:
    tuned, shuffled = (_by_part(*row, arm) for arm in ("tuned", "shuffled"))
    return f"{small(tuned[part])} ({small(shuffled.get(part))})" if part in tuned else None


def _by_part(cell: DriftCell, measure: str, arm: str) -> dict[str, float]:
    means = cell.mean(measure, arm)
    found = {part: [means[f"{block}.{part}"] for block in cell.blocks] for part in cell.parts}
    return {part: float(np.mean(values)) for part, values in found.items() if np.isfinite(values).all()}


def _zero(cell: DriftCell) -> float:
    """Largest total drift without learning."""
    rows = np.concatenate([cell.rows("total", arm) for arm in ("still", "again")])
    return float(np.nanmax(np.abs(rows)))


def unit_of_drift(cases: DriftCases, catalog: Catalog) -> MetricFormat:
    """How the scores of the cases are shown."""
    task = catalog.tasks.get(cases.cells[0].record.case.task)
    return unit_named("" if task is None else task.metric, cases.cells[0].record.provenance.target_unit)


def part_drift(cell: DriftCell, measure: str) -> dict[str, float]:
    """Drift of every block, and of every part that is reverted at once, mean over blocks; of q, k and v their mean."""
    means = cell.mean(measure, "tuned")
    parts = {part: float(np.mean([means[f"{block}.{part}"] for block in cell.blocks])) for part in cell.parts}
    found = {**parts, "qkv": float(np.mean([parts[part] for part in QKV])), **{b: means[b] for b in cell.blocks}}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _notes(cases: DriftCases) -> Sequence[str]:
    first = cases.cells[0].drift
    seeds = len(cases.cells[0].rows("total", "tuned"))
    third = max(len(cases.cells[0].blocks) // 3, 1)
    over = f"{first.errors_over}{'' if first.units is None else f' ({first.units})'}"
    notes = [
        f"{first.n} test samples, {counted(seeds, 'seed')}. Mean over blocks. Shuffled: trained equally long, at the "
        "same learning rate, on shuffled labels. Seeds: tuned networks of two seeds compared with each other (- with a "
        "single seed). Total: both networks run whole; local: the tuned part receives the input of the frozen part; "
        "weight: norm gains and shifts are folded into the next layer.",
        "Shuffled labels can change a network more than true labels, because training cannot settle. Drift below this "
        "floor does not show that nothing was learnt; compare the scores.",
        f"A third of the blocks: {third}. Without learning: largest total drift after an epoch at learning rate 0, and "
        "of the same weights loaded again; it must be 0 up to rounding.",
        f"Scores are on {first.scored} test samples with the tuned head; the tables of trainings have those on all "
        "test samples.",
        f"Intervals: t over seeds; total, local and token drift and scores include the jackknife variance over {over}, "
        "other measures do not.",
    ]
    if cases.left_out:
        notes.append(f"Without a measurement: {named(dict(list(cases.left_out.items())[:8]))}.")
    return notes
