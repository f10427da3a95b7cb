"""Run size needed to decide each finding, and the level of the test of "most cells".

    python -m benchmarks.studies.trust.findings           # all tables, about a minute
    python -m benchmarks.studies.trust.findings size      # one of size, gains, claims, profiles, drift, orders

True effects are set, measurements are drawn around them, and verdicts are computed as in collations. Errors of cells on
the same samples correlate by ``SHARED``; in the reference the mean correlation is .02, with a range of -.25 to .6.
"""

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
from scipy.stats import norm

from geofm_eval.findings import interactions
from geofm_eval.findings.drift import mean_over, p_of_lead, p_of_no_lead
from geofm_eval.findings.finding import AS_GOOD, GAIN, Claim, FindingCell, cell_of
from geofm_eval.findings.most import majority, partial_conjunction, verdict_on_most
from geofm_eval.findings.rankings import verdict_of_order
from geofm_eval.ranking import Entry, HeadToHead, OrderTest, Setting, gail_simon
from geofm_eval.records import Contrast
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.p_values import holm
from tests.planted.ranking import probe_record

SHARED = 0.3
"""Correlation of the errors of two cells on the same samples."""

RUNS = 400
"""Simulated runs per table row."""

VERDICTS = ("supported", "refuted", "undecided")
NINETY_FIVE = float(norm.ppf(0.975))

Counts = Counter[str]


def errors(rng: np.random.Generator, sizes: Sequence[int], spread: Sequence[float], shared: float = SHARED) -> Floats:
    """Draw (cells,) errors: ``sizes`` cells per data set, with standard error ``spread`` per data set."""
    common = np.repeat(rng.standard_normal(len(sizes)), sizes)
    own = rng.standard_normal(sum(sizes))
    return np.asarray(np.repeat(spread, sizes) * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own))


def error_of_mean(sizes: Sequence[int], spread: Sequence[float]) -> float:
    """Return the standard error of the mean over the cells."""
    each = zip(sizes, spread, strict=True)
    return math.sqrt(sum(se**2 * (n + n * (n - 1) * SHARED) for n, se in each)) / sum(sizes)


def around(value: float, error: float) -> Difference:
    """Return a measurement with its 95 % interval."""
    return Difference(value, value - NINETY_FIVE * error, value + NINETY_FIVE * error)


def verdicts(
    truth: Sequence[float], sizes: Sequence[int], spread: Sequence[float], claim: Claim, tests: int = 1
) -> Counts:
    """Count the verdicts on a claim about most cells.

    Args:
        truth: (cells,) true effect of every cell.
        sizes: cells per data set.
        spread: standard error of a cell per data set.
        claim: tested claim.
        tests: number of equal sets of cells, any of which may support the claim.
    """
    rng = np.random.default_rng([len(truth), tests])
    each, whole, found = np.repeat(spread, sizes), error_of_mean(sizes, spread), Counter[str]()
    for _ in range(RUNS):
        made = []
        for _ in range(tests):
            measured = np.asarray(truth) + errors(rng, sizes, spread)
            cells = [_cell(float(v), float(se), claim) for v, se in zip(measured, each, strict=True)]
            made.append(verdict_on_most(cells, around(float(measured.mean()), whole), claim, tests))
        found[min(made, key=("supported", "undecided", "refuted").index)] += 1
    return found


def _cell(value: float, error: float, claim: Claim) -> FindingCell:
    return cell_of("", "", "", around(value, error), True, "", claim)


def shares(found: Counts) -> str:
    """Return percentages of supported, refuted and undecided, for example ``97 / 0 / 3``."""
    return " / ".join(f"{100 * found[name] / found.total():.0f}" for name in VERDICTS)


def size() -> Iterator[str]:
    """Rate of false claims about most cells when one cell too few is non-null, by correlation."""
    yield "| cells on 3 data sets | non-null | correlation 0 | .3 | .6 | .9 |"
    yield "|---|---|---|---|---|---|"
    for count, real in product((6, 15, 55), ("half", "none")):
        least = majority(count)
        known = least - 1 if real == "half" else 0
        row = []
        for shared in (0.0, 0.3, 0.6, 0.9):
            rng = np.random.default_rng(count)
            sizes = [count - 2 * (count // 3), count // 3, count // 3]
            drawn = np.array([errors(rng, sizes, [1.0] * 3, shared) for _ in range(10_000)])
            # Non-null cells are spread over all data sets.
            drawn[:, rng.permutation(count)[:known]] += 10
            rejected = [partial_conjunction(row_, least) < 0.05 for row_ in norm.sf(drawn).tolist()]
            row.append(f"{100 * float(np.mean(rejected)):.1f} %")
        yield f"| {count}, at least {least} are needed | {known} | {' | '.join(row)} |"


def gains() -> Iterator[str]:
    """Finding 2 with the cells of an earlier suite."""
    truths = (0.0, 1.0, 2.0, 3.0, 5.0)
    yield f"| samples | {' | '.join(f'true gain {truth:g}' for truth in truths)} |"
    yield f"|---|{'---|' * len(truths)}"
    for times, said in ((1.0, "1,000 and 300"), (5.4, "5,400 and 1,600"), (20.0, "20,000 and 5,900")):
        sizes, spread = [5, 10], [1.0 / math.sqrt(times), 2.2 / math.sqrt(times)]
        row = [shares(verdicts([truth] * 15, sizes, spread, GAIN)) for truth in truths]
        yield f"| {said} | {' | '.join(row)} |"


RUN_SIZES = (("3 x 3", 3, 3), ("5 x 4", 5, 4), ("8 x 8", 8, 8))
"""Numbers of backbones x data sets, one cell each."""


def claims() -> Iterator[str]:
    """Findings 2 (taps), 3, 4 and 6 by number of cells and standard error of a cell."""
    yield "| finding | true effect in every cell (points) | cells | error of a cell 2 points | 1 point | .5 points |"
    yield "|---|---|---|---|---|---|"
    rows: tuple[tuple[str, Claim, int, tuple[float, ...]], ...] = (
        ("2, taps", GAIN, 1, (0.0, 1.0, 2.0, 4.0)),
        ("4, either of two blocks", GAIN, 2, (0.0, 2.0, 4.0)),
        ("6; 3, one kind of adaptation", AS_GOOD, 1, (0.0, -1.0, -3.0)),
        ("3, either of two kinds", AS_GOOD, 2, (0.0, -3.0)),
    )
    for name, claim, tests, truths in rows:
        for truth, (said, backbones, data) in product(truths, RUN_SIZES):
            sizes = [backbones] * data
            row = [
                shares(verdicts([truth] * backbones * data, sizes, [se] * data, claim, tests)) for se in (2.0, 1.0, 0.5)
            ]
            yield f"| {name} | {truth:+g} | {said} | {' | '.join(row)} |"
    for truth, share in ((3.0, 2 / 3), (3.0, 1 / 2)):
        said, backbones, data = RUN_SIZES[1]
        real = round(share * backbones * data)
        effects = np.random.default_rng(1).permutation([truth] * real + [0.0] * (backbones * data - real)).tolist()
        row = [shares(verdicts(effects, [backbones] * data, [se] * data, GAIN)) for se in (2.0, 1.0, 0.5)]
        yield f"| 2, taps | {truth:+g} in {real} cells, 0 in the others | {said} | {' | '.join(row)} |"


def profiles() -> Iterator[str]:
    """Finding 2, second part, with the test of interactions itself."""
    yield "| tasks x backbones x blocks x draws, a draw moves a score by 1 point | true size (points) | verdicts |"
    yield "|---|---|---|"
    interactions.PERMUTATIONS = 199
    for (tasks, models, draws), true in product(((5, 3, 5), (5, 7, 5), (9, 7, 5)), (0.0, 1.0, 2.0)):
        rng, found = np.random.default_rng(tasks), Counter[str]()
        for _ in range(RUNS // 4):
            made = [_profile(rng, models, draws, true) for _ in range(tasks)]
            mean = interactions.together([(str(number), one) for number, one in enumerate(made)])
            blank = _cell(0.0, 1.0, GAIN)
            cells = [replace(blank, p_above=one.p, p_below=one.p_below) for one in made]
            found[verdict_on_most(cells, mean, GAIN)] += 1
        yield f"| {tasks} x {models} x 12 x {draws} | {true:g} | {shares(found)} |"


def _profile(rng: np.random.Generator, models: int, draws: int, true: float) -> interactions.Interaction:
    fixed = rng.standard_normal((models, 12))
    fixed = fixed - fixed.mean(0) - fixed.mean(1, keepdims=True) + fixed.mean()
    fixed *= true / math.sqrt(float(np.square(fixed).sum()) / ((models - 1) * 11))
    return interactions.interaction(fixed[..., None] + rng.standard_normal((models, 12, draws)))


def drift() -> Iterator[str]:
    """Finding 5: lead over seven parts, and growth with depth, over three tasks."""
    yield "| claim | true lead (hundredths) | seeds | 3 backbones | 5 | 10 |"
    yield "|---|---|---|---|---|---|"
    for rivals, truths in ((7, (-5.0, 0.0, 5.0, 15.0)), (1, (0.0, 5.0, 15.0))):
        for truth, seeds in product(truths, (3, 5)):
            row = [shares(_drifts(rivals, truth, seeds, backbones)) for backbones in (3, 5, 10)]
            name = "fc1 leads 7 parts" if rivals > 1 else "grows with depth"
            yield f"| {name} | {truth:+g} | {seeds} | {' | '.join(row)} |"


def _drifts(rivals: int, truth: float, seeds: int, backbones: int, tasks: int = 3, spread: float = 4.0) -> Counts:
    """All rivals are equal; backbones vary with a standard deviation of 3, seeds with ``spread``."""
    rng, found = np.random.default_rng([rivals, seeds, backbones]), Counter[str]()
    for _ in range(RUNS // 4):
        cells, names = [], []
        for backbone, own in enumerate(rng.normal(truth, 3.0, backbones)):
            for _ in range(tasks):
                per_seed = own + rng.normal(0, spread, (rivals, seeds))
                leads = {str(n): Contrast(per_seed=tuple(one / 100)) for n, one in enumerate(per_seed)}
                p = p_of_lead(leads, None, None), p_of_no_lead(leads, None, None)
                lead = float(per_seed.mean(1).min())
                cells.append(replace(_cell(lead, 1.0, GAIN), p_above=p[0], p_below=p[1]))
                names.append(str(backbone))
        mean = mean_over(names, [cell.estimate for cell in cells])
        found[verdict_on_most(cells, mean, GAIN, mean_refutes=rivals == 1)] += 1
    return found


def orders() -> Iterator[str]:
    """Finding 1: five backbones; two or none of them swap ranks between two data sets."""
    yield "| truth | data sets x settings | error of a difference 2 points | 1 point | .5 points | .2 points |"
    yield "|---|---|---|---|---|---|"
    worlds = (
        ("two change, by 5 points either way", 5.0, 3.0),
        ("none changes, leads of 3 points", 0.0, 3.0),
        ("all are equal", 0.0, 0.0),
    )
    for said, lead, others in worlds:
        for data, settings in ((2, 1), (4, 2), (4, 12)):
            row = [shares(_orders(lead, others, data, settings, se)) for se in (2.0, 1.0, 0.5, 0.2)]
            yield f"| {said} | {data} x {settings} | {' | '.join(row)} |"


def _orders(lead: float, others: float, data: int, settings: int, error: float, models: int = 5) -> Counts:
    rng, found = np.random.default_rng([data, settings]), Counter[str]()
    for _ in range(RUNS // 8):
        known, raw = [], []
        for one, other in combinations(range(models), 2):
            truth = np.full((data, settings), others * (other - one))
            if (one, other) == (0, 1) and lead > 0:
                truth[0], truth[1] = lead, -lead
            values = truth.ravel() + errors(rng, [settings] * data, [error] * data)
            meetings = tuple(_met(float(v), error, n // settings) for n, v in enumerate(values))
            known.append(OrderTest(f"m{one}", f"m{other}", meetings))
            raw.append(gail_simon([met.statistic for met in meetings], [met.data for met in meetings]))
        rivals = [replace(rivalry, p=p) for rivalry, p in zip(known, holm(raw), strict=True)]
        found[verdict_of_order(rivals, models)] += 1
    return found


def _met(points: float, error: float, data: int) -> HeadToHead:
    return HeadToHead(ANYWHERE, around(points / 100, error / 100), points / error, str(data))


ANYWHERE = Setting(
    "setting", "table", (Entry("m0", probe_record("m0", "t", np.ones((1, 2), dtype=np.uint8)), "1.0"),), None, {}
)
"""Any setting; only its metric is used."""

TABLES: dict[str, Callable[[], Iterator[str]]] = {
    "size": size,
    "gains": gains,
    "claims": claims,
    "profiles": profiles,
    "drift": drift,
    "orders": orders,
}


def main() -> None:
    """Print the selected tables, or all."""
    parser = argparse.ArgumentParser(description="Simulate the verdicts of findings by true effect and run size.")
    parser.add_argument("tables", nargs="*", choices=[[], *TABLES], help="tables to print; default: all")
    for name in parser.parse_args().tables or TABLES:
        print(f"\n{name}: {TABLES[name].__doc__}\n", flush=True)
        for line in TABLES[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
