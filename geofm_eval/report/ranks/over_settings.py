"""Everything that is shown of rankings, computed once: setting by setting, and over settings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.findings import EVIDENCE
from geofm_eval.findings.rankings import Field, fields
from geofm_eval.ranking import Aggregate, Ordering, OrderTest, aggregates, agreement, order, rivalries, settings
from geofm_eval.report.wording import recipe_name
from geofm_eval.results.comparison import Comparison, comparisons
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import RunContent
from geofm_eval.results.trainings import case_studies
from geofm_eval.results.units import percent


@dataclass(frozen=True)
class RankingSource:
    """Where the settings of one table come from.

    Args:
        comparison: of probes, or the records of a case study as one.
        how: what was trained, for titles; None for probes.
    """

    comparison: Comparison
    how: str | None


@dataclass(frozen=True)
class AcrossSettings:
    """Backbones over settings of one evidence class and recipe.

    Args:
        evidence: class.
        recipe: slug, with its version from the second on.
        field: settings and backbones that count.
        rivals: every two of these, the clearest change of order first.
        taus: Kendall's tau-b by names of two settings.
        summaries: means over a complete block, by label fraction, the largest first.
    """

    evidence: str
    recipe: str
    field: Field
    rivals: tuple[OrderTest, ...]
    taus: Mapping[tuple[str, str], float]
    summaries: Mapping[float, Aggregate]

    @property
    def averaged(self) -> dict[float, Aggregate]:
        """Summaries of two models and two settings or more."""
        return {fraction: one for fraction, one in self.summaries.items() if one.models}

    @property
    def not_averaged(self) -> list[str]:
        """Label fractions with less, in words."""
        return [percent(fraction) for fraction, one in self.summaries.items() if not one.models]


@dataclass(frozen=True)
class Overview:
    """The rankings of a run.

    Args:
        sources: by slug of the comparison or case study.
        orders: one per setting.
        over: one per evidence class and recipe with two settings and two backbones, the strongest evidence first.
        too_small: number of evidence classes and recipes with less.
    """

    sources: dict[str, RankingSource]
    orders: tuple[Ordering, ...]
    over: tuple[AcrossSettings, ...]
    too_small: int

    @property
    def by_table(self) -> dict[str, list[Ordering]]:
        """Settings by the comparison or case study that they come from."""
        found: defaultdict[str, list[Ordering]] = defaultdict(list)
        for one in self.orders:
            found[one.setting.table].append(one)
        return dict(found)

    @property
    def ordered(self) -> frozenset[str]:
        """Comparisons and case studies in which two models or more stand in one setting."""
        return frozenset(
            slug for slug, orders in self.by_table.items() if any(len(o.setting.entries) > 1 for o in orders)
        )


def overview(content: RunContent, pairs: Pairs, catalog: Catalog) -> Overview:
    """Rank every setting of a run, and compare rankings over settings."""
    sources = {one.slug: RankingSource(one, None) for one in comparisons(content)[0]}
    sources |= {study.slug: RankingSource(study.comparison, study.how) for study in case_studies(content)[0]}
    over: list[AcrossSettings] = []
    too_small = 0
    for evidence in EVIDENCE:
        found = fields(content.of_evidence(evidence), catalog)
        enough = [field for field in found if min(len(field.settings), len(field.models)) > 1]
        over += [_over(evidence, field, pairs, catalog) for field in enough]
        too_small += len(found) - len(enough)
    return Overview(sources, tuple(order(setting, pairs) for setting in settings(content)), tuple(over), too_small)


def _over(evidence: str, field: Field, pairs: Pairs, catalog: Catalog) -> AcrossSettings:
    found: Sequence[str] = field.models
    return AcrossSettings(
        evidence=evidence,
        recipe=recipe_name(field.settings[0].record),
        field=field,
        rivals=rivalries(field.settings, found, pairs),
        taus=agreement(field.settings, found),
        summaries=aggregates(field.settings, found, pairs, catalog),
    )
