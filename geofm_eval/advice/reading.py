"""Block to read from: the tap that validation chooses, and its gain over the end of the backbone."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from geofm_eval.catalog.dense import CHOSEN
from geofm_eval.factors.marginal import mean_difference
from geofm_eval.records import Score
from geofm_eval.results.comparison import LAST, Subject
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import Reselection, reselect, selected_difference
from geofm_eval.results.taps import choose_tap, sign
from geofm_eval.results.trainings import TrainedCell
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.reselection import choose

TENTH = "0.1"
"""Second label fraction with advice, besides the largest."""

Verdict = Literal["better", "worse", "not_shown", "unknown", "same"]
"""Interval of a difference above zero, below it, or around it; no interval; no difference."""


def verdict(difference: Difference, sign: float = 1.0) -> Verdict:
    """Return what a difference shows; ``sign`` is -1 if lower is better."""
    if difference.low is None or difference.high is None:
        return "unknown"
    low, high = sorted((sign * difference.low, sign * difference.high))
    return "better" if low > 0 else "worse" if high < 0 else "not_shown"


@dataclass(frozen=True)
class Reading:
    """A tap that validation chose among ``candidates``, read ``by`` a probe or by a decoder with its tuning.

    It is compared with ``end``: ``final``, or for decoders the deepest block. ``gain`` is the paired difference of test
    scores, for probes with an interval that includes the choice of the tap. ``again`` names taps that are as good on
    validation; None for decoders and for records without resamples.
    """

    by: str
    fraction: float
    tap: str
    candidates: int
    validated: float
    test: Score
    end: str
    end_test: float
    gain: Difference
    shows: Verdict
    again: Reselection | None = None


def probe_readings(subject: Subject, by: str, fractions: Sequence[str], pairs: Pairs) -> list[Reading]:
    """Return what a probe chooses with all labels, and with a tenth of them if that is another tap."""
    found: list[Reading] = []
    for fraction in fractions:
        chosen = choose_tap(subject, fraction)
        end = subject.score(LAST, fraction)
        if chosen is None or end is None or any(chosen.tap == other.tap for other in found):
            continue
        gain = selected_difference(subject, LAST, fraction, pairs)
        assert gain is not None  # there are a chosen tap and an end
        shows = "same" if chosen.record is subject.taps[LAST] else verdict(gain, sign(chosen.score))
        found.append(
            Reading(
                by, float(fraction), chosen.tap, chosen.candidates, chosen.val_score, chosen.score, LAST, end.value,
                gain, shows, reselect(subject, fraction, pairs),
            )
        )  # fmt: skip
    return found


def decoder_readings(cells: Sequence[TrainedCell], pairs: Pairs) -> list[Reading]:
    """Return what single-level decoders choose, for every tuning and label fraction trained on several blocks."""
    groups: defaultdict[tuple[str, float, str], dict[str, TrainedCell]] = defaultdict(dict)
    for cell in cells:
        adaptation = cell.adaptation
        if adaptation.head.startswith("single") and not adaptation.variant and cell.layer != CHOSEN:
            groups[adaptation.head, -adaptation.fraction, adaptation.tuning][cell.layer] = cell
    return [
        _of_decoders(f"{head}, {tuning}", own, pairs)
        for (head, _, tuning), own in sorted(groups.items(), key=lambda group: (group[0][1], group[0]))
        if len(own) > 1
    ]


def _of_decoders(by: str, cells: dict[str, TrainedCell], pairs: Pairs) -> Reading:
    ordered = [cells[layer] for layer in sorted(cells)]
    best = ordered[choose([cell.sign * cell.validated for cell in ordered])]
    end = cells[max(cells)]
    gain = mean_difference([(best, end)], pairs)
    return Reading(
        f"decoder {by}", best.adaptation.fraction, best.layer, len(cells), best.validated, best.score, end.layer,
        end.score.value, gain, "same" if best is end else verdict(gain, best.sign),
    )  # fmt: skip


def advised_fractions(subject: Subject) -> Iterator[str]:
    """Yield the largest label fraction, then a tenth if it was measured."""
    fractions = sorted({key for record in subject.taps.values() for key in record.scores}, key=float)
    yield fractions[-1]
    if TENTH in fractions[:-1]:
        yield TENTH
