"""Rate of false alarms of expected ranges: ``python -m benchmarks.studies.trust.alarms resampled|reruns RUN...``.

``resampled`` takes runs whose trained cases hold many seeds. Ranges are set from eight seeds. Outcomes of the suite are
then drawn from the other seeds: three per case, and three more for a case outside its range, as in the suite. This is
repeated with ranges from other seeds, because one set of ranges may be lucky. ``reruns`` counts the verdicts stored in
runs.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geofm_eval.errors import DataError
from geofm_eval.expected import judge
from geofm_eval.expected.admissible import Admitted
from geofm_eval.expected.ranges import Ranges
from geofm_eval.expected.rules import FEWEST_SEEDS, SEEDS
from geofm_eval.expected.subject import has_scores
from geofm_eval.expected.update import merged, propose, read_intact_records, take
from geofm_eval.records import Record, RunInfo

OUTCOMES = 200
"""Simulated outcomes of the suite per set of ranges."""

SPLITS = 20
"""Number of random choices of the seeds that set the ranges."""

FRESH = 20
"""Least number of seeds from which outcomes are drawn."""


@dataclass(frozen=True)
class Alarms:
    """False alarms of one set of ranges.

    Args:
        outcomes: number of simulated outcomes.
        first: outcomes with any case outside its range at the first attempt.
        final: outcomes with any case still outside after fresh seeds.
        cases: number of outcomes in which a case was outside at the end, by id; zeros are left out.
    """

    outcomes: int
    first: int
    final: int
    cases: Mapping[str, int]


def with_seeds(record: Record, seeds: Sequence[int], run: str) -> Record:
    """Return the record restricted to some of its seeds, by position, in a run of the given name."""
    assert record.training is not None
    scores = {
        fraction: score.model_copy(
            update={
                "per_draw": tuple(score.per_draw[seed] for seed in seeds),
                "value": float(np.mean([score.per_draw[seed] for seed in seeds])),
            }
        )
        for fraction, score in record.scores.items()
    }
    training = record.training.model_copy(update={"seeds": tuple(record.training.seeds[seed] for seed in seeds)})
    return record.model_copy(update={"run": RunInfo(name=run), "scores": scores, "training": training})


def set_ranges(records: Sequence[Record], seeds: Sequence[int]) -> dict[str, Ranges]:
    """Return the ranges by task that ``geofm-eval expect`` would write from some seeds of trained cases.

    Raises:
        DataError: cases with too few seeds, or with different data.
    """
    proposal = propose(take([[with_seeds(record, seeds, "ranges") for record in records]]), _no_probes, {}, "")
    if proposal.refused:
        raise DataError("; ".join(f"{name}: {why}" for name, why in proposal.refused.items()))
    return merged({}, proposal.changes)


def _no_probes(_: Sequence[Record]) -> Mapping[str, Mapping[str, Mapping[str, Admitted]]]:
    raise DataError("probes are solved, not trained: they have no seeds to draw outcomes from")


def resampled(records: Sequence[Record], ranges: Mapping[str, Ranges], fresh: Sequence[int], seed: int) -> Alarms:
    """Draw outcomes of the suite from ``fresh`` seeds and judge them.

    All cases of an outcome have the same seeds, as in a run, to keep their correlation.
    """
    rng = np.random.default_rng(seed)
    first = final = 0
    cases: dict[str, int] = {}
    for _ in range(OUTCOMES):
        drawn = [int(one) for one in rng.permutation(np.asarray(fresh))[: 2 * SEEDS]]
        doubtful = [one for one in records if _outside(with_seeds(one, drawn[:SEEDS], "outcome"), ranges)]
        caught = [one.case.id for one in doubtful if _outside(with_seeds(one, drawn, "outcome"), ranges)]
        first, final = first + bool(doubtful), final + bool(caught)
        for name in caught:
            cases[name] = cases.get(name, 0) + 1
    return Alarms(OUTCOMES, first, final, cases)


def _outside(record: Record, ranges: Mapping[str, Ranges]) -> bool:
    found = judge(record, ranges[record.case.task])
    if found.verdict not in ("in_range", "below", "above"):
        raise DataError(f"{record.case.id}: {found.verdict}: {found.reason}")
    return found.outside


def seeded(runs: Sequence[Path]) -> list[Record]:
    """Return the trained cases with enough seeds, each once.

    Raises:
        DataError: there is none.
    """
    found: dict[str, Record] = {}
    for record in (one for run in runs for one in read_intact_records(run)):
        seeds = 0 if record.training is None or not record.scores else len(record.training.seeds)
        if record.outcome.status == "passed" and seeds >= FEWEST_SEEDS + FRESH:
            found[record.case.id] = record
    if not found:
        raise DataError(f"no trained case has {FEWEST_SEEDS + FRESH} seeds: run with --seeds {FEWEST_SEEDS + FRESH}")
    return list(found.values())


def report_resampled(runs: Sequence[Path]) -> Iterator[str]:
    """Yield Markdown: rates of false alarms with ranges from the first seeds and from random ones."""
    records = seeded(runs)
    count = min(len(record.training.seeds) for record in records if record.training is not None)
    every = list(range(count))
    own = resampled(records, set_ranges(records, every[:FEWEST_SEEDS]), every[FEWEST_SEEDS:], seed=0)
    rng = np.random.default_rng(1)
    others = []
    for number in range(SPLITS):
        order = [int(one) for one in rng.permutation(count)]
        ranges = set_ranges(records, order[:FEWEST_SEEDS])
        others.append(resampled(records, ranges, order[FEWEST_SEEDS:], seed=number + 1))
    yield f"{len(records)} trained cases, {count} seeds each; outcomes are drawn from {count - FEWEST_SEEDS} of them"
    yield ""
    yield "| ranges from | outcomes | any case outside (first attempt) | still outside (fresh seeds) | cases outside |"
    yield "|---|---|---|---|---|"
    yield _row(f"seeds 0 to {FEWEST_SEEDS - 1}", [own])
    yield _row(f"{FEWEST_SEEDS} seeds, drawn {SPLITS} times", others)


def _row(name: str, found: Sequence[Alarms]) -> str:
    outcomes = sum(one.outcomes for one in found)
    first, final = (sum(getattr(one, part) for one in found) for part in ("first", "final"))
    cases = {case for one in found for case in one.cases}
    shares = " | ".join(f"{part} ({part / outcomes:.1%})" for part in (first, final))
    return f"| {name} | {outcomes} | {shares} | {', '.join(sorted(cases)) or 'none'} |"


def report_reruns(runs: Sequence[Path]) -> Iterator[str]:
    """Yield Markdown: verdicts per run, and the number of runs with an alarm."""
    yield "| run | scores judged | below | above | no valid range | repeated with fresh seeds | failed |"
    yield "|---|---|---|---|---|---|---|"
    alarmed = 0
    for run in runs:
        records = [record for record in read_intact_records(run) if has_scores(record)]
        verdicts = [record.outcome.verdict for record in records]
        outside = [record.case.id for record in records if record.outcome.verdict in ("below", "above")]
        asked = sum(record.first_attempt is not None for record in records)
        unjudged = sum(verdict not in ("in_range", "below", "above") for verdict in verdicts)
        alarmed += bool(outside)
        counts = f"{len(records)} | {verdicts.count('below')} | {verdicts.count('above')} | {unjudged} | {asked}"
        yield f"| {run.name} | {counts} | {', '.join(outside) or 'none'} |"
    yield ""
    yield f"{alarmed} of {len(runs)} runs raised an alarm"


def main() -> None:
    """Print one of the two reports."""
    parser = argparse.ArgumentParser(description="Rate of false alarms of expected ranges.")
    parser.add_argument("what", choices=("resampled", "reruns"))
    parser.add_argument("runs", nargs="+", type=Path, help="folders of runs")
    chosen = parser.parse_args()
    report = report_resampled if chosen.what == "resampled" else report_reruns
    print("\n".join(report(chosen.runs)))


if __name__ == "__main__":
    main()
