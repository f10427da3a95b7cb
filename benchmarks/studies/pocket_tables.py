"""Print the tables of docs/pockets.md: ``python -m benchmarks.studies.pocket_tables RUN [RUN ...]``.

Scores come from records of finished runs, at the chosen tap with all labels.
"""

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from geofm_eval.catalog import Catalog, ModelSpec, load_catalog
from geofm_eval.paths import in_package
from geofm_eval.report.probes.curves import depth_profiles
from geofm_eval.report.probes.figures import overview_figure
from geofm_eval.results.comparison import Comparison, Subject, comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.results.taps import ChosenTap, choose_tap
from geofm_eval.results.units import SIMULATED, unit_of
from geofm_eval.stats.difference import Difference

PROBES = ("linear", "ridge")
REFERENCES = ("band_stats", "rcf")
TASKS_PER_TABLE = 4


@dataclass(frozen=True)
class PocketGain:
    """Gain of a pocket over its random twin on one task.

    Args:
        wanted: gain that the catalog requires; None if its criterion is for another task.
    """

    model: str
    task: str
    difference: Difference
    wanted: float | None

    @property
    def verdict(self) -> str:
        """``met`` if the gain is at least the required one and its interval excludes 0."""
        if self.wanted is None:
            return ""
        sure = self.difference.low is not None and self.difference.low > 0
        return "met" if sure and self.difference.value >= self.wanted else "not met"


@dataclass(frozen=True)
class SeedSpread:
    """Differences between test scores on one task.

    Args:
        seeds: mean absolute difference between two pretraining seeds of one objective.
        objectives: mean absolute difference between two objectives, all with seed 0.
    """

    task: str
    seeds: float
    objectives: float


def pockets(catalog: Catalog) -> list[ModelSpec]:
    """Return the models that this project pretrained, in the order of the catalog."""
    return [spec for spec in catalog.models.values() if spec.simulated_pretraining]


def gains(comparison: Comparison, pairs: Pairs, catalog: Catalog) -> Iterator[PocketGain]:
    """Compare every pocket with its random twin, each at its own chosen tap."""
    subjects = {subject.model: subject for subject in comparison.subjects}
    task = comparison.record.case.task
    for spec in pockets(catalog):
        chosen, twin = (_chosen(subjects.get(slug or ""), comparison.full) for slug in (spec.slug, spec.twin))
        if chosen is None or twin is None:
            continue
        own, other = subjects[spec.slug].taps[chosen.tap], subjects[spec.twin or ""].taps[twin.tap]
        counts = spec.variant_of is None and spec.worth is not None and spec.worth.task == task
        wanted = spec.worth.gain if counts and spec.worth is not None else None
        yield PocketGain(spec.slug, task, pairs.difference(own, other, comparison.full), wanted)


def spread(comparison: Comparison, catalog: Catalog) -> SeedSpread | None:
    """Return the differences between seeds and between objectives; None if a comparison lacks either."""
    scores = {
        subject.model: chosen.score.value
        for subject in comparison.subjects
        if (chosen := _chosen(subject, comparison.full)) is not None
    }
    known = [spec for spec in pockets(catalog) if spec.slug in scores]
    again = [
        abs(scores[s.slug] - scores[s.variant_of])
        for s in known
        if s.slug.endswith("_seed1") and s.variant_of in scores
    ]
    bases = [scores[spec.slug] for spec in known if spec.variant_of is None]
    if not again or len(bases) < 2:
        return None
    apart = [abs(a - b) for a, b in combinations(bases, 2)]
    return SeedSpread(comparison.record.case.task, float(np.mean(again)), float(np.mean(apart)))


def _chosen(subject: Subject | None, fraction: str) -> ChosenTap | None:
    return None if subject is None else choose_tap(subject, fraction)


def score_table(found: Sequence[Comparison], catalog: Catalog, oracles: Mapping[str, str]) -> str:
    """Return Markdown: a row per model, a column per task, each score with its interval and the chosen tap.

    ``block04 (one of 6)`` means that six taps are within one standard error of the best on validation.
    """
    models = [*(spec.slug for spec in pockets(catalog)), "pocket_random", *REFERENCES]
    measured = {subject.model for comparison in found for subject in comparison.subjects}
    tasks = [f"`{comparison.record.case.task}` ({unit_of(comparison).label})" for comparison in found]
    lines = [_row("model", tasks), _rule(len(tasks) + 1)]
    lines += [
        _row(f"`{model}`", [_cell(model, comparison) for comparison in found]) for model in models if model in measured
    ]
    return "\n".join([*lines, _row("oracle", [oracles.get(c.record.case.task, "-") for c in found])])


def _cell(model: str, comparison: Comparison) -> str:
    subject = next((part for part in comparison.subjects if part.model == model), None)
    chosen = _chosen(subject, comparison.full)
    if subject is None or chosen is None:
        return "-"
    selection = subject.taps[chosen.tap].selection
    near = () if selection is None else selection.near.get(comparison.full, ())
    rivals = f" (one of {len(near)})" if len(near) > 1 else ""
    return f"{unit_of(comparison).score(chosen.score)} {chosen.tap}{rivals}"


def gain_table(found: Iterable[tuple[Comparison, PocketGain]]) -> str:
    """Return Markdown: the gains over the random twin that the catalog has a criterion for."""
    lines = [_row("model", ["task", "required gain", "gain over the random twin [95 %]", "criterion"]), _rule(5)]
    for comparison, gain in found:
        if gain.wanted is not None:
            unit = unit_of(comparison)
            cells = [f"`{gain.task}`", f"+{unit.value(gain.wanted)}", unit.difference(gain.difference), gain.verdict]
            lines.append(_row(f"`{gain.model}`", cells))
    return "\n".join(lines)


def spread_table(found: Iterable[tuple[Comparison, SeedSpread]]) -> str:
    """Return Markdown: differences between seeds and between objectives, per task."""
    lines = [_row("task", ["between seeds", "between objectives", "ratio"]), _rule(4)]
    for comparison, part in found:
        unit, ratio = unit_of(comparison), part.objectives / part.seeds if part.seeds else float("inf")
        lines.append(_row(f"`{part.task}`", [unit.value(part.seeds), unit.value(part.objectives), f"{ratio:.1f}"]))
    return "\n".join(lines)


def _row(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def _rule(columns: int) -> str:
    return "|" + "---|" * columns


def read(folders: Sequence[Path]) -> list[tuple[Comparison, Pairs]]:
    """Return the comparisons of linear probes of whole images on stand-ins, in the order of their tasks."""
    catalog, found = load_catalog(), []
    for folder in folders:
        run = read_run(folder)
        for comparison in comparisons(run)[0]:
            case = comparison.record.case
            if comparison.simulated and case.adaptation in PROBES and not catalog.task(case.task).dense:
                found.append((comparison, run.pairs))
    return sorted(found, key=lambda part: part[0].record.case.task)


def oracle_cells(found: Sequence[Comparison], catalog: Catalog) -> dict[str, str]:
    """Return the score of the noise-free labels, by task."""
    from benchmarks.studies.standins.pooled import oracle_pooled
    from geofm_eval.workspace import Settings, Workspace

    workspace, cells = Workspace(catalog, Settings()), {}
    for comparison in found:
        task, unit = comparison.record.case.task, unit_of(comparison)
        best = oracle_pooled(workspace, task)
        ends = "" if best.low is None else f" [{unit.value(best.low)}, {unit.value(best.high)}]"
        cells[task] = unit.value(best.value) + ends
    return cells


def effective_ranks(catalog: Catalog) -> str:
    """Return Markdown: effective rank of the final features of every published weight file and the random twin."""
    from benchmarks.studies.pretrain.publish import measured_rank
    from benchmarks.studies.pretrain.training import normaliser
    from geofm_eval.backbones.pocket.vit import network
    from geofm_eval.backbones.weights import read_state_dict

    normalise = normaliser(catalog.model("pocket_mae"), catalog.model("pocket_crossmodal_s1"))
    states = {
        spec.slug: read_state_dict(in_package(spec.weights.file))
        for spec in pockets(catalog)
        if spec.weights is not None and not spec.options and in_package(spec.weights.file).exists()
    }
    states["pocket_random"] = dict(network(13).state_dict())
    lines = [_row("weights", ["effective rank (at most 64)"]), _rule(2)]
    return "\n".join(
        [*lines, *(_row(f"`{slug}`", [f"{measured_rank(state, normalise):.1f}"]) for slug, state in states.items())]
    )


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description="Print the tables of docs/pockets.md from finished runs.")
    parser.add_argument(
        "--picture", type=Path, help="PNG file for the depth profiles of the first three tasks that have them"
    )
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs, for example reports/runs/NAME")
    chosen = parser.parse_args()
    found = read(chosen.runs)
    catalog = load_catalog()
    all_gains = [(c, gain) for c, pairs in found for gain in gains(c, pairs, catalog)]
    apart = [(c, part) for c, _ in found if (part := spread(c, catalog)) is not None]
    comparisons_ = [c for c, _ in found]
    oracles = oracle_cells(comparisons_, catalog)
    tables = (
        gain_table(all_gains),
        *(
            score_table(comparisons_[start : start + TASKS_PER_TABLE], catalog, oracles)
            for start in range(0, len(comparisons_), TASKS_PER_TABLE)
        ),
        spread_table(apart),
        effective_ranks(catalog),
    )
    if chosen.picture is not None:
        _draw(found, chosen.picture)
    print("\n\n".join(tables))


def _draw(found: Sequence[tuple[Comparison, Pairs]], path: Path) -> None:
    rankings = [rank(comparison, pairs) for comparison, pairs in found]
    profiles = [(ranking.comparison, depth_profiles(ranking)) for ranking in rankings]
    tasks = [(comparison, own) for comparison, own in profiles if any(len(p.points) > 1 for p in own)][:3]
    overview_figure(tasks, f"{SIMULATED}: test score of a linear probe by depth, all labels", path)


if __name__ == "__main__":
    main()
