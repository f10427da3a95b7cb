"""Parts of a record that say what is inside a backbone: similarity of its layers, and what tuning changed."""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from geofm_eval.records.section import Section

Row = tuple[float | None, ...]
"""One value per tap; None where there is none."""


class Matrix(Section):
    """Linear CKA of every layer of one backbone with every layer of another over the same items.

    Args:
        rows: taps of the first.
        columns: taps of the second.
        debiased: (rows, columns); None where it is unknown.
        biased: the same, for comparison with publications.
        row_reasons: why all values of a row are unknown, by its tap.
        column_reasons: the same of a column.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    debiased: tuple[Row, ...]
    biased: tuple[Row, ...]
    row_reasons: dict[str, str] = {}
    column_reasons: dict[str, str] = {}

    def value(self, row: str, column: str) -> float | None:
        """Debiased CKA of two taps; None where it is unknown, or a tap is not there."""
        known = row in self.rows and column in self.columns
        return self.debiased[self.rows.index(row)][self.columns.index(column)] if known else None


def pair_name(row: str, column: str, other: str | None = None) -> str:
    """Name of one value: ``block00 - block11``, or with another backbone's tap ``block11 - pocket_random block11``."""
    return f"{row} - {column}" if other is None else f"{row} - {other} {column}"


def landmarks(blocks: Sequence[str]) -> tuple[str, ...]:
    """First, middle and last block, which are the same ones in a shallow backbone; none of a backbone without any."""
    return (blocks[0], blocks[len(blocks) // 2], blocks[-1]) if blocks else ()


class Certainty(Section):
    """How sure one value of debiased CKA is.

    Args:
        value: debiased CKA.
        error: jackknife standard error.
        null_mean: mean with items exchanged at random.
        null_sd: standard deviation of the same.
    """

    value: float
    error: float | None = None
    null_mean: float | None = None
    null_sd: float | None = None

    @property
    def z(self) -> float | None:
        """Standard deviations of the value above chance."""
        if self.null_mean is None or not self.null_sd:
            return None
        return (self.value - self.null_mean) / self.null_sd


class Channels(Section):
    """What the features of a tap consist of.

    Args:
        participation: participation ratio of the principal directions.
        top_channel: share of the variance in the largest channel.
        top_direction: share of the variance in the largest principal direction.
    """

    participation: float | None = None
    top_channel: float | None = None
    top_direction: float | None = None


class Similarity(Section):
    """How alike the layers of a backbone are to each other and to those of others.

    Args:
        n: items; the same for all values.
        pooling: of the features.
        within: the backbone with itself.
        between: with other backbones, by slug; of every two backbones one has the values of both.
        twin: slug of the random twin; None where the backbone has none.
        absent: backbones that could not be compared with, with the reason.
        certainty: of the first block with the last and of ``landmarks`` with the twin's, by ``pair_name``.
        errors_over: what the jackknife of these leaves out: ``groups`` (scenes), or ``items`` where none are known.
        channels: by tap.
        one_channel: values of ``between`` that one channel decides, by the other's slug and tap: CKA without it.
        reloaded: lowest CKA of any tap with the same weights loaded anew.
        batches: largest difference of features between two batch sizes, as a share of the largest feature.
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
        """Taps that are blocks, shallow to deep."""
        return tuple(tap for tap in self.within.rows if tap.startswith("block"))

    @property
    def neighbours(self) -> float | None:
        """Mean CKA of every block with the next one; None where there is no pair, or one is unknown."""
        found = [self.within.value(one, other) for one, other in zip(self.blocks, self.blocks[1:], strict=False)]
        known = [value for value in found if value is not None]
        return sum(known) / len(known) if known and len(known) == len(found) else None

    @property
    def ends(self) -> float | None:
        """CKA of the first block with the last; None where there are no two, or it is unknown."""
        return self.within.value(self.blocks[0], self.blocks[-1]) if len(self.blocks) > 1 else None

    @property
    def to_twin(self) -> dict[str, float]:
        """CKA of every block with the same block of the random twin, where it is known."""
        twin = self.between.get(self.twin or "")
        found = {} if twin is None else {block: twin.value(block, block) for block in self.blocks}
        return {block: value for block, value in found.items() if value is not None}


class Contrast(Section):
    """A comparison of drift between parts of a network, or along its depth.

    Args:
        per_seed: one value per tuning seed.
        error: standard error over the items, of the mean over seeds; None for weights.
    """

    per_seed: tuple[float, ...] = Field(min_length=1)
    error: float | None = None


class Reverted(Section):
    """Score that is lost when a part of a tuned backbone goes back to its frozen weights.

    Args:
        per_seed: score of the tuned network minus that of the reverted one, turned so that a loss is positive.
        error: standard error over the items, of the mean over seeds.
    """

    per_seed: tuple[float, ...] = Field(min_length=1)
    error: float | None = None


class Drift(Section):
    """What tuning changed inside a backbone.

    Args:
        n: items that features were compared on; the same for all values.
        scored: items that reverted networks were scored on.
        units: items, parts of them, or groups that were left out in turn for errors; None where it was not noted.
        errors_over: what they are.
        taps: blocks in the order of depth, then the parts of each block.
        rate: learning rate of all seeds.
        values: by measure (``similarity.drift.MEASURES``) and arm (``tuned``; the floors ``shuffled``, ``seeds``,
            ``still``, ``again``), one row of taps per repetition.
        errors: by measure, standard error over the items of the mean of the arm ``tuned``, per tap.
        layers: CKA of every tap of the frozen network (rows) with every tap of the first seed's tuned one (columns).
        whole: by measure, mean over blocks of what ``tuned`` exceeds ``shuffled`` by.
        raw_whole: the same without taking the floor away.
        parts: by measure, what ``tuned`` exceeds ``shuffled`` by, mean over blocks, per part of a block.
        raw_parts: the same without taking the floor away.
        leads: by measure, excess of ``fc1`` minus that of another part, by that part's name.
        raw_leads: the same without taking the floor away.
        depth: by measure, mean excess of the last third of blocks minus that of the first.
        raw_depth: the same without taking the floor away.
        above_seeds: by measure, mean drift of all blocks minus that between two seeds.
        reverted: by what was reverted: parts of all blocks, or single blocks.
        metric: of the scores; empty where it was not noted.
        score: of the tuned networks on the ``scored`` items, mean over seeds.
        frozen_score: of the tuned networks with all of the backbone reverted.
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
