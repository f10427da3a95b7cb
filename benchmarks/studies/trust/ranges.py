"""Simulate false alarms of probe ranges on other machines: ``python -m benchmarks.studies.trust.ranges RUN``.

RUN holds the linear probes of ``eurosat_sim``, and the cache their solves by ``geofm-eval expect RUN``. Other machines
are imitated by last-digit noise in the lead of the best penalty over each other one: a lead is drawn again with its
measured standard deviation, and each machine chooses by its own leads. Ranges are set on one machine by two rules, and
scores of the other machines are judged by them:

- *spread or floor*, used until probe version 3: the largest deviation of 20 solves with noise of 1e-4, or one sample;
- *admissible choices*, the rule of :mod:`geofm_eval.expected.admissible`.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import load_catalog
from geofm_eval.errors import DataError
from geofm_eval.expected.admissible import DEVIATIONS
from geofm_eval.expected.update import read_intact_records
from geofm_eval.measure.noise import UNPERTURBED, Perturbation, PerturbedSolve, described, job_of, solved
from geofm_eval.probes.job import ProbeJob
from geofm_eval.records import Record
from geofm_eval.workspace import Settings, Workspace

TASK, ADAPTATION = "eurosat_sim", "linear"

EARLY = {0.01: 1.4e-6, 0.1: 6.2e-5, 1.0: 1.5e-5}
"""Standard deviation of a lead in nats, by label fraction, for a solver that stops at a relative weight error of 1e-4
(until probe version 3): measured on 47 near-tied rows, solved 3 or 4 times with noise of 1e-7."""

REACH = 12.0
"""Penalties whose lead exceeds this many standard deviations are never chosen and are left out."""

SETTINGS, MACHINES = 200, 40
"""Number of sets of ranges, and of machines judged by each set."""

OLD_SOLVES, OLD_NOISE = 20, 1e-4
DROP = 0.01
"""True drop in one case, which a range should find."""


@dataclass(frozen=True)
class DrawTable:
    """Label draws of all cases with their eligible penalties, best first, padded with infinite leads.

    Attributes:
        case: (rows,) case number of each draw.
        weight: (rows,) one over the case's number of draws.
        lead: (rows, M) validation loss above the lowest.
        score: (rows, M) test accuracy.
        sd: (rows, M) standard deviation of the lead on other machines.
        sd_noise: (rows, M) standard deviation of the lead by noise level.
        decision: contribution of one test sample to the score.
    """

    case: NDArray[np.int64]
    weight: NDArray[np.float64]
    lead: NDArray[np.float64]
    score: NDArray[np.float64]
    sd: NDArray[np.float64]
    sd_noise: Mapping[float, NDArray[np.float64]]
    decision: float

    @property
    def cases(self) -> int:
        """Number of scores."""
        return int(self.case.max()) + 1

    @property
    def tied(self) -> int:
        """Number of draws with more than one eligible penalty."""
        return int((np.isfinite(self.lead).sum(1) > 1).sum())

    def scores(self, choices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return (..., cases) scores from the choices (..., rows) of all draws."""
        return self.totals(np.take_along_axis(self.score, choices.reshape(-1, len(self.case)).T, 1).T, choices.shape)

    def totals(self, values: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return (..., cases) means over draws of (n, rows) values."""
        found = np.zeros((len(values), self.cases))
        np.add.at(found.T, self.case, (values * self.weight).T)
        return found.reshape(*shape[:-1], self.cases)


def rows_of(
    solves: Sequence[Mapping[Perturbation, PerturbedSolve]], jobs: Sequence[ProbeJob], early: bool
) -> DrawTable:
    """Return the near-ties of all probes, from their stored solves.

    Args:
        solves: solves of every model.
        jobs: jobs of the same models.
        early: use ``EARLY`` instead of the measured standard deviations.
    """
    parts = [part for job, own in zip(jobs, solves, strict=True) for part in _parts(job, own, EARLY if early else None)]
    width = max(len(lead) for _, _, (lead, *_) in parts)
    names = list(dict.fromkeys(name for name, *_ in parts))

    def padded(place: int, fill: float) -> NDArray[np.float64]:
        return np.array([np.pad(own[place], (0, width - len(own[place])), constant_values=fill) for _, _, own in parts])

    decisions = {len(job.problem.labels["test"]) for job in jobs}
    return DrawTable(
        case=np.array([names.index(name) for name, *_ in parts]),
        weight=np.array([weight for _, weight, *_ in parts]),
        lead=padded(0, np.inf),
        score=padded(1, 0.0),
        sd=padded(2, 0.0),
        sd_noise={1e-7: padded(2, 0.0), 1e-6: padded(3, 0.0), OLD_NOISE: padded(4, 0.0)},
        decision=1 / decisions.pop(),
    )


def _parts(
    job: ProbeJob, solves: Mapping[Perturbation, PerturbedSolve], early: Mapping[float, float] | None
) -> Iterator[tuple[object, float, list[NDArray[np.float64]]]]:
    """Case, weight, leads, scores, and standard deviations of leads at three levels of noise, of every draw."""
    exact, problem = solves[UNPERTURBED], job.problem
    draws = {one.fraction: sum(other.fraction == one.fraction for other in problem.subsets) for one in problem.subsets}
    for row, (tap, subset) in enumerate((tap, subset) for tap in problem.taps for subset in problem.subsets):
        own = exact.above[row].astype(np.float64)
        small, large = (_sd(solves, noise, row) for noise in (1e-7, 1e-6))
        strong = large * OLD_NOISE / 1e-6
        if early is not None:
            small = large = strong = np.where(np.arange(len(own)) == exact.chosen[row], 0.0, early[subset.fraction])
        near = np.flatnonzero(own <= REACH * np.maximum(small, large))
        order = [int(exact.chosen[row]), *(int(k) for k in near if k != exact.chosen[row])]
        name = (job.key, tap, subset.fraction)
        columns = [own[order], exact.explored[row][order], small[order], large[order], strong[order]]
        yield name, 1 / draws[subset.fraction], columns


def _sd(solves: Mapping[Perturbation, PerturbedSolve], noise: float, row: int) -> NDArray[np.float64]:
    """(L,) standard deviation of each lead around its noise-free value, over the solves at a noise level."""
    exact = solves[UNPERTURBED]
    chosen = exact.chosen[row]
    leads = [
        one.above[row].astype(np.float64) - float(one.above[row][chosen])
        for name, one in solves.items()
        if name.noise == noise
    ]
    found: NDArray[np.float64] = np.sqrt(np.mean(np.square(np.array(leads) - exact.above[row]), axis=0))
    return found


@dataclass(frozen=True)
class Tally:
    """Results of one rule.

    Attributes:
        runs: number of simulated runs.
        alarms: runs with any score outside its range, although nothing had changed.
        widest: largest width of a range.
        found: number of drops of size ``DROP`` in one case that were found.
    """

    runs: int
    alarms: int
    widest: float
    found: int


Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def simulate(rows: DrawTable, seed: int = 0, settings: int = SETTINGS) -> dict[str, Tally]:
    """Set ranges by both rules, each time on another machine, and judge ``MACHINES`` others by them.

    Args:
        rows: draws of all cases.
        seed: random seed.
        settings: number of sets of ranges.
    """
    rng = np.random.default_rng(seed)
    counts = {name: [0, 0.0, 0] for name in ("spread or floor", "admissible choices")}
    for _ in range(settings):
        own = _drawn(rng, rows.lead, rows.sd, 1)[0]
        machines = rows.scores(_drawn(rng, rows.lead, rows.sd, MACHINES).argmin(2))
        dropped = machines.copy()
        dropped[np.arange(MACHINES), rng.integers(rows.cases, size=MACHINES)] -= DROP
        for name, ends in (("spread or floor", _old(rng, rows, own)), ("admissible choices", _new(rng, rows, own))):
            counts[name][0] += int(_outside(machines, ends).sum())
            counts[name][1] = max(counts[name][1], float((ends[1] - ends[0]).max()))
            counts[name][2] += int(_outside(dropped, ends).sum())
    return {name: Tally(settings * MACHINES, int(a), w, int(f)) for name, (a, w, f) in counts.items()}


def _drawn(
    rng: np.random.Generator, lead: NDArray[np.float64], sd: NDArray[np.float64], count: int
) -> NDArray[np.float64]:
    return lead + sd * rng.standard_normal((count, *lead.shape))


def _outside(scores: NDArray[np.float64], ends: Ends) -> NDArray[np.bool_]:
    """(machines,) whether any score is outside; a millionth is rounding of the mean."""
    return np.asarray(((scores < ends[0] - 1e-6) | (scores > ends[1] + 1e-6)).any(1))


def _old(rng: np.random.Generator, rows: DrawTable, own: NDArray[np.float64]) -> Ends:
    score = rows.scores(own.argmin(1)[None])[0]
    solves = rows.scores(_drawn(rng, own, rows.sd_noise[OLD_NOISE], OLD_SOLVES).argmin(2))
    half = np.maximum(np.abs(solves - score).max(0), rows.decision)
    return score - half, score + half


def _new(rng: np.random.Generator, rows: DrawTable, own: NDArray[np.float64]) -> Ends:
    """As in ``geofm-eval expect``: four solves at each noise level, and one as on another machine."""
    best = own.argmin(1)[:, None]
    lead = own - np.take_along_axis(own, best, 1)
    noises = [rows.sd_noise[1e-7]] * 4 + [rows.sd_noise[1e-6]] * 4 + [rows.sd]
    moved = np.stack([sd * rng.standard_normal(sd.shape) for sd in noises])
    moved -= np.take_along_axis(moved, np.broadcast_to(best, (len(moved), *best.shape)), 2)
    admitted = lead <= DEVIATIONS * np.sqrt(np.mean(np.square(moved), axis=0))
    low = rows.totals(np.where(admitted, rows.score, np.inf).min(1)[None], (1, len(best)))[0]
    high = rows.totals(np.where(admitted, rows.score, -np.inf).max(1)[None], (1, len(best)))[0]
    return low - rows.decision, high + rows.decision


def report(run: Path) -> Iterator[str]:
    """Yield Markdown of false alarms, widths and drops found, by solver and rule."""
    records = _probes(run)
    workspace = Workspace(load_catalog(), Settings())
    jobs = [job_of(workspace, record) for record in records]
    solves = [
        solved(workspace, {TASK: job}, described(record))[TASK] for job, record in zip(jobs, records, strict=True)
    ]
    columns = ("solver", "rule", "draws with a near-tie", "runs", "with a false alarm", "widest range", "drops found")
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for title, early in (("stops at 1e-4 (until probe version 3)", True), ("float64 optimum", False)):
        rows = rows_of(solves, jobs, early)
        for name, tally in simulate(rows).items():
            alarms, found = tally.alarms / tally.runs, tally.found / tally.runs
            ties = f"{rows.tied} of {len(rows.case)}"
            results = f"{tally.alarms} ({alarms:.2%}) | {100 * tally.widest:.2f} points | {found:.1%}"
            yield f"| {title} | {name} | {ties} | {tally.runs} | {results} |"


def _probes(run: Path) -> list[Record]:
    """One record per model; its solves hold all taps."""
    found = {
        record.case.model: record
        for record in read_intact_records(run)
        if (record.case.kind, record.case.task, record.case.adaptation) == ("probe", TASK, ADAPTATION) and record.scores
    }
    if not found:
        raise DataError(f"{run}: no {ADAPTATION} probe of {TASK}; pass the folder of a run of suite bench")
    return list(found.values())


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="Simulate false alarms of probe ranges on other machines.")
    parser.add_argument("run", type=Path, help="folder of a run with the linear probes of eurosat_sim")
    print("\n".join(report(parser.parse_args().run)))


if __name__ == "__main__":
    main()
