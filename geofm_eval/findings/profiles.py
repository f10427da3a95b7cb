"""Finding 2, second part: depth profiles differ by backbone, by more than draws of the labels make them differ."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.factors.marginal import twin_of
from geofm_eval.findings.finding import GAIN, Finding, FindingCell, adjusted, decided, spread, tally, undecidable
from geofm_eval.findings.interactions import Interaction, interaction, together
from geofm_eval.findings.most import most_words, not_counted, shortage, verdict_on_most
from geofm_eval.plurals import counted
from geofm_eval.results.pairs import recorded_seed
from geofm_eval.results.run import Run
from geofm_eval.results.scope import Probed, probed
from geofm_eval.results.units import points_per_unit
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.out_of_fold import TEST_SHARE

TITLE = "depth profiles differ by backbone"
TWINS, WITH_TWIN, AGAIN = "random twins", "a backbone and its random twin", "a model and its variants"
NOT_COUNTED = (TWINS, WITH_TWIN, AGAIN)
"""Groups that do not count: differences to compare those of backbones with."""


@dataclass(frozen=True)
class Profiles:
    """A cell with the interaction of models and blocks that it shows."""

    cell: FindingCell
    found: Interaction
    models: tuple[str, ...]


def distinct_profiles(run: Run, catalog: Catalog) -> Finding | None:
    """Whether models and blocks interact on most tasks by more than draws of the labels explain.

    Returns:
        None without a probe of several taps.
    """
    found = [one for one in probed(run, catalog) if set(one.aside) <= {"controls", "variants of models"}]
    if not found:
        return None
    made: list[Profiles] = []
    for slug in dict.fromkeys(one.comparison.slug for one in found):
        own = [one for one in found if one.comparison.slug == slug]
        made += [one for group in _groups(own, catalog) if (one := _profiles(slug, *group)) is not None]
    families = [[one for one in made if one.cell.counts], *(_of(made, name) for name in NOT_COUNTED)]
    made = [one for family in families for one in _adjusted(family)]
    cells = [one.cell for one in made]
    counted = [one for one in made if one.cell.counts]
    ours = [one for one in counted if one.cell.p is not None]
    tested = [one.cell for one in ours]
    groups = {cell.group: _of(made, cell.group) for cell in cells}
    means = {name: _mean(own) for name, own in groups.items()}
    missing = shortage(tested, {model for one in ours for model in one.models}, len(tested))
    if missing is not None:
        why = f"A cell is a task on which backbones with the same blocks have enough label draws. {missing}"
        return undecidable(2, TITLE, cells, run, why, means)
    mean = _mean(ours)
    why = (
        f"Interaction of models and blocks beyond the noise of label draws: {most_words(tested, GAIN, mean)}. "
        "Size: standard deviation of scores around parallel profiles, as root mean square over tasks (the cells)."
    )
    reasons = (why, *_not_counted(cells, means))
    return decided(2, TITLE, verdict_on_most(tested, mean, GAIN), mean, cells, run, reasons, means)


def _of(made: Sequence[Profiles], group: str) -> list[Profiles]:
    return [one for one in made if one.cell.group == group]


def _mean(some: Sequence[Profiles]) -> Difference:
    return together([(one.cell.data, one.found) for one in some])


def _adjusted(some: Sequence[Profiles]) -> list[Profiles]:
    cells = adjusted([one.cell for one in some])
    return [replace(one, cell=cell) for one, cell in zip(some, cells, strict=True)]


def _not_counted(cells: Sequence[FindingCell], means: Mapping[str, Difference]) -> list[str]:
    groups = {name: [cell for cell in cells if cell.group == name] for name in NOT_COUNTED}
    parts = [
        f"{name} {spread(means[name])}" + (f", {tally(own)}" if name == TWINS else "")
        for name, own in groups.items()
        if own
    ]
    return not_counted(parts)


def _groups(own: Sequence[Probed], catalog: Catalog) -> Iterator[tuple[str, str, list[Probed]]]:
    """Group, what tells its cells apart, and models.

    Groups that do not count are random twins, every backbone with its twin, and every model with its variants: another
    seed of the same pretraining gives another profile too.
    """
    yield own[0].kind, "", [one for one in own if not one.aside]
    yield TWINS, "", [one for one in own if "controls" in one.aside]
    families: defaultdict[str, list[Probed]] = defaultdict(list)
    for one in own:
        model = one.subject.model
        spec = catalog.models.get(model)
        if not one.aside:
            twin = twin_of(model, catalog)
            yield WITH_TWIN, model, [one, *(other for other in own if other.subject.model == twin)]
        if "controls" not in one.aside:
            families[spec.variant_of or model if spec is not None else model].append(one)
    for family, some in families.items():
        yield AGAIN, family, some


def _profiles(slug: str, group: str, which: str, some: Sequence[Probed]) -> Profiles | None:
    some = _alike(some)
    fraction = _fraction(some) if len(some) > 1 else None
    if fraction is None:
        return None
    record = some[0].subject.record
    score = record.scores[fraction]
    values = np.asarray([[_draws(one, tap, fraction) for tap in _blocks(one)] for one in some], dtype=np.float64)
    typical = score.model_copy(update={"value": float(values.mean())})
    shuffled = record.provenance.protocol == "shuffle_splits"
    found = interaction(
        values * points_per_unit(score, typical),
        TEST_SHARE / (1 - TEST_SHARE) if shuffled else 0.0,
        tested=group not in (WITH_TWIN, AGAIN),
        seed=recorded_seed(record),
    )
    cell = FindingCell(
        id=f"{which}-{slug}".removeprefix("-"),
        group=group,
        contrast=" x ".join(map(counted, values.shape, ("model", "block", "draw"))) + f" at {fraction}",
        estimate=found.size,
        low=found.low,
        high=found.high,
        p=found.p,
        p_above=found.p,
        p_below=found.p_below,
        counts=group not in NOT_COUNTED,
        data=some[0].data,
    )
    return Profiles(cell, found, tuple(one.subject.model for one in some))


def _blocks(one: Probed) -> tuple[str, ...]:
    return tuple(tap for tap in one.subject.taps if tap.startswith("block"))


def _draws(one: Probed, tap: str, fraction: str) -> tuple[float, ...]:
    score = one.subject.score(tap, fraction)
    return () if score is None else score.per_draw


def _alike(some: Sequence[Probed]) -> list[Probed]:
    """Keep those with the blocks that most have: profiles of other depths have no blocks in common."""
    counts = Counter(_blocks(one) for one in some)
    most = max(counts, key=lambda taps: (counts[taps], len(taps)), default=())
    return [one for one in some if len(most) > 1 and _blocks(one) == most]


def _fraction(some: Sequence[Probed]) -> str | None:
    """The largest label fraction of which all have the same number of draws, two at least."""
    for fraction in reversed(some[0].comparison.fractions):
        counts = {len(_draws(one, tap, fraction)) for one in some for tap in _blocks(one)}
        if len(counts) == 1 and min(counts) > 1:
            return fraction
    return None
