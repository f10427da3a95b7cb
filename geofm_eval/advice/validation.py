"""Standard error of a validation score from its record alone, for the one-standard-error rule."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.metric import METRICS
from geofm_eval.records import Choice, Record
from geofm_eval.results.taps import choices_of
from geofm_eval.stats.out_of_fold import TEST_SHARE


@dataclass(frozen=True)
class StandardError:
    """Standard error of a mean validation score in the metric's own unit, and how it was computed or why not."""

    value: float | None
    method: str


def standard_error(record: Record, fraction: str) -> StandardError:
    """Return the standard error of a record's mean validation score over samples, at a label fraction.

    Each of D label draws (or shuffles) was validated on n of N samples, a proportion q = n / N. For the mean of a
    quantity with variance v, the variance between draws is s^2 = (1 - q) v / n. The N samples are themselves a sample,
    whose mean has the variance v / N = s^2 q / (1 - q), as in a delete-d jackknife, which is not limited to means (Shao
    and Wu 1989, Annals of Statistics 17). The mean over the draws has both.

    - *Accuracy* is such a mean, with v = p (1 - p): v ((1 - q) / (n D) + 1 / N), which is v / n for one draw. The
      effects of draws are common to all taps and do not affect their comparison.
    - *Any other metric, and shuffle splits*: s^2 (1 / D + q / (1 - q)). s / sqrt(D) would ignore the second term, which
      is nearly all of it for shuffles (q = 0.9). There is no estimate from one draw, or if all draws were validated on
      the same samples.
    """
    choices = [c for c in choices_of(record, fraction) if c.val_score is not None]
    values = [float(c.val_score) for c in choices if c.val_score is not None]
    shuffled, metric = record.provenance.protocol == "shuffle_splits", record.scores[fraction].metric
    count, noun = len(values), "shuffles" if shuffled else "label draws"
    n, pool = _items(record, choices)
    if METRICS[metric].mean_of_samples and not shuffled and n and pool:
        return _binomial(sum(values) / count, count, n, pool)
    if count < 2:
        return StandardError(None, f"a single validation {metric} has no spread; several {noun} are needed")
    if not n or not pool or n >= pool:
        return StandardError(None, f"the {count} {noun} are not known to have different validation samples")
    share = n / pool
    variance = _variance(values) * (1 / count + share / (1 - share))
    on = f"{100 * share:.0f} % of the samples"
    return StandardError(math.sqrt(variance), f"spread over {count} {noun}, each validated on {on}")


def _binomial(p: float, draws: int, n: float, pool: float) -> StandardError:
    times = (f"{draws} x " if draws > 1 else "") + f"{n:g}" + (f" of {pool:g}" if n < pool else "")
    if not 0 < p < 1:
        return StandardError(None, f"all or none of {times} validation samples are correct: no binomial error")
    variance = p * (1 - p) * ((1 - n / pool) / (n * draws) + 1 / pool)
    return StandardError(math.sqrt(variance), f"binomial, {times} validation samples")


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _items(record: Record, choices: Sequence[Choice]) -> tuple[float | None, float | None]:
    """Number of validation samples of a draw, and of all; None if the record does not say."""
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
    split = [c.n_val for c in choices_of(record, "1.0") if c.val_kind == "split" and c.n_val]
    return n, max(n, split[0] if split else n / fraction)
