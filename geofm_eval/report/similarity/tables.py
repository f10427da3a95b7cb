"""How alike layers and backbones are: which records stand together, their table, all values, and a few sentences."""

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from geofm_eval.catalog import Catalog
from geofm_eval.records import Certainty, Similarity, display_name, landmarks, pair_name
from geofm_eval.report.formats import Footnotes, Row, Table
from geofm_eval.report.probes.tables import remarks
from geofm_eval.report.wording import heading, named, shared_notes
from geofm_eval.results.comparison import Subject
from geofm_eval.results.similarity import Pair, SimilarityTable
from geofm_eval.results.units import UNKNOWN

SHOWN = 3
"""Values that one channel decides are named up to this many in a footnote; the CSV has all of them."""

HOW = "similarity of layers"
"""What the records have in common beside the task."""


def similarity_table(likeness: SimilarityTable, catalog: Catalog) -> Table:
    """One row per backbone: its neighbouring blocks, its ends, its twin, and what the features rest on."""
    footnotes = Footnotes()
    return Table(
        slug=likeness.slug,
        title=heading(likeness.comparison, catalog, f"debiased CKA of pooled features, n = {likeness.n}", HOW),
        header=(
            "model",
            "neighbouring blocks",
            "first to last block ± error (z)",
            "first block to twin's ± error",
            "middle block to twin's ± error",
            "last block to twin's ± error",
            "participation at the last block",
            "notes",
        ),
        rows=tuple(_cells(subject, catalog, footnotes) for subject in likeness.comparison.subjects),
        footnotes=footnotes.texts,
        notes=(*_notes(likeness), *shared_notes(likeness.comparison, catalog)),
    )


def _cells(subject: Subject, catalog: Catalog, footnotes: Footnotes) -> tuple[str, ...]:
    found = cast(Similarity, subject.record.similarity)
    blocks = found.blocks
    ends = found.certainty.get(pair_name(blocks[0], blocks[-1])) if blocks else None
    chance = "" if ends is None or ends.z is None else f" ({ends.z:.0f})"
    twins = [found.certainty.get(pair_name(block, block, found.twin)) for block in landmarks(blocks)]
    width = found.channels[blocks[-1] if blocks else found.within.rows[-1]].participation
    texts = [*_one_channel(found), *remarks(subject, catalog)]
    return (
        display_name(subject.record),
        _value(found.neighbours),
        _sure(ends) + chance,
        *(_sure(one) for one in twins or [None] * 3),
        UNKNOWN if width is None else f"{width:.1f}",
        " ".join(footnotes.mark(text) for text in texts),
    )


def _value(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.3f}"


def _sure(one: Certainty | None) -> str:
    if one is None:
        return UNKNOWN
    return _value(one.value) + ("" if one.error is None else f" ± {one.error:.2g}")


def _one_channel(found: Similarity) -> list[str]:
    """Which values between backbones one channel decides."""
    decided = [
        f"{tap} with {other} {_value(found.between[other].value(tap, tap))}, without it {_value(without)}"
        for other, taps in found.one_channel.items()
        for tap, without in taps.items()
    ]
    if not decided:
        return []
    rest = f"; and {len(decided) - SHOWN} more" if len(decided) > SHOWN else ""
    return [f"one channel decides: {'; '.join(decided[:SHOWN])}{rest}"]


def _notes(likeness: SimilarityTable) -> list[str]:
    first = likeness.comparison.record
    similarity = next(iter(likeness.found.values()))
    where = "all items" if first.provenance.protocol == "shuffle_splits" else "the test split"
    unit = "scene" if similarity.errors_over == "groups" else "fiftieth of the items"
    notes = [
        "Debiased linear CKA: 1 for features that are alike up to rotation and scale, around 0 for unrelated ones. "
        f"Features averaged over patches ({similarity.pooling}), {likeness.n} items of {where}, the same for all "
        "values.",
        f"Error: jackknife, one {unit} left out at a time. z: standard deviations above what exchanged items give.",
        "Twin: the same architecture with random weights. Participation: how many directions the variance is spread "
        "over.",
    ]
    if likeness.absent:
        notes.append(f"Not compared with: {named(likeness.absent)}.")
    if likeness.comparison.left_out:
        notes.append(f"Not measured: {named(likeness.comparison.left_out)}.")
    return notes


def similarity_rows(likeness: SimilarityTable) -> list[Row]:
    """All values, one per two taps; a backbone with itself is its own other."""
    return list(_rows(likeness))


def _rows(likeness: SimilarityTable) -> Iterator[Row]:
    within = [Pair(model, model, one.within) for model, one in likeness.found.items()]
    for pair in [*within, *likeness.pairs]:
        without = likeness.found[pair.model].one_channel.get(pair.other, {})
        for i, row in enumerate(pair.matrix.rows):
            for j, column in enumerate(pair.matrix.columns):
                decided = row == column and row in without
                yield {
                    "model": pair.model,
                    "other": pair.other,
                    "model_tap": row,
                    "other_tap": column,
                    "debiased": pair.matrix.debiased[i][j],
                    "biased": pair.matrix.biased[i][j],
                    "n": likeness.n,
                    "one_channel_decides": decided if pair.model != pair.other and row == column else None,
                    "without_top_channel": without[row] if decided else None,
                }


def text_of_similarity(likeness: SimilarityTable, catalog: Catalog) -> str:
    """The lowest and the highest of what matters, in a few sentences."""
    what = f"debiased CKA of pooled features, n = {likeness.n}"
    found = likeness.found
    lines = [heading(likeness.comparison, catalog, what, HOW)]
    if not likeness.figures:
        lines.append("  no backbone has layers to compare")
    lines += _range("neighbouring blocks", {model: one.neighbours for model, one in found.items()})
    lines += _range("first to last block", {model: one.ends for model, one in found.items()})
    lines += _range(
        "last block to that of the random twin",
        {model: one.to_twin.get(one.blocks[-1]) for model, one in found.items() if one.blocks},
    )
    lines += _range("last blocks of two backbones, controls apart", _last_blocks(likeness, catalog))
    if any(one.one_channel for one in found.values()):
        models = ", ".join(model for model, one in found.items() if one.one_channel)
        lines.append(f"  one channel decides some values of {models}")
    if likeness.absent:
        lines.append(f"  not compared with: {named(likeness.absent)}")
    return "\n".join(lines)


def _range(what: str, values: Mapping[str, float | None]) -> Iterable[str]:
    """Such as ``neighbouring blocks: 0.953 (a) to 0.994 (b)``; nothing where nothing is known."""
    known = sorted((value, name) for name, value in values.items() if value is not None)
    if not known:
        return []
    ends = known[:1] if len(known) == 1 else [known[0], known[-1]]
    return [f"  {what}: {' to '.join(f'{value:.3f} ({name})' for value, name in ends)}"]


def _last_blocks(likeness: SimilarityTable, catalog: Catalog) -> dict[str, float | None]:
    found = {}
    for pair in likeness.pairs:
        rows, columns = (
            [tap for tap in taps if tap.startswith("block")] for taps in (pair.matrix.rows, pair.matrix.columns)
        )
        if (
            rows
            and columns
            and not is_control(pair.model, likeness, catalog) | is_control(pair.other, likeness, catalog)
        ):
            found[f"{pair.model} - {pair.other}"] = pair.matrix.value(rows[-1], columns[-1])
    return found


def is_control(model: str, likeness: SimilarityTable, catalog: Catalog) -> bool:
    """Whether a backbone is a control; a twin may have no record of its own."""
    own = [subject.is_control for subject in likeness.comparison.subjects if subject.model == model]
    spec = catalog.models.get(model)
    return own[0] if own else spec is not None and spec.is_control
