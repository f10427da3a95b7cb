"""Finding 6: a fine-tuned ImageNet ViT-B/16 is competitive with fine-tuned geospatial foundation models."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.factors.marginal import mean_difference
from geofm_eval.findings.adaptation import RATES, searched
from geofm_eval.findings.finding import AS_GOOD, Finding, FindingCell, adjusted, cell_of, decided, spread, undecidable
from geofm_eval.findings.means import Means, Pairing
from geofm_eval.findings.most import most_words, not_counted, shortage, tally_noninferior, verdict_on_most
from geofm_eval.installation import suite_command
from geofm_eval.plurals import counted
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import Run
from geofm_eval.results.scope import data_of, excluded_model, excluded_task
from geofm_eval.results.trainings import TrainedCases, TrainedCell, comparable_trainings
from geofm_eval.results.units import in_points
from geofm_eval.stats.difference import Difference

TITLE = "a fine-tuned ImageNet ViT-B/16 is as good as the best fine-tuned backbone"
MODEL = "imagenet_vitb16"
BEST = "minus the best by validation"
"""Group of the cells that count."""

MEDIAN, RGB = "minus the median by validation", "minus the best RGB-only backbone"
"""Groups that do not count: the median backbone, and backbones that see the bands of the ImageNet model only."""

FEWEST_RIVALS = 2
"""Other backbones in every cell."""


@dataclass(frozen=True)
class ImagenetSetting:
    """One way to use a backbone on one task.

    ``own`` is the ImageNet model's case (None where it is absent, or was tuned at too few learning rates), ``rivals``
    are cases of the backbones that count, best by validation first, and ``rgb`` those of their RGB variants.
    """

    cases: TrainedCases
    own: TrainedCell | None
    rivals: tuple[TrainedCell, ...]
    rgb: tuple[TrainedCell, ...]

    def against(self, other: TrainedCell, group: str, pairs: Pairs) -> FindingCell:
        """The ImageNet model's test score minus another's, in points, paired over seeds and images."""
        assert self.own is not None
        case = self.own.record.case
        difference = in_points(mean_difference([(self.own, other)], pairs), self.own.score, other.score)
        name = f"{case.task}-{case.adaptation}-{case.layer}"
        contrast = f"{MODEL} - {other.model}"
        return cell_of(name, group, contrast, difference, group == BEST, data_of(self.own.record), AS_GOOD)

    def paired(self, other: TrainedCell) -> Pairing:
        """The scores that the same cell is the difference of."""
        assert self.own is not None
        return Pairing(self.own.record, other.record, self.own.fraction)


def imagenet_competes(run: Run, catalog: Catalog) -> Finding | None:
    """Whether the fully tuned ImageNet ViT is less than a point worse than the best backbone, in most cells.

    A cell is a dense task, a decoder and a share of the labels; which backbone is best is chosen on validation.

    Returns:
        None without a backbone that was fully tuned on a task with a label per pixel.
    """
    settings = list(_settings(run, catalog))
    tuned = [setting for setting in settings if _tuned(setting)]
    if not any(setting.own or setting.rivals for setting in tuned):
        return None
    fair = [setting for setting in tuned if setting.own is not None and len(setting.rivals) >= FEWEST_RIVALS]
    with_rgb = [setting for setting in settings if setting.own is not None and setting.rgb]
    rivals = {
        BEST: [(setting, setting.rivals[0]) for setting in fair],
        MEDIAN: [(setting, setting.rivals[len(setting.rivals) // 2]) for setting in fair],
        RGB: [(setting, setting.rgb[0]) for setting in with_rgb],
    }
    groups = {
        name: adjusted([setting.against(other, name, run.pairs) for setting, other in own])
        for name, own in rivals.items()
    }
    cells = [cell for own in groups.values() for cell in own]
    tested = [cell for cell in groups[BEST] if cell.p is not None]
    known = {
        name: [
            setting.paired(other)
            for (setting, other), cell in zip(own, groups[name], strict=True)
            if cell.p is not None
        ]
        for name, own in rivals.items()
    }
    means = Means(run.pairs).of_groups(known)
    each = zip(fair, groups[BEST], strict=True)
    backbones = {other.model for setting, cell in each if cell.p is not None for other in setting.rivals}
    missing = shortage(tested, backbones, len(groups[BEST]))
    if missing is not None:
        return undecidable(6, TITLE, cells, run, f"{_missing(tuned)} {missing}", means)
    reasons = (_count(tested, fair, means[BEST]), *_not_counted(groups, means))
    verdict = verdict_on_most(tested, means[BEST], AS_GOOD)
    return decided(6, TITLE, verdict, means[BEST], cells, run, reasons, means)


def _settings(run: Run, catalog: Catalog) -> Iterator[ImagenetSetting]:
    scored = run.scored
    models, tasks = {record.case.model for record in scored}, {record.case.task for record in scored}
    for cases in comparable_trainings(run)[0]:
        if cases.pooled or excluded_task(cases.cells[0].record.case.task, tasks, catalog):
            continue
        same: defaultdict[tuple[str, str], list[TrainedCell]] = defaultdict(list)
        for cell in cases.cells:
            if searched(cell):
                same[cell.record.case.adaptation, cell.layer].append(cell)
        for _, cells in sorted(same.items()):
            counted = [one for one in cells if one.model != MODEL and not excluded_model(one.record, models, catalog)]
            rgb = [one for one in cells if _sees_rgb(one, catalog)]
            own = next((one for one in cells if one.model == MODEL), None)
            yield ImagenetSetting(cases, own, tuple(_by_validation(counted)), tuple(_by_validation(rgb)))


def _tuned(setting: ImagenetSetting) -> bool:
    return any(cell.adaptation.tuning == "full" for cell in (setting.own, *setting.rivals) if cell is not None)


def _sees_rgb(cell: TrainedCell, catalog: Catalog) -> bool:
    spec = catalog.models.get(cell.model)
    return spec is not None and spec.rgb_only


def _by_validation(cells: Sequence[TrainedCell]) -> list[TrainedCell]:
    return sorted(cells, key=lambda cell: (-cell.sign * cell.validated, cell.model))


def _missing(tuned: Sequence[ImagenetSetting]) -> str:
    known = sum(setting.own is not None for setting in tuned)
    rivals = max(len(setting.rivals) for setting in tuned)
    return (
        f"{MODEL} was fully tuned at {RATES} learning rates in {known} of {counted(len(tuned), 'setting')}, next to at "
        f"most {counted(rivals, 'backbone')} ({FEWEST_RIVALS} are needed); run: {suite_command()} --models {MODEL},..."
    )


def _count(tested: Sequence[FindingCell], fair: Sequence[ImagenetSetting], mean: Difference) -> str:
    rivals = sorted({setting.rivals[0].model for setting in fair})
    tasks = sorted({setting.cases.cells[0].record.case.task for setting in fair})
    return (
        f"Fully tuned on {', '.join(tasks)}, minus the best backbone by validation ({', '.join(rivals)}): "
        f"{most_words(tested, AS_GOOD, mean)}; {tally_noninferior(tested)}."
    )


def _not_counted(groups: Mapping[str, Sequence[FindingCell]], means: Mapping[str, Difference]) -> list[str]:
    parts = [
        f"{name} {spread(means[name])}, {tally_noninferior([cell for cell in groups[name] if cell.p is not None])}"
        for name in (MEDIAN, RGB)
        if name in means
    ]
    return not_counted(parts)
