"""Expected ranges: what a score should be, how sure that is, and for which weights, data and recipe it holds."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AllowInfNan, ConfigDict, Field, Strict

from geofm_eval.expected.admissible import from_text
from geofm_eval.store import content_hash

Rule = Literal["numeric", "seeds", "published", "other_protocol"]
"""``other_protocol`` is a published number that is shown and judges nothing: docs/parity.md says what differs."""

KINDS = ("probe", "segment", "tune")
"""Kinds of cases that have scores, hence ranges."""

ANY = "any"
"""Device and dtype of a published number, which nobody can repeat on the same machine."""

RANDOM = "random:"
"""Prefix of the source of random weights: ``random:seed=0``."""


def _text(accepts: Callable[[str], object], expected: str) -> AfterValidator:
    """Validator of a text that ``accepts`` returns something true for."""

    def check(text: str) -> str:
        with suppress(ValueError):
            if accepts(text):
                return text
        raise ValueError(f"expected {expected}")

    return AfterValidator(check)


_NO_OTHERS = ConfigDict(extra="forbid")

# Constraints hold when a range file is read (geofm_eval.expected.files); code that builds these classes is trusted.
Sha256 = Annotated[str, _text(re.compile("[0-9a-f]{64}").fullmatch, "a sha256 of 64 hex digits")]
Weights = Annotated[
    str,
    _text(re.compile(f"[0-9a-f]{{64}}|{RANDOM}.*").fullmatch, f"a sha256 of 64 hex digits, or {RANDOM}seed=N"),
]
Choices = Annotated[
    str,
    _text(
        from_text, "positions of penalties, for example '21|22 20': draws by spaces, those of a draw by bars, each once"
    ),
]
Number = Annotated[float, Strict(), AllowInfNan(False)]
Count = Annotated[int, Strict(), Field(ge=1)]
Width = Annotated[Number, Field(ge=0)]


@dataclass(frozen=True, order=True)
class Key:
    """What a range belongs to, within a task.

    Args:
        kind: one of ``KINDS``.
        case: ``model-adaptation-layer``.
        fraction: label fraction as records spell it, such as ``0.1``.
        device: ``cpu`` or ``cuda``; ``any`` of a published number.
        dtype: of the forward passes; ``any`` of a published number.
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
    """The data that scores rest on; hashes per split, empty where unknown (published numbers)."""

    __pydantic_config__ = _NO_OTHERS

    task_version: Annotated[int, Strict()]
    split: str
    protocol: str
    items: Mapping[str, Sha256] = field(default_factory=dict)
    labels: Mapping[str, Sha256] = field(default_factory=dict)


@dataclass(frozen=True)
class Basis:
    """Everything that a range holds for; a score of anything else is not judged by it.

    ``weights`` is a sha256, or ``random:seed=N``; None where unknown. ``setting`` has metric, recipe, pooling, and how
    a decoder is trained: plain values, none of them None.
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
        lo: lowest expected value; of trainings that of a mean over ``rules.SEEDS`` seeds.
        hi: highest expected value.
        mean: what is expected.
        n: what it rests on: solves, seeds, or 1 for a published number.
        rule: how its ends were set.
        basis: what it holds for.
        origin: where it comes from.
        sd: standard deviation over the seeds; None for other rules.
        spread: of trainings, the pooled standard deviation of one seed on the metric's working scale.
        freedom: degrees of freedom of ``spread``.
        floor: least half width, in the metric's own unit.
        choices: of a probe with penalties, those that are admissible in every draw; see ``admissible.as_text``.
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
    """Return a range that was read if its fields fit together.

    Raises:
        ValueError: the message says which do not.
    """
    if not found.lo <= found.mean <= found.hi:
        raise ValueError(
            f"lo = {found.lo}, mean = {found.mean}, hi = {found.hi}, expected lo <= mean <= hi: correct it"
        )
    needed = ("sd", "spread", "freedom", "floor")
    if found.rule == "seeds" and any(getattr(found, name) is None for name in needed):
        raise ValueError(f"rule seeds needs {', '.join(needed)}: add them")
    if found.rule != "numeric" and found.choices is not None:
        raise ValueError(f"choices are of rule numeric, and the rule is {found.rule}: remove them")
    return found


@dataclass(frozen=True)
class Ranges:
    """All ranges of a task."""

    task: str
    ranges: Mapping[Key, Range]

    def find(self, key: Key) -> Range | None:
        """Return the range of a key; a published number holds for every device."""
        published = Key(key.kind, key.case, key.fraction, ANY, ANY)
        return self.ranges.get(key) or self.ranges.get(published)


def short_name(content: object) -> str:
    """Name of a shared table of a range file: the first digits of the hash of its content."""
    return content_hash(content)[:8]
