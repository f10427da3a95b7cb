"""Similarity of layers and drift in a record."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from geofm_eval.records.section import Section

Row = tuple[float | None, ...]
"""One value per tap; None if unknown."""


class Matrix(Section):
    """Linear CKA of every layer of one backbone with every layer of another on the same samples.

    Args:
        rows: taps of the first backbone.
        columns: taps of the second backbone.
        debiased: (rows, columns); None if unknown.
        biased: the same, for comparison with publications.
        row_reasons: by tap, why all values of its row are unknown.
        column_reasons: by tap, why all values of its column are unknown.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    debiased: tuple[Row, ...]
    biased: tuple[Row, ...]
    row_reasons: dict[str, str] = {}
    column_reasons: dict[str, str] = {}

    def value(self, row: str, column: str) -> float | None:
        """Return the debiased CKA of two taps; None if it or a tap is unknown."""
        known = row in self.rows and column in self.columns
        return self.debiased[self.rows.index(row)][self.columns.index(column)] if known else None


def pair_name(row: str, column: str, other: str | None = None) -> str:
    """Return the name of one value: ``block00 - block11``, or between backbones ``block11 - pocket_random block11``."""
    return f"{row} - {column}" if other is None else f"{row} - {other} {column}"


def landmarks(blocks: Sequence[str]) -> tuple[str, ...]:
    """Return the first, middle and last block, which may coincide; none for a backbone without blocks."""
    return (blocks[0], blocks[len(blocks) // 2], blocks[-1]) if blocks else ()


class Certainty(Section):
    """Uncertainty of one value of debiased CKA.

    Args:
        value: debiased CKA.
        error: jackknife standard error.
        null_mean: mean for randomly permuted samples.
        null_sd: standard deviation for randomly permuted samples.
    """

    value: float
    error: float | None = None
    null_mean: float | None = None
    null_sd: float | None = None

    @property
    def z(self) -> float | None:
        """Distance from chance in standard deviations."""
        if self.null_mean is None or not self.null_sd:
            return None
        return (self.value - self.null_mean) / self.null_sd


class Channels(Section):
    """Concentration of the features of a tap.

    Args:
        participation: participation ratio of the principal directions.
        top_channel: proportion of the variance in the largest channel.
        top_direction: proportion of the variance in the largest principal direction.
    """

    participation: float | None = None
    top_channel: float | None = None
    top_direction: float | None = None


class Similarity(Section):
    """Similarity of the layers of a backbone to each other and to those of other backbones.

    Args:
        n: number of samples, the same for all values.
        pooling: pooling of the features.
        within: similarity with itself.
        between: similarity with other backbones, by slug; one of every two backbones has the values of both.
        twin: slug of the random twin; None if there is none.
        absent: backbones that could not be compared, with the reason.
        certainty: for the first block with the last and ``landmarks`` with those of the twin, by ``pair_name``.
        errors_over: what the jackknife leaves out: ``groups`` (scenes), or ``items`` without known groups.
        channels: by tap.
        one_channel: values of ``between`` that depend on one channel, by the other's slug and tap: CKA without it.
        reloaded: lowest CKA of any tap after loading the same weights again.
        batches: largest difference of features between two batch sizes, relative to the largest feature.
    """

    n: int = Field(ge=4)
    pooling: str
    within: Matrix
    between: dict[str, Matrix] = {}
    twin: str | None = None
    absent: dict[str, str] = {}
    certainty: dict[str, Certainty] = {}
    errors_over: Literal["groups", "items"] = "items"
    channels: dict[str, Channels] = {}
    one_channel: dict[str, dict[str, float | None]] = {}
    reloaded: float
    batches: float

    @property
    def blocks(self) -> tuple[str, ...]:
        """Taps that are blocks, in order."""
        return tuple(tap for tap in self.within.rows if tap.startswith("block"))

    @property
    def neighbours(self) -> float | None:
        """Mean CKA of every block with the next one; None if there is no pair, or one is unknown."""
        found = [self.within.value(one, other) for one, other in zip(self.blocks, self.blocks[1:], strict=False)]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    @property
    def ends(self) -> float | None:
        """CKA of the first block with the last; None if there are no two, or it is unknown."""
        return self.within.value(self.blocks[0], self.blocks[-1]) if len(self.blocks) > 1 else None

    @property
    def to_twin(self) -> dict[str, float]:
        """CKA of every block with the same block of the random twin, if known."""
        twin = self.between.get(self.twin or "")
        found = {} if twin is None else {block: twin.value(block, block) for block in self.blocks}
        return {block: value for block, value in found.items() if value is not None}


class Contrast(Section):
    """A comparison of drift between parts of a network, or along its depth.

    Args:
        per_seed: one value per tuning seed.
        error: standard error over samples, of the mean over seeds; None for weights.
    """

    per_seed: tuple[float, ...] = Field(min_length=1)
    error: float | None = None


class Reverted(Section):
    """Loss of score if a part of a tuned backbone is reset to its frozen weights.

    Args:
        per_seed: score of the tuned network minus that of the reverted one; positive for a loss in any metric.
        error: standard error over samples, of the mean over seeds.
    """

    per_seed: tuple[float, ...] = Field(min_length=1)
    error: float | None = None


class Drift(Section):
    """Changes of a backbone by tuning.

    Fields ``raw_...`` are the same without subtracting the floor ``shuffled``.

    Args:
        n: samples on which features were compared, the same for all values.
        scored: samples on which reverted networks were scored.
        units: number of samples, parts of them, or groups that were left out in turn for errors; None if unknown.
        errors_over: kind of these units.
        taps: blocks in the order of depth, then the parts of each block.
        rate: learning rate of all seeds.
        values: by measure (``similarity.drift.MEASURES``) and arm (``tuned``; the floors ``shuffled``, ``seeds``,
            ``still``, ``again``), one row of taps per repetition.
        errors: by measure, standard error over samples of the mean of the arm ``tuned``, per tap.
        layers: CKA of every tap of the frozen network (rows) with every tap of the first seed's tuned one (columns).
        whole: by measure, excess of ``tuned`` over ``shuffled``, mean over blocks.
        parts: by measure, the same excess per part of a block.
        leads: by measure, excess of ``fc1`` minus that of another part, by that part's name.
        depth: by measure, mean excess of the last third of blocks minus that of the first.
        above_seeds: by measure, mean drift of all blocks minus that between two seeds.
        reverted: by reverted part: parts of all blocks, or single blocks.
        metric: metric of the scores; empty if unknown.
        score: score of the tuned networks on the ``scored`` samples, mean over seeds.
        frozen_score: score of the tuned networks with the whole backbone reverted.
    """

    n: int = Field(ge=4)
    scored: int = Field(ge=1)
    units: int | None = None
    errors_over: Literal["groups", "items"] = "items"
    taps: tuple[str, ...]
    rate: float
    values: dict[str, dict[str, tuple[Row, ...]]]
    errors: dict[str, Row] = {}
    layers: Matrix | None = None
    whole: dict[str, Contrast] = {}
    raw_whole: dict[str, Contrast] = {}
    parts: dict[str, dict[str, Contrast]] = {}
    raw_parts: dict[str, dict[str, Contrast]] = {}
    leads: dict[str, dict[str, Contrast]] = {}
    raw_leads: dict[str, dict[str, Contrast]] = {}
    depth: dict[str, Contrast] = {}
    raw_depth: dict[str, Contrast] = {}
    above_seeds: dict[str, Contrast] = {}
    reverted: dict[str, Reverted] = {}
    metric: str = ""
    score: float
    frozen_score: float
