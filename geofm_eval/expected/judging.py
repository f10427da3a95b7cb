"""Is a score as expected? One verdict per label fraction, the worst of them for the case."""

from dataclasses import dataclass, replace

from geofm_eval.errors import ContractError
from geofm_eval.expected import rules
from geofm_eval.expected.architecture import unverified_on, unverified_sentence
from geofm_eval.expected.ranges import ANY, Key, Range, Ranges
from geofm_eval.expected.sentences import OUTSIDE, outside
from geofm_eval.expected.subject import basis_of, differences, has_scores, key_of
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
        value: the score; of trainings their mean.
        expected: the range for as many seeds; None where none was applied.
        reason: one sentence, for every verdict but ``in_range``.
        changed: what a stale range was set with others of, such as ``weights``; the architecture that an unverified
            range was not set on; ``OTHER_PROTOCOL`` of a published number that judges nothing.
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
        """What decides the verdict of the case."""
        return min(self.judged, key=lambda one: WORST_FIRST.index(one.verdict), default=None)

    @property
    def verdict(self) -> Verdict:
        """That of the worst label fraction."""
        return "no_range" if self.worst is None else self.worst.verdict

    @property
    def outside(self) -> bool:
        """True where a score is below or above its range, at any label fraction."""
        return self.verdict in ("below", "above")

    @property
    def stale(self) -> bool:
        """True where the worst is a range that was set for something else."""
        return self.verdict == "stale_range"

    @property
    def unverified(self) -> bool:
        """True where a score is outside, and its range was never verified on this architecture."""
        return self.verdict == "unverified_range"

    @property
    def other_protocol(self) -> bool:
        """True where all that is known is a published number of another protocol."""
        return any(one.changed == OTHER_PROTOCOL for one in self.judged)

    @property
    def reason(self) -> str:
        """Sentences of all label fractions that share the case's verdict; one where they all say the same."""
        return " ".join(dict.fromkeys(one.reason for one in self.judged if one.verdict == self.verdict and one.reason))

    @property
    def ranges(self) -> dict[str, ExpectedRange]:
        """The ranges that were applied, by label fraction."""
        return {one.fraction: one.expected for one in self.judged if one.expected is not None}


def failed_by_range(outcome: Outcome) -> bool:
    """True for a case whose scores are sound, and that failed because they are outside their range, or have none."""
    return outcome.status == "failed" and any(words in (outcome.reason or "") for words in (OUTSIDE, REQUIRED))


def judge(record: Record, ranges: Ranges | None) -> CaseRangeVerdict:
    """Judge every score of a record, of any kind, by the ranges of its task.

    Returns:
        ``in_range``; ``below`` or ``above``, by the number, whichever direction is better; ``no_range`` where there is
        none for the device and dtype, it was set from this very run, or there is only a published number of another
        protocol, which the reason gives; ``stale_range`` where it was set for other weights, data, recipe or training;
        ``unverified_range`` instead of ``below`` and ``above`` on an architecture that it was not set on.
    """
    if not has_scores(record):
        return CaseRangeVerdict(())
    fractions = sorted(record.scores, key=float)
    return CaseRangeVerdict(tuple(_judged(record, fraction, ranges) for fraction in fractions))


def _judged(record: Record, fraction: str, ranges: Ranges | None) -> ScoreVerdict:
    score, key = record.scores[fraction], key_of(record, fraction)
    found = None if ranges is None else ranges.find(key)
    if found is None:
        return ScoreVerdict("no_range", fraction, score.value, None, _without(key, ranges))
    if record.run.name in found.origin.runs:
        reason = f"The range of {key.name} was set from this very run, '{record.run.name}'."
        return ScoreVerdict("no_range", fraction, score.value, None, reason)
    if found.rule == "other_protocol":
        return _other_protocol(score, key, found, found.origin.why)
    if changed := ", ".join(differences(basis_of(record, fraction), found.basis)):
        if found.rule == "published":
            return _other_protocol(score, key, found, changed)
        reason = f"The range of {key.name} is stale: it was set with other {changed}."
        return ScoreVerdict("stale_range", fraction, score.value, None, reason, changed)
    return _unless_unverified(_compared(record, key, found), record, found)


def _other_protocol(score: Score, key: Key, found: Range, why: str) -> ScoreVerdict:
    reason = f"Other protocol: {found.mean:.4g} was published for {key.name} ({why}). It judges nothing."
    return ScoreVerdict("no_range", key.fraction, score.value, None, reason, OTHER_PROTOCOL)


def _unless_unverified(judged: ScoreVerdict, record: Record, found: Range) -> ScoreVerdict:
    own = unverified_on(record, found)
    if own is None or judged.verdict not in ("below", "above"):
        return judged
    assert judged.expected is not None  # a score outside has a range
    reason = unverified_sentence(record, judged.fraction, judged.expected, own, found)
    return replace(judged, verdict="unverified_range", reason=reason, changed=own)


def _without(key: Key, ranges: Ranges | None) -> str:
    """Why there is no range: never set, or only for another device or dtype."""
    same = (key.kind, key.case, key.fraction)
    known = [one for one in (ranges.ranges if ranges else ()) if (one.kind, one.case, one.fraction) == same]
    others = ", ".join(f"{one.device} with {one.dtype}" for one in known if one.device != ANY)
    hint = f"there is one for {others}" if others else "set one with geofm-eval expect RUN"
    return f"There is no range for {key.name}: {hint}."


def expected_for(found: Range, score: Score) -> ExpectedRange:
    """The range as a record holds it; of trainings that for the mean over as many seeds as the score has."""
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
    """Ends of a range of trainings for a mean over another number of seeds.

    Raises:
        ContractError: a range of another rule.
    """
    if found.spread is None or found.freedom is None or found.floor is None:
        raise ContractError(
            f"rule {found.rule} does not know of seeds: expected a range with spread, freedom and floor"
        )
    pooled = rules.Pooled(found.spread, found.freedom)
    return rules.seed_range(found.mean, metric, items, pooled, found.n, found.floor, seeds)


def _compared(record: Record, key: Key, found: Range) -> ScoreVerdict:
    score = record.scores[key.fraction]
    expected = expected_for(found, score)
    if expected.low <= score.value <= expected.high:
        return ScoreVerdict("in_range", key.fraction, score.value, expected)
    side: Verdict = "below" if score.value < expected.low else "above"
    return ScoreVerdict(side, key.fraction, score.value, expected, outside(record, key, found, expected, side))
