"""Verdicts of expected ranges: one per label fraction; the worst is the verdict of the case."""

from dataclasses import dataclass

from geofm_eval.errors import ContractError
from geofm_eval.expected import rules
from geofm_eval.expected.ranges import ANY, Key, Range, Ranges
from geofm_eval.expected.sentences import OUTSIDE, outside, unverified_sentence
from geofm_eval.expected.subject import architecture_of, basis_of, differences, has_scores, key_of
from geofm_eval.records import ExpectedRange, Outcome, Record, Score
from geofm_eval.records.schema import Verdict

WORST_FIRST: tuple[Verdict, ...] = ("below", "above", "unverified_range", "stale_range", "no_range", "in_range")

REQUIRED = "--require-all:"
"""Words in the reason of a case that failed because its range is missing; see also ``sentences.OUTSIDE``."""

OTHER_PROTOCOL = "other protocol"


@dataclass(frozen=True)
class ScoreVerdict:
    """Verdict on one score by its range.

    Args:
        verdict: one of ``WORST_FIRST``.
        fraction: label fraction as records spell it.
        value: the score; for trainings the mean over seeds.
        expected: the range for this number of seeds; None if none was applied.
        reason: one sentence, for every verdict except ``in_range``.
        changed: what changed since a stale range was set, for example ``weights``; the architecture that an unverified
            range was not set on; ``OTHER_PROTOCOL`` for a published score that judges nothing.
    """

    verdict: Verdict
    fraction: str
    value: float
    expected: ExpectedRange | None
    reason: str = ""
    changed: str = ""


@dataclass(frozen=True)
class CaseRangeVerdict:
    """Verdicts of a case by label fraction, ascending; none for a case without scores."""

    judged: tuple[ScoreVerdict, ...]

    @property
    def worst(self) -> ScoreVerdict | None:
        """The verdict that decides."""
        return min(self.judged, key=lambda one: WORST_FIRST.index(one.verdict), default=None)

    @property
    def verdict(self) -> Verdict:
        """Verdict of the case: that of the worst label fraction."""
        return "no_range" if self.worst is None else self.worst.verdict

    @property
    def outside(self) -> bool:
        """Whether a score is below or above its range, at any label fraction."""
        return self.verdict in ("below", "above")

    @property
    def other_protocol(self) -> bool:
        """Whether there is only a published score of another protocol."""
        return any(one.changed == OTHER_PROTOCOL for one in self.judged)

    @property
    def reason(self) -> str:
        """Sentences of all label fractions that share the case's verdict, each once."""
        return " ".join(dict.fromkeys(one.reason for one in self.judged if one.verdict == self.verdict and one.reason))

    @property
    def ranges(self) -> dict[str, ExpectedRange]:
        """The ranges that were applied, by label fraction."""
        return {one.fraction: one.expected for one in self.judged if one.expected is not None}


def failed_by_range(outcome: Outcome) -> bool:
    """Return whether a case has valid scores and failed only because they are outside their range, or have none."""
    return outcome.status == "failed" and any(words in (outcome.reason or "") for words in (OUTSIDE, REQUIRED))


def judge(record: Record, ranges: Ranges | None) -> CaseRangeVerdict:
    """Judge every score of a record of any kind by the ranges of its task.

    Returns:
        ``in_range``; ``below`` or ``above``, whichever direction is better; ``no_range`` if there is none for the
        device and dtype, it was set from this run, or there is only a published score of another protocol;
        ``stale_range`` if it was set for other weights, data, recipe or training; ``unverified_range`` instead of
        ``below`` and ``above`` on an architecture that it was not set on.
    """
    if not has_scores(record):
        return CaseRangeVerdict(())
    return CaseRangeVerdict(tuple(_judged(record, fraction, ranges) for fraction in sorted(record.scores, key=float)))


def _judged(record: Record, fraction: str, ranges: Ranges | None) -> ScoreVerdict:
    score, key = record.scores[fraction], key_of(record, fraction)
    found = None if ranges is None else ranges.find(key)
    if found is None:
        return ScoreVerdict("no_range", fraction, score.value, None, _without(key, ranges))
    if record.run.name in found.origin.runs:
        reason = f"The range of {key.name} was set from this run, '{record.run.name}', and does not judge it."
        return ScoreVerdict("no_range", fraction, score.value, None, reason)
    if found.rule == "other_protocol":
        return _other_protocol(score, key, found, found.origin.why)
    if changed := ", ".join(differences(basis_of(record, fraction), found.basis)):
        if found.rule == "published":
            return _other_protocol(score, key, found, changed)
        reason = f"The range of {key.name} is stale: {changed} changed since it was set."
        return ScoreVerdict("stale_range", fraction, score.value, None, reason, changed)
    return _compared(record, key, found)


def _other_protocol(score: Score, key: Key, found: Range, why: str) -> ScoreVerdict:
    reason = f"Other protocol: {found.mean:.4g} was published for {key.name} ({why}). It does not judge this score."
    return ScoreVerdict("no_range", key.fraction, score.value, None, reason, OTHER_PROTOCOL)


def _without(key: Key, ranges: Ranges | None) -> str:
    """Why there is no range: never set, or only for another device or dtype."""
    same = (key.kind, key.case, key.fraction)
    known = [one for one in (ranges.ranges if ranges else ()) if (one.kind, one.case, one.fraction) == same]
    others = ", ".join(f"{one.device} with {one.dtype}" for one in known if one.device != ANY)
    hint = f"there is one for {others}" if others else "set one with geofm-eval expect RUN"
    return f"There is no range for {key.name}: {hint}."


def _compared(record: Record, key: Key, found: Range) -> ScoreVerdict:
    score = record.scores[key.fraction]
    expected = _expected_for(found, score)
    if expected.low <= score.value <= expected.high:
        return ScoreVerdict("in_range", key.fraction, score.value, expected)
    own = architecture_of(record)
    # Published ranges are wide enough for any machine. A record without an architecture is judged.
    if own is not None and found.rule != "published" and own not in found.origin.architectures:
        reason = unverified_sentence(record, key.fraction, expected, own, found)
        return ScoreVerdict("unverified_range", key.fraction, score.value, expected, reason, own)
    side: Verdict = "below" if score.value < expected.low else "above"
    return ScoreVerdict(side, key.fraction, score.value, expected, outside(record, key, found, expected, side))


def _expected_for(found: Range, score: Score) -> ExpectedRange:
    """The range as a record holds it; for trainings, that of the mean over the score's number of seeds."""
    seeds = len(score.per_draw) if found.rule == "seeds" else None
    low, high = found.lo, found.hi
    if seeds not in (None, rules.SEEDS):
        low, high = rescaled(found, score.metric, score.n, int(seeds or 0))
    return ExpectedRange(
        low=low,
        high=high,
        rule=found.rule,
        why=found.origin.why,
        mean=found.mean,
        n=found.n,
        seeds=seeds,
        runs=found.origin.runs,
    )


def rescaled(found: Range, metric: str, items: int, seeds: int) -> tuple[float, float]:
    """Return the ends of a range of trainings for a mean over another number of seeds.

    Raises:
        ContractError: a range of another rule.
    """
    if found.spread is None or found.freedom is None or found.floor is None:
        raise ContractError(f"found a range of rule {found.rule}, expected one with spread, freedom and floor")
    pooled = rules.Pooled(found.spread, found.freedom)
    return rules.seed_range(found.mean, metric, items, pooled, found.n, found.floor, seeds)
