"""Expected ranges: what a score should be, how sure that is, and for which weights, data and recipe it holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from geofm_eval.store import content_hash

Rule = Literal["numeric", "seeds", "published", "other_protocol"]
RULES: tuple[Rule, ...] = ("numeric", "seeds", "published", "other_protocol")
"""``other_protocol`` is a published number that is shown and judges nothing: docs/parity.md says what differs."""

KINDS = ("probe", "segment", "tune")
"""Kinds of cases that have scores, hence ranges."""

ANY = "any"
"""Device and number type of a published number, which nobody can repeat on the same machine."""


RANDOM = "random:"
"""What the source of random weights begins with, such as ``random:seed=0``."""


@dataclass(frozen=True, order=True)
class Key:
    """What a range belongs to, within a task.

    Args:
        kind: one of ``KINDS``.
        case: ``model-adaptation-layer``.
        fraction: label fraction as records spell it, such as ``0.1``.
        device: ``cpu`` or ``cuda``; ``any`` of a published number.
        dtype: number type of the forward passes; ``any`` of a published number.
    """

    kind: str
    case: str
    fraction: str
    device: str
    dtype: str

    @property
    def name(self) -> str:
        """Such as ``probe.pocket_mae-linear-final.1.0 (cpu, float32)``."""
        where = "" if self.device == ANY else f" ({self.device}, {self.dtype})"
        return f"{self.kind}.{self.case}.{self.fraction}{where}"


@dataclass(frozen=True)
class Data:
    """The data that scores rest on; hashes per split, empty where unknown (published numbers)."""

    task_version: int
    split: str
    protocol: str
    items: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Basis:
    """Everything that a range holds for; a score of anything else is not judged by it.

    Args:
        weights: sha256 of the backbone's weights; ``random:seed=N`` of random ones; None where unknown.
        data: of the task.
        setting: metric, recipe, pooling, and how a decoder is trained: plain values, none of them None.
    """

    weights: str | None
    data: Data
    setting: Mapping[str, Any]


X86_64 = "x86_64"
"""Architecture that a range was verified on where its file names none: that of every machine in docs/trust.md."""


@dataclass(frozen=True)
class Origin:
    """Where a range comes from.

    Args:
        runs: names of the runs that it was set from; empty for a published number.
        why: why it is what it is, never empty.
        code: version, and commit where known.
        date: day, ``2026-05-31``.
        architectures: of the machines that measured those runs; on others a score outside is no failure.
    """

    runs: tuple[str, ...]
    why: str
    code: str
    date: str
    architectures: tuple[str, ...] = (X86_64,)


@dataclass(frozen=True)
class Range:
    """The expected range of one score, in the metric's own unit.

    Args:
        lo: lowest expected value; of trainings that of a mean over ``rules.SEEDS`` seeds.
        hi: highest expected value.
        mean: what is expected.
        n: what it rests on: solves, seeds, or 1 for a published number.
        rule: one of ``RULES``.
        basis: what it holds for.
        origin: where it comes from.
        sd: standard deviation over the seeds; None for other rules.
        spread: of trainings, the pooled standard deviation of one seed on the metric's working scale.
        freedom: degrees of freedom of ``spread``.
        floor: least half width, in the metric's own unit.
        choices: of a probe with penalties, those that are admissible in every draw; see ``admissible.as_text``.
        gap: smallest lead of a chosen penalty over the second-best in any draw, as a difference of validation losses.
    """

    lo: float
    hi: float
    mean: float
    n: int
    rule: Rule
    basis: Basis
    origin: Origin
    sd: float | None = None
    spread: float | None = None
    freedom: float | None = None
    floor: float | None = None
    choices: str | None = None
    gap: float | None = None


@dataclass(frozen=True)
class Ranges:
    """All ranges of a task."""

    task: str
    ranges: Mapping[Key, Range]

    def find(self, key: Key) -> Range | None:
        """The range of a key; a published number stands for every device."""
        published = Key(key.kind, key.case, key.fraction, ANY, ANY)
        return self.ranges.get(key) or self.ranges.get(published)


def short_name(content: object) -> str:
    """Name of a shared table of a range file: the first digits of the hash of its content."""
    return content_hash(content)[:8]
