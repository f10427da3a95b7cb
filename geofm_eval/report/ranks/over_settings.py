"""All rankings of a run, computed once: in each setting, and over settings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog
from geofm_eval.findings import EVIDENCE
from geofm_eval.findings.rankings import Field, fields, rivals_in
from geofm_eval.ranking import Aggregate, Ordering, OrderTest, aggregates, agreement, order, settings
from geofm_eval.report.wording import recipe_name
from geofm_eval.results.run import Run


@dataclass(frozen=True)
class AcrossSettings:
    """Backbones over settings of one evidence class and recipe.

    ``rivals`` are all pairs of backbones that count, the clearest change of order first; ``taus`` Kendall's tau-b by
    the names of two settings; ``summaries`` means over a complete block by label fraction, the largest first.
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


@dataclass(frozen=True)
class Overview:
    """The rankings of a run: ``orders`` of all settings, and ``over`` settings, the strongest evidence first."""

    orders: tuple[Ordering, ...]
    over: tuple[AcrossSettings, ...]

    @property
    def by_table(self) -> dict[str, list[Ordering]]:
        """Settings of every comparison, of probes or of trained cases, with a setting of two or more models."""
        found: defaultdict[str, list[Ordering]] = defaultdict(list)
        for one in self.orders:
            found[one.setting.table].append(one)
        return {slug: own for slug, own in found.items() if any(len(one.setting.entries) > 1 for one in own)}


def overview(run: Run, catalog: Catalog) -> Overview:
    """Rank every setting of a run, and compare rankings over settings."""
    over = [
        _over(evidence, field, own, catalog)
        for evidence, own in ((evidence, run.of_evidence(evidence)) for evidence in EVIDENCE)
        for field in fields(own, catalog)
        if min(len(field.settings), len(field.models)) > 1
    ]
    return Overview(tuple(order(setting, run.pairs) for setting in settings(run)), tuple(over))


def _over(evidence: str, field: Field, run: Run, catalog: Catalog) -> AcrossSettings:
    found: Sequence[str] = field.models
    return AcrossSettings(
        evidence=evidence,
        recipe=recipe_name(field.settings[0].record),
        field=field,
        rivals=rivals_in(run, field),
        taus=agreement(field.settings, found),
        summaries=aggregates(field.settings, found, run, catalog),
    )
