"""Verdicts on whether a claim holds in most cells, by a partial conjunction test."""

from collections.abc import Callable, Collection, Sequence

from geofm_eval.findings.finding import MARGIN, Claim, FindingCell, Verdict
from geofm_eval.plurals import counted
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import ALPHA, holm

FEWEST_CELLS, FEWEST_DATA_SETS, FEWEST_BACKBONES = 5, 3, 3
"""Required for a verdict about most cells. Cells with the same test samples belong to one data set."""


def majority(count: int) -> int:
    """The smallest number that is more than half of ``count``."""
    return count // 2 + 1


def partial_conjunction(values: Sequence[float], least: int) -> float:
    """Return the p of fewer than ``least`` of m null hypotheses being false (Benjamini and Heller 2008).

    With the p-values in order, p = min over i = 1..m - u + 1 of (m - u + 1) / i * p_(u - 1 + i), u being ``least``:
    Simes' p of the m - u + 1 largest. It holds for independent p-values and for those that depend positively; its
    measured size is in ``docs/findings.md``.

    Args:
        values: (m,) one-sided p-values.
        least: u, from 1 to m.
    """
    largest = sorted(values)[least - 1 :]
    return min(1.0, *(len(largest) / rank * value for rank, value in enumerate(largest, start=1)))


def p_most_above(cells: Sequence[FindingCell]) -> float:
    """Return the p of the effect being above the claim's null in at most half of the cells."""
    return _p_most(cells, lambda cell: cell.p_above)


def p_most_below(cells: Sequence[FindingCell]) -> float:
    """Return the p of the effect being below the claim's bound in at most half of the cells."""
    return _p_most(cells, lambda cell: cell.p_below)


def _p_most(cells: Sequence[FindingCell], p: Callable[[FindingCell], float | None]) -> float:
    known = [value for cell in cells if (value := p(cell)) is not None]
    return partial_conjunction(known, majority(len(known))) if known else 1.0


def verdict_on_most(
    cells: Sequence[FindingCell], mean: Difference, claim: Claim, tests: int = 1, mean_refutes: bool = True
) -> Verdict:
    """Whether a claim holds in most cells.

    Supported: the effect is above the claim's null in most cells, and the mean is worth naming and its interval lies
    above the null. Refuted: the effect is below the claim's bound in most cells, or the interval of the mean lies at or
    below the null. Where both hold, most cells being small and a few large, nothing is decided.

    Args:
        cells: those that count and have p-values.
        mean: over them.
        claim: what is tested.
        tests: number of sets of cells of which any one may support the claim (Bonferroni). To refute it all must.
        mean_refutes: False where the estimates are biased against the claim.
    """
    known = mean.low is not None and mean.high is not None
    most = tests * p_most_above(cells) < ALPHA
    supported = known and most and mean.value >= claim.worth and (mean.low or 0.0) > claim.above
    no_gain = known and mean_refutes and (mean.high or 0.0) <= claim.above
    refuted = no_gain or p_most_below(cells) < ALPHA
    return "undecided" if supported == refuted else "supported" if supported else "refuted"


def shortage(tested: Sequence[FindingCell], backbones: Collection[str], count: int) -> str | None:
    """What is missing to speak of most cells, in a sentence; None where there is enough.

    ``tested`` cells count and have an interval, ``backbones`` are theirs, and ``count`` includes those without
    interval.
    """
    found = (
        (len(tested), FEWEST_CELLS, "cell"),
        (len({cell.data for cell in tested}), FEWEST_DATA_SETS, "data set"),
        (len(backbones), FEWEST_BACKBONES, "backbone"),
    )
    missing = [counted(least - number, noun) for number, least, noun in found if number < least]
    if 2 * len(tested) < count:
        missing.append("per-sample outcomes for half of the cells")
    if not missing:
        return None
    have, need = (" from ".join([one[0], " and ".join(one[1:])]) for one in (
        [counted(number, noun) for number, _, noun in found], [counted(least, noun) for _, least, noun in found]
    ))  # fmt: skip
    absent = f" {without(count - len(tested))}" if count > len(tested) else ""
    return f"Found: {have} with an interval. Needed: {need}. Missing: {', '.join(missing)}.{absent}"


def without(count: int) -> str:
    """A sentence about cells that have no part in a verdict."""
    return f"{counted(count, 'cell')} without per-sample outcomes {'has' if count == 1 else 'have'} no interval."


def not_counted(parts: Sequence[str]) -> list[str]:
    """A sentence about groups of cells that do not count; none without any."""
    return [f"Not counted: {'; '.join(parts)}."] if parts else []


def most_words(cells: Sequence[FindingCell], claim: Claim, mean: Difference, tests: int = 1) -> str:
    """Both tests in words, such as ``at least 3 of 5 cells above 0: p = 0.012; at least 3 below 1: p = 0.970``."""
    least, p = majority(len(cells)), min(1.0, tests * p_most_above(cells))
    times = f" (multiplied by {tests}, because any of {tests} tests may support the claim)" if tests > 1 else ""
    text = f"at least {least} of {len(cells)} cells above {claim.above:g}: p = {p:.3f}{times}; "
    text += f"at least {least} below {claim.below:g}: p = {p_most_below(cells):.3f}"
    if p >= ALPHA:
        return text
    if mean.value < claim.worth:
        return f"{text}; but the mean is below {claim.worth:g}"
    return f"{text}; but the mean is not clearly above {claim.above:g}" if (mean.low or 0) <= claim.above else text


def tally_noninferior(cells: Sequence[FindingCell]) -> str:
    """Count single cells after Holm: ``3 of 4 clearly above -1, 1 clearly below``."""
    within, beyond = (
        sum(value <= ALPHA for value in holm([one for one in own if one is not None]))
        for own in ([cell.p_above for cell in cells], [cell.p_below for cell in cells])
    )
    text = f"{within} of {len(cells)} clearly above {-MARGIN:g}"
    return f"{text}, {beyond} clearly below" if beyond else text
