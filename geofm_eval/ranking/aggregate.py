"""One number per model over settings: the interquartile mean of scores between a control and a reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.errors import ContractError
from geofm_eval.ranking.joint import ranks, resample_scores, weighted_spread
from geofm_eval.ranking.settings import Setting
from geofm_eval.ranking.sources import Source
from geofm_eval.ranking.standing import errors_of
from geofm_eval.report.choice import LEVEL, Difference, Pairs, sign
from geofm_eval.resampling import Floats

REFERENCE = "imagenet_vitb16"
"""The model that counts as 1 where no oracle is known."""

TRIMMED = 0.25

Errors = dict[str, tuple[Source, ...]]


@dataclass(frozen=True)
class Scale:
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
        value: interquartile mean.
        low: lower end of its 95 % interval.
        high: upper end.
        median: median rank.
        first: lower end of the 90 % interval of its rank.
        last: upper end.
        best: probability that its interquartile mean is the largest.
        by_setting: what it is a mean of.
    """

    model: str
    value: float
    low: float
    high: float
    median: float
    first: int
    last: int
    best: float
    by_setting: dict[str, float]


@dataclass(frozen=True)
class Aggregate:
    """Models over a complete block of settings, best first.

    Args:
        models: one summary per model; empty without two settings.
        scales: of the settings of the block.
        dropped: settings and models that are not in the block, with the reason.
    """

    models: tuple[Summary, ...]
    scales: tuple[Scale, ...]
    dropped: dict[str, str]


def interquartile_mean(values: Floats) -> Floats:
    """Mean over the last axis without the lowest and the highest quarter, each rounded down.

    Args:
        values: (..., n).

    Raises:
        ContractError: no values.
    """
    count = values.shape[-1] if values.ndim else 0
    if count == 0:
        raise ContractError("an interquartile mean needs at least one value")
    cut = int(TRIMMED * count)
    return np.asarray(np.sort(values, axis=-1)[..., cut : count - cut].mean(-1), dtype=np.float64)


def interquartile_interval(
    shares: Sequence[float],
    scores: Sequence[tuple[Source, ...]],
    controls: Sequence[tuple[Source, ...]],
    units: Sequence[float],
) -> Difference:
    """An interquartile mean with its 95 % interval: Student's t, the settings that are kept being held as they are.

    Args:
        shares: (n,) (score - control) / unit of every setting.
        scores: of each score the sources of its error.
        controls: the same of its control.
        units: of each setting reference - control, taken as known.
    """
    cut = int(TRIMMED * len(shares))
    kept = np.argsort(shares, kind="stable")[cut : len(shares) - cut].tolist()
    weights = [turn / units[place] / len(kept) for place in kept for turn in (1, -1)]
    spread = weighted_spread(weights, [own[place] for place in kept for own in (scores, controls)])
    value, half = float(interquartile_mean(np.array(shares))), spread.half_width(LEVEL)
    return Difference(value, value - half, value + half, spread.tails)


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


def aggregate(found: Sequence[Setting], models: Sequence[str], pairs: Pairs, catalog: Catalog) -> Aggregate:
    """Interquartile means of (score - control) / (reference - control) over a complete block of models and settings.

    Ranks are those of joint resamples of all scores of the block, controls included: settings on the same items err
    together. The scale, reference - control, is held at what was measured: it is the unit of all models. Tasks are
    fixed: an interval says nothing about others.

    Args:
        found: settings that may be shown together.
        models: slugs of those that are compared.
        pairs: for per-item outcomes.
        catalog: for oracles of stand-ins.
    """
    scales: dict[str, Scale] = {}
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
    if len(chosen) < 2:
        return Aggregate((), tuple(chosen), dropped)
    return Aggregate(_summaries(sorted(members), chosen, errors), tuple(chosen), dropped)


def _scale(setting: Setting, known: Errors, catalog: Catalog) -> Scale | str:
    """What counts as 0 and 1 in a setting, or why that is unknown."""
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
    return Scale(setting, setting.control, zero, reference, one)


def _summaries(members: Sequence[str], scales: Sequence[Scale], errors: Mapping[str, Errors]) -> tuple[Summary, ...]:
    """Summaries of the models of a block, best first."""
    means = interquartile_mean(_resampled(members, scales, errors).swapaxes(1, 2))
    place = ranks(means)
    known = [errors[scale.setting.name] for scale in scales]
    controls = [own[scale.control] for own, scale in zip(known, scales, strict=True)]
    units = [scale.one - scale.zero for scale in scales]
    made = []
    for number, model in enumerate(members):
        shares = {scale.setting.name: scale.of(scale.setting.by_model[model].quality) for scale in scales}
        mean = interquartile_interval(list(shares.values()), [own[model] for own in known], controls, units)
        assert mean.low is not None
        assert mean.high is not None
        made.append(
            Summary(
                model=model,
                value=mean.value,
                low=mean.low,
                high=mean.high,
                median=float(place.median[number]),
                first=int(place.low[number]),
                last=int(place.high[number]),
                best=float(place.best[number]),
                by_setting=shares,
            )
        )
    return tuple(sorted(made, key=lambda one: (-one.value, one.model)))


def _resampled(members: Sequence[str], scales: Sequence[Scale], errors: Mapping[str, Errors]) -> Floats:
    """(resamples, settings, models) shares, from joint resamples of all scores and controls."""
    each = [(scale, model) for scale in scales for model in (*members, scale.control)]
    values = [scale.setting.by_model[model].quality for scale, model in each]
    drawn = resample_scores(values, [errors[scale.setting.name][model] for scale, model in each])
    blocks = drawn.reshape(len(drawn), len(scales), len(members) + 1)
    units = np.array([scale.one - scale.zero for scale in scales])
    return np.asarray((blocks[..., :-1] - blocks[..., -1:]) / units[:, None], dtype=np.float64)
