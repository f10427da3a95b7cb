"""Models over settings: means of scores between a control and a reference, at every label fraction by itself."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.ranking.grouping import Setting
from geofm_eval.ranking.joint import ranks, resample_scores, weighted_interval
from geofm_eval.ranking.sources import Source
from geofm_eval.ranking.standing import errors_of
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats

REFERENCE = "imagenet_vitb16"
"""The model that counts as 1 where no oracle is known."""

TRIMMED = 0.25

FEWEST = 2
"""Settings, and models, without which there is nothing to average or to rank."""

FEWEST_TRIMMED = 4
"""Settings without which a quarter is none, and an interquartile mean is the mean."""

Errors = dict[str, tuple[Source, ...]]


@dataclass(frozen=True)
class CommonScale:
    """What counts as 0 and as 1 in a setting, turned so that more is better.

    Args:
        setting: where.
        control: model that counts as 0: the best control by validation.
        zero: its score.
        reference: what counts as 1: ``oracle``, or a model.
        one: its score.
    """

    setting: Setting
    control: str
    zero: float
    reference: str
    one: float

    def of(self, quality: float) -> float:
        """A score on this scale."""
        return (quality - self.zero) / (self.one - self.zero)


@dataclass(frozen=True)
class Summary:
    """One model over all settings of a block.

    Args:
        model: slug.
        mean: over the settings, with its 95 % interval.
        middle: interquartile mean, with its 95 % interval; None with fewer than four settings.
        above: number of settings in which it scores above the control.
        median: median rank by mean.
        first: lower end of the 90 % interval of that rank.
        last: upper end.
        best: probability that its mean is the largest.
        by_setting: what it is a mean of.
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
        """Whether its mean is above that of the controls; None where the interval leaves that open.

        An interquartile mean cannot tell: it leaves out the settings in which a model loses most.
        """
        assert self.mean.low is not None
        assert self.mean.high is not None
        return True if self.mean.low > 0 else False if self.mean.high < 0 else None


@dataclass(frozen=True)
class Aggregate:
    """Models over a complete block of settings with one label fraction, best first.

    ``models`` is empty without two settings and two models; ``scales`` belong to the settings of the block.
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
    """Mean over settings with its 95 % interval: Student's t, the settings that are kept being held as they are.

    Args:
        shares: (n,) (score - control) / unit of every setting.
        scores: of each score the sources of its error.
        controls: the same of its control.
        units: of each setting reference - control, taken as known.
        trimmed: part of the settings that is left out at either end, rounded down.
    """
    cut = int(trimmed * len(shares))
    kept = np.argsort(shares, kind="stable")[cut : len(shares) - cut].tolist()
    weights = [turn / units[place] / len(kept) for place in kept for turn in (1, -1)]
    value = float(np.mean([shares[place] for place in kept]))
    return weighted_interval(value, weights, [own[place] for place in kept for own in (scores, controls)])


def complete_block(measured: Mapping[str, frozenset[str]]) -> tuple[frozenset[str], tuple[str, ...]]:
    """The models and settings of the largest block without a gap: most scores, then most models.

    Args:
        measured: models by setting.

    Returns:
        Models, and settings that have all of them; both empty where nothing was measured.
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


def aggregates(
    found: Sequence[Setting], models: Sequence[str], pairs: Pairs, catalog: Catalog
) -> dict[float, Aggregate]:
    """An aggregate per label fraction, the largest first: 1, 10 and 100 % of one task are no three settings."""
    by_fraction: defaultdict[float, list[Setting]] = defaultdict(list)
    for setting in found:
        by_fraction[setting.fraction].append(setting)
    return {
        fraction: aggregate(by_fraction[fraction], models, pairs, catalog)
        for fraction in sorted(by_fraction, reverse=True)
    }


def aggregate(found: Sequence[Setting], models: Sequence[str], pairs: Pairs, catalog: Catalog) -> Aggregate:
    """Means of (score - control) / (reference - control) over a complete block of models and settings.

    Ranks are those of joint resamples of all scores of the block, controls included: settings on the same items err
    together. The scale, reference - control, is held at what was measured: it is the unit of all models. Tasks are
    fixed: an interval says nothing about others.
    """
    scales: dict[str, CommonScale] = {}
    errors: dict[str, Errors] = {}
    dropped: dict[str, str] = {}
    for setting in found:
        known = {} if setting.control is None else errors_of(setting, pairs)[0]
        scale = _scale(setting, known, catalog)
        if isinstance(scale, str):
            dropped[setting.name] = scale
        else:
            scales[setting.name], errors[setting.name] = scale, known
    members, names = complete_block({name: frozenset(errors[name]) & frozenset(models) for name in scales})
    for name in scales:
        if name not in names:
            dropped[name] = f"lacks scores with per-item outcomes of {', '.join(sorted(members - set(errors[name])))}"
    for model in sorted(set(models) - members):
        lacking = sum(model not in errors[name] for name in names)
        dropped[model] = f"without a score that has per-item outcomes in {lacking} of the {len(names)} settings"
    chosen = [scales[name] for name in names]
    if len(chosen) < FEWEST or len(members) < FEWEST:
        return Aggregate((), tuple(chosen), dropped)
    return Aggregate(_summaries(sorted(members), chosen, errors), tuple(chosen), dropped)


def _scale(setting: Setting, known: Errors, catalog: Catalog) -> CommonScale | str:
    if setting.control is None:
        return "no control"
    if setting.control not in known:
        return f"its control {setting.control} has no per-item outcomes"
    turn, spec = sign(setting.score), catalog.tasks.get(setting.task)
    zero = setting.by_model[setting.control].quality
    if spec is not None and spec.oracle is not None:
        reference, one = "oracle", turn * spec.oracle
    elif REFERENCE in setting.by_model:
        reference, one = REFERENCE, setting.by_model[REFERENCE].quality
    else:
        return f"neither an oracle nor {REFERENCE} to refer to"
    if one <= zero:
        return f"its control {setting.control} reaches the reference ({reference})"
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
