"""How alike layers and backbones are: their table, and all values."""

from collections.abc import Iterator, Mapping
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.records import Certainty, Similarity, landmarks, pair_name
from geofm_eval.report.formats import PLAIN, Column, Row, Table
from geofm_eval.report.probes.tables import remarks
from geofm_eval.report.wording import named, table_of
from geofm_eval.results.comparison import Subject
from geofm_eval.results.similarity import Pair, SimilarityTable
from geofm_eval.results.units import UNKNOWN

SHOWN = 3
"""Values decided by one channel that a footnote names; the CSV has all of them."""

HOW = "similarity of layers"
"""What the records have in common besides the task."""


def similarity_table(similarity: SimilarityTable, catalog: Catalog) -> Table[Subject]:
    """One row per backbone: its neighbouring blocks, its ends, its twin, and what the features rest on."""
    found = similarity.found
    columns: list[Column[Subject]] = [
        Column("model", lambda row: row.record),
        Column("neighbouring blocks", lambda row: found[row.model].neighbours),
        Column("first to last block ± error (z)", lambda row: _ends(found[row.model])),
        *(
            Column(f"{place} block to twin's ± error", partial(_to_twin, number, found))
            for number, place in enumerate(("first", "middle", "last"))
        ),
        Column("participation at the last block", lambda row: _participation(found[row.model]), show="{:.1f}".format),
        Column("notes", lambda row: (*_one_channel(found[row.model]), *remarks(row, catalog))),
    ]
    what, comparison = f"debiased CKA of pooled features, n = {similarity.n}", similarity.comparison
    return table_of(comparison, catalog, "", what, columns, comparison.subjects, _notes(similarity), HOW, PLAIN)


def _ends(found: Similarity) -> str:
    ends = found.certainty.get(pair_name(found.blocks[0], found.blocks[-1])) if found.blocks else None
    return _sure(ends) + ("" if ends is None or ends.z is None else f" ({ends.z:.0f})")


def _to_twin(number: int, found: Mapping[str, Similarity], row: Subject) -> str:
    own = found[row.model]
    blocks = landmarks(own.blocks)
    return _sure(own.certainty.get(pair_name(blocks[number], blocks[number], own.twin)) if blocks else None)


def _participation(found: Similarity) -> float | None:
    return found.channels[found.blocks[-1] if found.blocks else found.within.rows[-1]].participation


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


def _notes(similarity: SimilarityTable) -> list[str]:
    first = similarity.comparison.record
    one = next(iter(similarity.found.values()))
    where = "the data set" if first.provenance.protocol == "shuffle_splits" else "the test split"
    unit = "scene" if one.errors_over == "groups" else "fiftieth of the samples"
    notes = [
        "Debiased linear CKA: 1 for features that are equal up to rotation and scale, about 0 for unrelated ones. "
        f"Features are averaged over patches ({one.pooling}); all values use the same {similarity.n} samples of "
        f"{where}.",
        f"Error: jackknife, one {unit} left out at a time. z: standard deviations above the value for shuffled "
        "samples.",
        "Twin: the same architecture with random weights. Participation: number of directions over which the variance "
        "is spread.",
    ]
    if similarity.absent:
        notes.append(f"Not compared with: {named(similarity.absent)}.")
    if similarity.comparison.left_out:
        notes.append(f"Not measured: {named(similarity.comparison.left_out)}.")
    return notes


def similarity_rows(similarity: SimilarityTable) -> Iterator[Row]:
    """All values, one per two taps; a backbone with itself is its own other."""
    found, n = similarity.found, similarity.n
    within = [Pair(model, model, one.within) for model, one in found.items()]
    for pair in [*within, *similarity.pairs]:
        without = found[pair.model].one_channel.get(pair.other, {})
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
                    "n": n,
                    "one_channel_decides": decided if pair.model != pair.other and row == column else None,
                    "without_top_channel": without[row] if decided else None,
                }


def has_control(pair: Pair, similarity: SimilarityTable, catalog: Catalog) -> bool:
    """Whether one of two backbones is a control; a twin may have no record of its own."""
    recorded = {subject.model: subject.is_control for subject in similarity.comparison.subjects}
    known = {model: catalog.models.get(model) for model in (pair.model, pair.other)}
    return any(recorded.get(model, spec is not None and spec.is_control) for model, spec in known.items())
