"""Expected ranges: what a score should be, what that is based on, and which weights, data and recipe it holds for."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AllowInfNan, ConfigDict, Field, Strict

from geofm_eval.expected.admissible import from_text
from geofm_eval.store import content_hash

Rule = Literal["numeric", "seeds", "published", "other_protocol"]
"""``other_protocol`` is a published score that judges nothing; docs/parity.md lists what differs."""

KINDS = ("probe", "segment", "tune")
"""Kinds of cases with scores, and therefore ranges."""

ANY = "any"
"""Device and dtype of a published score, because nobody can repeat it on the same machine."""

RANDOM = "random:"
"""Prefix of the source of random weights: ``random:seed=0``."""


def _text(accepts: Callable[[str], object], expected: str) -> AfterValidator:
    """Return a validator of texts for which ``accepts`` returns a true value."""

    def check(text: str) -> str:
        with suppress(ValueError):
            if accepts(text):
                return text
        raise ValueError(f"expected {expected}")

    return AfterValidator(check)


_NO_OTHERS = ConfigDict(extra="forbid")

# Constraints are checked when a range file is read (geofm_eval.expected.files), not when code builds these classes.
Sha256 = Annotated[str, _text(re.compile("[0-9a-f]{64}").fullmatch, "a sha256 of 64 hex digits")]
Weights = Annotated[
    str,
    _text(re.compile(f"[0-9a-f]{{64}}|{RANDOM}.*").fullmatch, f"a sha256 of 64 hex digits, or {RANDOM}seed=N"),
]
Choices = Annotated[
    str,
    _text(from_text, "positions of penalties, for example '21|22 20': a space between draws, a bar between penalties"),
]
Number = Annotated[float, Strict(), AllowInfNan(False)]
Count = Annotated[int, Strict(), Field(ge=1)]
Width = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True, order=True)
class Key:
    """Identifies a range within a task.

    Args:
        kind: one of ``KINDS``.
        case: ``model-adaptation-layer``.
        fraction: label fraction as records spell it, for example ``0.1``.
        device: ``cpu`` or ``cuda``; ``any`` for a published score.
        dtype: dtype of the forward passes; ``any`` for a published score.
    """

    kind: str
    case: str
    fraction: str
    device: str
    dtype: str

    @property
    def name(self) -> str:
        """Return the key in one line: ``probe.pocket_mae-linear-final.1.0 (cpu, float32)``."""
        where = "" if self.device == ANY else f" ({self.device}, {self.dtype})"
        return f"{self.kind}.{self.case}.{self.fraction}{where}"


@dataclass(frozen=True)
class Data:
    """The data behind a score; hashes per split, empty if unknown (published scores)."""

    __pydantic_config__ = _NO_OTHERS

    task_version: Annotated[int, Strict()]
    split: str
    protocol: str
    items: Mapping[str, Sha256] = field(default_factory=dict)
    labels: Mapping[str, Sha256] = field(default_factory=dict)


@dataclass(frozen=True)
class Basis:
    """What a range holds for; it judges no other scores.

    ``weights`` is a sha256, or ``random:seed=N``; None if unknown. ``setting`` has metric, recipe, pooling, and how a
    decoder is trained: plain values, none of them None.
    """

    weights: str | None
    data: Data
    setting: Mapping[str, Any]


X86_64 = "x86_64"
"""Architecture of a range whose file names none: that of every machine in docs/trust.md."""


@dataclass(frozen=True)
class Origin:
    """Where a range comes from.

    Args:
        runs: names of the runs that it was set from; empty for a published score.
        why: reason, never empty.
        code: version, and commit if known.
        date: day, ``2026-05-31``.
        architectures: those of the machines that measured the runs; on others a score outside does not fail.
    """

    __pydantic_config__ = _NO_OTHERS

    runs: tuple[str, ...]
    why: Annotated[str, _text(str.strip, "a sentence that says why the range is what it is")]
    code: str
    date: str
    architectures: Annotated[tuple[str, ...], Field(min_length=1)] = (X86_64,)


@dataclass(frozen=True)
class Range:
    """The expected range of one score, in the metric's own unit.

    Args:
        lo: lowest expected value; for trainings, of the mean over ``rules.SEEDS`` seeds.
        hi: highest expected value.
        mean: expected value.
        n: number of solves or seeds that it is set from; 1 for a published score.
        rule: how the ends were set.
        basis: what it holds for.
        origin: where it comes from.
        sd: standard deviation over the seeds; None for other rules.
        spread: for trainings, the pooled standard deviation of one seed on the metric's working scale.
        freedom: degrees of freedom of ``spread``.
        floor: minimum half width, in the metric's own unit.
        choices: for a probe with penalties, the admissible ones in every draw; see ``admissible.as_text``.
        gap: smallest lead of a chosen penalty over the second-best in any draw, as a difference of validation losses.
    """

    __pydantic_config__ = _NO_OTHERS

    lo: Number
    hi: Number
    mean: Number
    n: Count
    rule: Rule
    basis: Basis
    origin: Origin
    sd: Width | None = None
    spread: Width | None = None
    freedom: Annotated[Number, Field(gt=0)] | None = None
    floor: Width | None = None
    choices: Choices | None = None
    gap: Width | None = None


def consistent(found: Range) -> Range:
    """Return the range if its fields are consistent.

    Raises:
        ValueError: fields are inconsistent.
    """
    if not found.lo <= found.mean <= found.hi:
        raise ValueError(
            f"lo = {found.lo}, mean = {found.mean}, hi = {found.hi}, expected lo <= mean <= hi: correct it"
        )
    needed = ("sd", "spread", "freedom", "floor")
    if found.rule == "seeds" and any(getattr(found, name) is None for name in needed):
        raise ValueError(f"rule seeds needs the fields {', '.join(needed)}: add them")
    if found.rule != "numeric" and found.choices is not None:
        raise ValueError(f"choices belong to rule numeric, and the rule is {found.rule}: remove them")
    return found


@dataclass(frozen=True)
class Ranges:
    """All ranges of a task."""

    task: str
    ranges: Mapping[Key, Range]

    def find(self, key: Key) -> Range | None:
        """Return the range of a key; a published score holds for every device."""
        published = Key(key.kind, key.case, key.fraction, ANY, ANY)
        return self.ranges.get(key) or self.ranges.get(published)


def short_name(content: object) -> str:
    """Return the name of a shared entry of a range file: the first digits of the hash of its content."""
    return content_hash(content)[:8]
