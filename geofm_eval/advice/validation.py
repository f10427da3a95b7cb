"""How sure a validation score is, from its record alone: what the one-standard-error rule for depth rests on."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.metric import METRICS
from geofm_eval.records import Choice, Record
from geofm_eval.stats.out_of_fold import TEST_SHARE


@dataclass(frozen=True)
class StandardError:
    """Standard error of a mean validation score in the metric's own unit, and how it was computed or why not."""

    value: float | None
    method: str


def standard_error(record: Record, fraction: str) -> StandardError:
    """Standard error of a record's mean validation score, over items that might have been drawn instead.

    Each of D label draws (or shuffles) was validated on n of the N items that there are, a share q = n / N. For the
    mean of a quantity of variance v over these items, the variance between draws is s^2 = (1 - q) v / n, and the N
    items are a sample themselves, whose mean has the variance v / N = s^2 q / (1 - q): what a delete-d jackknife says,
    of statistics that are no means too (Shao and Wu 1989, Annals of Statistics 17). The mean over the draws has both.

    - *Accuracy* is such a mean, with v = p (1 - p): v ((1 - q) / (n D) + 1 / N), which is v / n for one draw. What the
      draws add beside the items is common to all taps, which have the same draws, and does not blur their comparison.
    - *Any other metric, and shuffle splits*: s^2 (1 / D + q / (1 - q)). Plain s / sqrt(D) would forget the second part,
      which for shuffles (q = 0.9) is nearly all. One draw has no spread, and draws that were all validated on the same
      items have none over items: nothing follows.

    Args:
        record: of one tap.
        fraction: key of its label fraction.
    """
    choices = [c for c in _choices(record, fraction) if c.val_score is not None]
    values = [float(c.val_score) for c in choices if c.val_score is not None]
    shuffled, metric = record.provenance.protocol == "shuffle_splits", record.scores[fraction].metric
    count, noun = len(values), "shuffles" if shuffled else "label draws"
    n, pool = _items(record, choices)
    if METRICS[metric].mean_of_samples and not shuffled and n and pool:
        return _binomial(sum(values) / count, count, n, pool)
    if count < 2:
        return StandardError(None, f"a single validation {metric} has no spread: it takes several {noun}")
    if not n or not pool or n >= pool:
        return StandardError(None, f"{count} {noun} are not known to have been validated on different items")
    share = n / pool
    variance = _variance(values) * (1 / count + share / (1 - share))
    on = f"{100 * share:.0f} % of the items"
    return StandardError(math.sqrt(variance), f"spread over {count} {noun}, each validated on {on}")


def _binomial(p: float, draws: int, n: float, pool: float) -> StandardError:
    times = (f"{draws} x " if draws > 1 else "") + f"{n:g}" + (f" of {pool:g}" if n < pool else "")
    if not 0 < p < 1:
        return StandardError(None, f"all or none of {times} validation items are right: no binomial error")
    variance = p * (1 - p) * ((1 - n / pool) / (n * draws) + 1 / pool)
    return StandardError(math.sqrt(variance), f"binomial, {times} validation items")


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _choices(record: Record, fraction: str) -> list[Choice]:
    choices = record.selection.choices if record.selection else ()
    return [choice for choice in choices if choice.fraction == float(fraction)]


def _items(record: Record, choices: Sequence[Choice]) -> tuple[float | None, float | None]:
    """Items that a draw was validated on, and items that there are; None where the record does not say."""
    counts = [choice.n_val for choice in choices if choice.n_val]
    if not counts or len(counts) < len(choices):
        return None, None
    n, fraction = sum(counts) / len(counts), choices[0].fraction
    if record.provenance.protocol == "shuffle_splits":
        return n, n / (fraction * (1 - TEST_SHARE))
    if any(choice.val_kind != "split" for choice in choices):
        # Folds of the training labels of every draw.
        whole = record.scores.get("1.0")
        return n, max(n, whole.n_train if whole else n / fraction)
    if (record.provenance.recipe or {}).get("val_budget") == "full":
        return n, n
    split = [c.n_val for c in _choices(record, "1.0") if c.val_kind == "split" and c.n_val]
    return n, max(n, split[0] if split else n / fraction)
