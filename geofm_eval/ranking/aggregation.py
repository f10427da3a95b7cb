"""Models over settings: means of scores scaled between a control and a reference, per label fraction."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.ranking.grouping import Setting
from geofm_eval.ranking.joint import ranks, resample_scores, weighted_interval
from geofm_eval.ranking.sources import Source
from geofm_eval.ranking.standing import errors_of
from geofm_eval.results.run import Run
from geofm_eval.results.taps import sign
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats

REFERENCE = "imagenet_vitb16"
"""The model that counts as 1 if no oracle is known."""

TRIMMED = 0.25

FEWEST = 2
"""Settings, and models, that a mean or ranking needs."""

FEWEST_TRIMMED = 4
"""Settings that an interquartile mean needs; with fewer it is the mean."""

Errors = dict[str, tuple[Source, ...]]


@dataclass(frozen=True)
class CommonScale:
    """Scores that count as 0 and as 1 in a setting: of the best control on validation, and of ``oracle`` or a model.

    ``zero`` and ``one`` have their sign set so that more is better.
    """

    setting: Setting
    control: str
    zero: float
    reference: str
    one: float

    def of(self, quality: float) -> float:
        """Convert a score to this scale."""
        return (quality - self.zero) / (self.one - self.zero)


@dataclass(frozen=True)
class Summary:
    """One model over all settings of a block.

    ``mean`` is the mean of ``by_setting`` and ``middle`` the interquartile mean (None with fewer than four settings),
    with 95 % intervals. ``above`` is the number of settings in which it scores above the control. ``median`` is the
    median rank by mean, with its 90 % interval from ``first`` to ``last``; ``best`` the probability that its mean is
    the largest.
    """

    model: str
    mean: Difference
    middle: Difference | None
    above: int
    median: float
    first: int
    last: int
    best: float
    by_setting: dict[str, float]

    @property
    def beats_control(self) -> bool | None:
        """Whether its mean is above that of the controls; None if the interval contains 0.

        The interquartile mean does not show this: it leaves out the settings in which a model loses most.
        """
        assert self.mean.low is not None
        assert self.mean.high is not None
        return True if self.mean.low > 0 else False if self.mean.high < 0 else None


@dataclass(frozen=True)
class Aggregate:
    """Models over a complete block of settings with one label fraction, best first.

    ``models`` is empty with fewer than two settings or models; ``scales`` belong to the settings of the block.
    """

    models: tuple[Summary, ...]
    scales: tuple[CommonScale, ...]
    dropped: dict[str, str]


def mean_of_shares(
    shares: Sequence[float],
    scores: Sequence[tuple[Source, ...]],
    controls: Sequence[tuple[Source, ...]],
    units: Sequence[float],
    trimmed: float = 0.0,
) -> Difference:
    """Return the mean over settings with its 95 % t interval, given the settings that are kept.

    Args:
        shares: (n,) (score - control) / unit of every setting.
        scores: error sources of each score.
        controls: error sources of its control.
        units: (n,) reference - control, taken as known.
        trimmed: proportion of the settings that is left out at either end, rounded down.
    """
    cut = int(trimmed * len(shares))
    kept = np.argsort(shares, kind="stable")[cut : len(shares) - cut].tolist()
    weights = [turn / units[place] / len(kept) for place in kept for turn in (1, -1)]
    value = float(np.mean([shares[place] for place in kept]))
    return weighted_interval(value, weights, [own[place] for place in kept for own in (scores, controls)])


def complete_block(measured: Mapping[str, frozenset[str]]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Return models and settings of the largest block without a gap: most scores, then most models.

    Args:
        measured: models by setting; both parts are empty without any.
    """
    shared: set[frozenset[str]] = set()
    for models in measured.values():
        shared |= {models & other for other in shared} | {models}
    blocks = [(models, tuple(name for name, own in measured.items() if models <= own)) for models in shared if models]
    return max(
        blocks,
        key=lambda block: (len(block[0]) * len(block[1]), len(block[0]), sorted(block[0])),
        default=(frozenset(), ()),
    )


def aggregates(found: Sequence[Setting], models: Sequence[str], run: Run, catalog: Catalog) -> dict[float, Aggregate]:
    """Return an aggregate per label fraction, largest first: 1, 10 and 100 % of one task are not three settings."""
    by_fraction: defaultdict[float, list[Setting]] = defaultdict(list)
    for setting in found:
        by_fraction[setting.fraction].append(setting)
    return {
        fraction: aggregate(by_fraction[fraction], models, run, catalog)
        for fraction in sorted(by_fraction, reverse=True)
    }


def aggregate(found: Sequence[Setting], models: Sequence[str], run: Run, catalog: Catalog) -> Aggregate:
    """Return means of (score - control) / (reference - control) over a complete block of models and settings.

    Ranks are from joint resamples of all scores of the block, controls included, because errors of settings on the same
    samples are correlated. The scale, reference - control, is taken as measured. Tasks are fixed: intervals do not
    extend to others.
    """
    scales: dict[str, CommonScale] = {}
    errors: dict[str, Errors] = {}
    dropped: dict[str, str] = {}
    for setting in found:
        known = {} if setting.control is None else errors_of(setting, run.pairs)[0]
        scale = _scale(setting, known, catalog)
        if isinstance(scale, str):
            dropped[setting.name] = scale
        else:
            scales[setting.name], errors[setting.name] = scale, known
    members, names = complete_block({name: frozenset(errors[name]) & frozenset(models) for name in scales})
    for name in scales:
        if name not in names:
            dropped[name] = f"no scores with per-sample outcomes of {', '.join(sorted(members - set(errors[name])))}"
    for model in sorted(set(models) - members):
        lacking = sum(model not in errors[name] for name in names)
        dropped[model] = f"no score with per-sample outcomes in {lacking} of {counted(len(names), 'setting')}"
    chosen = [scales[name] for name in names]
    if len(chosen) < FEWEST or len(members) < FEWEST:
        return Aggregate((), tuple(chosen), dropped)
    return Aggregate(_summaries(sorted(members), chosen, errors), tuple(chosen), dropped)


def _scale(setting: Setting, known: Errors, catalog: Catalog) -> CommonScale | str:
    if setting.control is None:
        return "no control"
    if setting.control not in known:
        return f"its control {setting.control} has no per-sample outcomes"
    turn, spec = sign(setting.score), catalog.tasks.get(setting.task)
    zero = setting.by_model[setting.control].quality
    if spec is not None and spec.oracle is not None:
        reference, one = "oracle", turn * spec.oracle
    elif REFERENCE in setting.by_model:
        reference, one = REFERENCE, setting.by_model[REFERENCE].quality
    else:
        return f"neither an oracle nor {REFERENCE} as a reference"
    if one <= zero:
        return f"its control {setting.control} is as good as the reference ({reference})"
    return CommonScale(setting, setting.control, zero, reference, one)


def _summaries(
    members: Sequence[str], scales: Sequence[CommonScale], errors: Mapping[str, Errors]
) -> tuple[Summary, ...]:
    place = ranks(_resampled(members, scales, errors).mean(1))
    known = [errors[scale.setting.name] for scale in scales]
    controls = [own[scale.control] for own, scale in zip(known, scales, strict=True)]
    units = [scale.one - scale.zero for scale in scales]
    made = []
    for number, model in enumerate(members):
        shares = {scale.setting.name: scale.of(scale.setting.by_model[model].quality) for scale in scales}
        values, scores = list(shares.values()), [own[model] for own in known]
        enough = len(values) >= FEWEST_TRIMMED
        made.append(
            Summary(
                model=model,
                mean=mean_of_shares(values, scores, controls, units),
                middle=mean_of_shares(values, scores, controls, units, TRIMMED) if enough else None,
                above=sum(value > 0 for value in values),
                median=float(place.median[number]),
                first=int(place.low[number]),
                last=int(place.high[number]),
                best=float(place.best[number]),
                by_setting=shares,
            )
        )
    return tuple(sorted(made, key=lambda one: (-one.mean.value, one.model)))


def _resampled(members: Sequence[str], scales: Sequence[CommonScale], errors: Mapping[str, Errors]) -> Floats:
    """Return (resamples, settings, models) scaled scores from joint resamples of all scores and controls."""
    each = [(scale, model) for scale in scales for model in (*members, scale.control)]
    values = [scale.setting.by_model[model].quality for scale, model in each]
    drawn = resample_scores(values, [errors[scale.setting.name][model] for scale, model in each])
    blocks = drawn.reshape(len(drawn), len(scales), len(members) + 1)
    units = np.array([scale.one - scale.zero for scale in scales])
    return np.asarray((blocks[..., :-1] - blocks[..., -1:]) / units[:, None], dtype=np.float64)
