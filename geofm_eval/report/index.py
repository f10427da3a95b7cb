"""The index page of a run's tables: links, what is missing, problems, licences and citations."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec
from geofm_eval.factors.levels import has_factors
from geofm_eval.report.trainings.pareto import has_front
from geofm_eval.report.wording import named, unsealed_sentence
from geofm_eval.results.comparison import Comparison, tap_order
from geofm_eval.results.drift import DriftStudy
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.run import RunContent
from geofm_eval.results.similarity import SimilarityTable
from geofm_eval.results.trainings import CaseStudy
from geofm_eval.results.units import SIMULATED

SHOWN = 20
"""Unfinished cases are listed by name up to this many models."""


DRAWN = (
    ("depth", "drift by depth"),
    ("parts", "by block and part"),
    ("layers", "frozen against tuned layers"),
    ("lost", "score lost on reverting"),
)
CSVS = ("layers", "lost")
"""What is drawn of drift, and what of it has numbers of its own."""


def index_page(
    content: RunContent,
    rankings: Sequence[Ranking],
    studies: Sequence[CaseStudy],
    problems: Sequence[str],
    catalog: Catalog,
    findings: Sequence[str] = (),
    drifts: Sequence[DriftStudy] = (),
    alike: Sequence[SimilarityTable] = (),
    shares: Sequence[str] = (),
    ranked: Sequence[str] = (),
    ordered: Collection[str] = (),
    transfers: Sequence[str] = (),
    of_neuco: Sequence[str] = (),
) -> str:
    """Markdown of ``tables/README.md``; ``findings``, ``shares``, ``ranked``, ``transfers`` and ``of_neuco`` are lines.

    Tables of ranks are linked of comparisons and case studies whose slugs are in ``ordered``.
    """
    sections = [
        [f"# Run {content.name}", "", *summary_lines(content)],
        _section("Findings", findings),
        _section("Rankings", ranked),
        _section("Transferable taps", transfers),
        _links(rankings, ordered),
        _study_links(studies, catalog, ordered),
        _drift_links(drifts),
        _section("Similarity of layers and backbones", map(_likeness_line, alike)),
        _section("What explains scores: shares of their variance, and what wrong choices cost", shares),
        _section("NeuCo-Bench's own protocol, not ranked", of_neuco),
        _section("Not ranked", _dropped(rankings)),
        _section("Skipped", _skip_lines(content)),
        _section("Without a score", _gap_lines(content)),
        _section("Problems", problems),
        _section("Licences and citations: models", _credits(catalog.models, _models(content))),
        _section("Licences and citations: data", _credits(catalog.tasks, _tasks(content))),
    ]
    return "\n\n".join("\n".join(section).rstrip() for section in sections if section) + "\n"


def summary_lines(content: RunContent) -> list[str]:
    """How many cases have which outcome, in one or two sentences."""
    counts = [f"{number} {status}" for status, number in content.statuses.items()]
    counts += [f"{len(content.skips)} skipped"] if content.skips else []
    lines = [f"Cases: {', '.join(counts) or 'none'}."]
    recorded = {(r.case.kind, r.case.id) for r in content.records}
    skipped = {skip.case_id for skip in content.skips}
    unrecorded = [one for one in content.planned if one not in recorded and one[1] not in skipped]
    if unrecorded:
        lines.append(
            f"The run is incomplete: {len(unrecorded)} of {len(content.planned)} planned cases have no record. "
            f"Go on with: pytest benchmarks --run {content.name} --resume"
        )
    if sentence := unsealed_sentence(content):
        lines.append(f"{sentence}.")
    return lines


def _skip_lines(content: RunContent) -> list[str]:
    """One line per reason, with the number of cases and the cure."""
    reasons = Counter((skip.kind, skip.what, skip.how) for skip in content.skips)
    return [f"{number} cases: {kind} unavailable: {what}. {how}" for (kind, what, how), number in reasons.most_common()]


def _links(rankings: Sequence[Ranking], ordered: Collection[str]) -> list[str]:
    """Real data first, simulated ones under their own heading."""
    lines: list[str] = []
    for simulated, title in ((False, "## Results"), (True, f"## {SIMULATED}: results that exercise the tool only")):
        chosen = [ranking.comparison for ranking in rankings if ranking.comparison.simulated == simulated]
        if chosen:
            header = ["| task | adaptation | ranking | depth profile | label efficiency |", "|---|---|---|---|---|"]
            lines += [title, "", *header, *(_link_row(one, ordered) for one in chosen), "", *map(_picture, chosen)]
    return lines


def _study_links(studies: Sequence[CaseStudy], catalog: Catalog, ordered: Collection[str]) -> list[str]:
    """One line per case study; its contact sheets lie in the run's folder ``sheets``."""
    lines = []
    for study in studies:
        kind = f" ({SIMULATED})" if study.comparison.simulated else ""
        ranks, front = study.slug in ordered, has_front(study)
        names = ("ranking", *(["ranks"] if ranks else []), "effects", *(["pareto"] if front else []))
        tables = ", ".join(f"[{name}]({study.slug}-{name}.md)" for name in names)
        figure = f"[figure](../figures/{study.slug}-pareto.png), " if front else ""
        numbers = ("cells", "effects", *(("ranks", "pairs") if ranks else ()))
        csv = ", ".join(f"[CSV of {name}]({study.slug}-{name}.csv)" for name in numbers)
        some = (("choices", has_factors(study, catalog)), ("factorial", study.factorial), ("blocks", study.singles))
        extra = [name for name, wanted in some if wanted]
        more = "".join(f", [{name}]({study.slug}-{name}.md)" for name in extra)
        sheets = "" if study.pooled else ", [contact sheets](../sheets)"
        lines.append(f"{study.slug}{kind}: {tables}{more}, {figure}{csv}{sheets}")
    return _section("Case studies: trained decoders and tuned backbones", lines)


def _drift_links(drifts: Sequence[DriftStudy]) -> list[str]:
    """One line per task: what tuning changed."""
    lines = []
    for study in drifts:
        kind = f" ({SIMULATED})" if study.comparison.simulated else ""
        tables = f"[drift]({study.slug}.md), [parts]({study.slug}-parts.md), [reverted]({study.slug}-reverted.md)"
        figures = "".join(
            f", [{text}, {tuning}](../figures/{study.slug}-{name}-{tuning}.png)"
            for tuning in study.by_tuning
            for name, text in DRAWN
        )
        files = (f"{study.slug}-values", f"{study.slug}-contrasts", *(f"../figures/{study.slug}-{n}" for n in CSVS))
        csv = ", ".join(f"[CSV of {name.rpartition('-')[2]}]({name}.csv)" for name in files)
        lines.append(f"{study.slug}{kind}: {tables}{figures}, {csv}")
    return _section("Drift: what tuning changed inside", lines)


def _likeness_line(likeness: SimilarityTable) -> str:
    """Such as ``eurosat_sim-similarity (SIMULATED DATA): table, LaTeX, CSV, heatmaps``."""
    slug = likeness.slug
    kind = f" ({SIMULATED})" if likeness.comparison.simulated else ""
    figures = "".join(f", [heatmaps {name}](../figures/{slug}-{name}.png)" for name in likeness.figures)
    return f"{slug}{kind}: [table]({slug}.md), [LaTeX]({slug}.tex), [CSV]({slug}.csv){figures}"


def _picture(comparison: Comparison) -> str:
    return f"![depth profile of {comparison.slug}](../figures/{comparison.slug}-depth.png)\n"


def _link_row(comparison: Comparison, ordered: Collection[str]) -> str:
    slug, case = comparison.slug, comparison.record.case

    def table(name: str) -> str:
        return f"[table]({slug}-{name}.md), [LaTeX]({slug}-{name}.tex)"

    def figure(name: str) -> str:
        return f"[figure](../figures/{slug}-{name}.png), {table(name)}, [CSV](../figures/{slug}-{name}.csv)"

    ranks = f", [ranks]({slug}-ranks.md), [CSV]({slug}-ranks.csv), [CSV of pairs]({slug}-pairs.csv)"
    ranking = f"{table('ranking')}, [CSV]({slug}-ranking.csv){ranks if slug in ordered else ''}"
    return f"| {case.task} | {case.adaptation} | {ranking} | {figure('depth')} | {figure('labels')} |"


def _section(title: str, lines: Iterable[str]) -> list[str]:
    items = [f"- {line}" for line in lines]
    return [f"## {title}", "", *items] if items else []


def _dropped(rankings: Sequence[Ranking]) -> list[str]:
    return [f"{ranking.comparison.slug}: {named(ranking.dropped)}" for ranking in rankings if ranking.dropped]


def _gap_lines(content: RunContent) -> list[str]:
    """Cases that failed, stopped or were not reached, by model, task and adaptation; skips have their own section."""
    skipped = {skip.case_id for skip in content.skips}
    taps: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for case_id, reason in content.gaps().items():
        if case_id not in skipped:
            block, _, tap = case_id.rpartition("-")
            taps[block, reason].append(tap)
    lines = [f"{block} ({', '.join(sorted(names, key=tap_order))}): {why}" for (block, why), names in taps.items()]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]


def _models(content: RunContent) -> list[str]:
    return sorted({record.case.model for record in content.scored})


def _tasks(content: RunContent) -> list[str]:
    return sorted({record.case.task for record in content.scored})


def _credits(specs: dict[str, ModelSpec] | dict[str, TaskSpec], slugs: Sequence[str]) -> list[str]:
    return [_credit(slug, specs.get(slug)) for slug in slugs]


def _credit(slug: str, spec: ModelSpec | TaskSpec | None) -> str:
    if spec is None:
        return f"{slug}: not in the catalog: give the file that defines it with --catalog"
    parts = [f"licence {spec.licence or 'not stated'}", spec.citation, spec.source]
    return f"{slug}: {spec.title}; {'; '.join(part for part in parts if part)}"
