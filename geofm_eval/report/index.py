"""The index page of a run's tables: links, what is missing, problems, licences and citations."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.catalog import Catalog, ModelSpec, TaskSpec
from geofm_eval.installation import suite_command
from geofm_eval.plurals import counted
from geofm_eval.report.pages import Page
from geofm_eval.report.wording import named, unsealed_sentence
from geofm_eval.results.comparison import tap_order
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.run import Run
from geofm_eval.results.units import SIMULATED

SHOWN = 20
"""Lines with unfinished cases."""

RESULTS = {False: "Results", True: f"{SIMULATED}: results that exercise the tool only"}
"""Titles of the sections of probes on real data and on simulated ones; their lines are a row and a picture each."""


@dataclass(frozen=True)
class Contents:
    """What a collation made.

    Args:
        pages: by the title of their section.
        rankings: for models that are not ranked.
        unshown: analyses that the run has too few models or tasks for.
        problems: what could not be read, paired or compared.
    """

    pages: Mapping[str, Sequence[Page]]
    rankings: Sequence[Ranking]
    unshown: Sequence[str]
    problems: Sequence[str]


def index_page(run: Run, catalog: Catalog, contents: Contents) -> str:
    """Markdown of ``tables/README.md``; licences and citations are in the catalog."""
    sections = {
        **{title: [line for page in own for line in page.lines] for title, own in contents.pages.items()},
        **closing_sections(run, catalog, contents),
    }
    head = "\n".join([f"# Run {run.name}", "", *summary_lines(run, contents.unshown)])
    return "\n\n".join([head, *(_section(title, lines) for title, lines in sections.items() if lines)]) + "\n"


def closing_sections(run: Run, catalog: Catalog, contents: Contents) -> dict[str, Sequence[str]]:
    """Return what was not ranked or measured, problems, licences and citations, by heading."""
    models, tasks = ({getattr(one.case, kind) for one in run.scored} for kind in ("model", "task"))
    return {
        "Not ranked": _dropped(contents.rankings),
        "Skipped": _skip_lines(run),
        "Without a score": _gap_lines(run),
        "Problems": contents.problems,
        "Licences and citations: models": [_credit(slug, catalog.models.get(slug)) for slug in sorted(models)],
        "Licences and citations: data": [_credit(slug, catalog.tasks.get(slug)) for slug in sorted(tasks)],
    }


def _section(title: str, lines: Sequence[str]) -> str:
    body = [f"- {line}" for line in lines]
    if title in RESULTS.values():
        header = ["| task | adaptation | ranking | depth profile | label efficiency |", "|---|---|---|---|---|"]
        body = [*header, *lines[::2], "", "\n\n".join(lines[1::2])]
    return "\n".join([f"## {title}", "", *body])


def summary_lines(run: Run, unshown: Sequence[str] = ()) -> list[str]:
    """How many cases have which outcome, in one or two sentences."""
    counts = [f"{number} {status}" for status, number in run.statuses.items()]
    counts += [f"{len(run.skips)} skipped"] if run.skips else []
    lines = [f"Cases: {', '.join(counts) or 'none'}."]
    recorded = {(r.case.kind, r.case.id) for r in run.records}
    skipped = {skip.case_id for skip in run.skips}
    unrecorded = [one for one in run.planned if one not in recorded and one[1] not in skipped]
    if unrecorded:
        lines.append(
            f"The run is incomplete: no record of {len(unrecorded)} of {counted(len(run.planned), 'planned case')}. "
            f"Continue with: {suite_command()} --run {run.name} --resume"
        )
    if sentence := unsealed_sentence(run):
        lines.append(f"{sentence}.")
    if unshown:
        lines.append(f"Not shown: {', '.join(unshown)} (too few models or tasks).")
    return lines


def _skip_lines(run: Run) -> list[str]:
    """One line per reason, with the number of cases and the cure."""
    reasons = Counter((skip.kind, skip.what, skip.how) for skip in run.skips)
    return [
        f"{counted(number, 'case')}: {kind} unavailable: {what}. {how}"
        for (kind, what, how), number in reasons.most_common()
    ]


def _dropped(rankings: Sequence[Ranking]) -> list[str]:
    return [f"{ranking.comparison.slug}: {named(ranking.dropped)}" for ranking in rankings if ranking.dropped]


def _gap_lines(run: Run) -> list[str]:
    """Cases that failed, stopped or were not reached, by model, task and adaptation; skips have their own section."""
    skipped = {skip.case_id for skip in run.skips}
    taps: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for case_id, reason in run.gaps().items():
        if case_id not in skipped:
            block, _, tap = case_id.rpartition("-")
            taps[block, reason].append(tap)
    lines = [f"{block} ({', '.join(sorted(names, key=tap_order))}): {why}" for (block, why), names in taps.items()]
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} more"]


def _credit(slug: str, spec: ModelSpec | TaskSpec | None) -> str:
    if spec is None:
        return f"{slug}: not in the catalog: give the file that defines it with --catalog"
    parts = [f"licence {spec.licence or 'not stated'}", spec.citation, spec.source]
    return f"{slug}: {spec.title}; {'; '.join(part for part in parts if part)}"
