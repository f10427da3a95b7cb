"""Ranking of one comparison: every model at its chosen tap, compared with ``final`` and the best control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.plurals import counted
from geofm_eval.records import Score
from geofm_eval.results.comparison import LAST, Comparison, Subject, summarise
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.reselected import Reselection, reselect, selected_difference
from geofm_eval.results.taps import ChosenTap, best_of, choose_tap, sign
from geofm_eval.stats.difference import Difference


@dataclass(frozen=True)
class RankingRow:
    """One model of a ranking by test score; equal scores share a rank.

    ``gain`` is the chosen tap minus ``final``, with an interval that includes the choice (None with a single tap), and
    ``again`` what validation would choose on other samples, if records have resamples. ``control`` is the control with
    the best validation score (None for controls), and ``over_control`` the difference of both chosen taps.
    """

    rank: int
    subject: Subject
    chosen: ChosenTap
    final: Score | None
    gain: Difference | None
    again: Reselection | None
    control: str | None
    over_control: Difference | None


@dataclass(frozen=True)
class Ranking:
    """The ranking of one comparison at its largest label fraction, best first, and why other models are not ranked."""

    comparison: Comparison
    rows: tuple[RankingRow, ...]
    dropped: dict[str, str]

    @property
    def subjects(self) -> list[Subject]:
        """All models with scores: the ranked ones best first, then those that were dropped."""
        ranked = [row.subject for row in self.rows]
        return ranked + [s for s in self.comparison.subjects if s.model in self.dropped]

    @property
    def control(self) -> str | None:
        """The control that models are compared with; None where there is none, or nothing but controls."""
        return next((row.control for row in self.rows if row.control is not None), None)


def rank(comparison: Comparison, pairs: Pairs) -> Ranking:
    """Rank the models whose taps are all measured; the others are dropped by name.

    Rows are ordered by test score; tap and control are chosen on validation.
    """
    fraction = comparison.full
    chosen, dropped = choose_taps(comparison, fraction)
    ranked = [subject for subject in comparison.subjects if subject.model in chosen]
    control = best_control(ranked, chosen)
    rows = [_row(subject, ranked, chosen, control, pairs, fraction) for subject in ranked]
    return Ranking(comparison, tuple(sorted(rows, key=lambda row: (row.rank, row.subject.model))), dropped)


def choose_taps(comparison: Comparison, fraction: str) -> tuple[dict[str, ChosenTap], dict[str, str]]:
    """The tap that validation chooses for every model whose taps are all measured, and why others have none."""
    dropped = dict(comparison.left_out)
    chosen: dict[str, ChosenTap] = {}
    for subject in comparison.subjects:
        best = choose_tap(subject, fraction)
        if subject.missing:
            lacks = counted(len(subject.missing), "tap")
            dropped[subject.model] = f"{lacks} without a score ({summarise(subject.missing)})"
        elif best is None:
            dropped[subject.model] = "no validation score, so no tap can be chosen"
        else:
            chosen[subject.model] = best
    return chosen, dropped


def best_control(ranked: Sequence[Subject], chosen: Mapping[str, ChosenTap]) -> Subject | None:
    """The control with the best validation score at its chosen tap, ties as among taps; None without a control."""
    controls = [subject for subject in ranked if subject.is_control]
    if not controls:
        return None
    found = [chosen[subject.model] for subject in controls]
    return controls[found.index(best_of(found))]


def _row(
    subject: Subject,
    ranked: list[Subject],
    chosen: dict[str, ChosenTap],
    control: Subject | None,
    pairs: Pairs,
    fraction: str,
) -> RankingRow:
    own = chosen[subject.model]
    values = [sign(own.score) * chosen[other.model].score.value for other in ranked]
    final = subject.score(LAST, fraction)
    gain = over_control = None
    if len(subject.taps) > 1 and final is not None:
        gain = selected_difference(subject, LAST, fraction, pairs)
    if control is not None and not subject.is_control:
        over_control = pairs.difference(own.record, chosen[control.model].record, fraction)
    return RankingRow(
        rank=1 + sum(value > sign(own.score) * own.score.value for value in values),
        subject=subject,
        chosen=own,
        final=final,
        gain=gain,
        again=reselect(subject, fraction, pairs),
        control=control.model if control is not None and over_control is not None else None,
        over_control=over_control,
    )
