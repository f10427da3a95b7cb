"""How large a drop the gate finds: ``python -m benchmarks.trust.power`` (a quarter of an hour on one core, resumable).

First by simulation (``--simulated`` does no more, in seconds): verdicts on one case of 1,000 items whose true drop is
known. Then with real features: noise is added to the weights of ``pocket_mae``, in steps of each tensor's standard
deviation, and its checkpoint at a third of its steps takes its place. Every damaged backbone is measured by the suite
itself and compared with the sound one: how often is it called a regression, by the pooled verdict of a task and by that
of any case, and how often does the formula behind "smallest drop found" promise it? Two re-runs must not be flagged:
one of the same numbers, one of numbers that differ by rounding.
"""

import argparse
import functools
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from safetensors.numpy import load_file, save_file

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.catalog.specs import POINT
from geofm_eval.compare import (
    RunComparison,
    TaskVerdict,
    Verdict,
    chance_of_finding,
    compare,
    decide,
    standard_error,
)
from geofm_eval.holm import p_value
from geofm_eval.metrics import paired_interval
from geofm_eval.paths import in_package
from geofm_eval.report.choice import Difference
from geofm_eval.report.formats import markdown_grid

ROOT = Path(__file__).resolve().parents[2]
MODEL = "pocket_mae"
WEIGHTS = in_package("backbones/pocket/weights/pocket_mae_seed0.safetensors")
THIRD = in_package("backbones/pocket/weights/pocket_mae_seed0_third.safetensors")

SAME, ROUNDING = 0.0, 1e-6
STEPS = (0.1, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Standard deviation of the noise, in those of the tensor that it is added to."""

# With all labels alone, which is what the verdicts of tasks are pooled at: a tenth of the time.
CATALOG = """
[tasks.eurosat_sim_power]
like = "eurosat_sim"
title = "EuroSAT stand-in, simulated, all labels"
variant_of = "eurosat_sim"
label_fractions = [1.0]

[tasks.neuco_sim_biomass_mean_power]
like = "neuco_sim_biomass_mean"
title = "NeuCo-Bench stand-in biomass_mean, simulated, all labels"
variant_of = "neuco_sim_biomass_mean"
label_fractions = [1.0]
"""
TASKS = ("eurosat_sim_power", "neuco_sim_biomass_mean_power")


@dataclass(frozen=True)
class Variant:
    """A backbone that takes the place of the sound one.

    Args:
        step: what was done to it, as the table names it.
        name: of its run.
        level: standard deviation of the noise; None for the checkpoint at a third of the steps.
        seed: of the noise.
    """

    step: str
    name: str
    level: float | None
    seed: int = 0


def variants(seeds: int) -> Iterator[Variant]:
    """All of them, in the order of the table."""
    yield Variant("same numbers, another file", "same", SAME)
    yield from (Variant("rounding (1e-6 of each weight)", f"rounding-{seed}", ROUNDING, seed) for seed in range(seeds))
    for level in STEPS:
        for seed in range(seeds):
            yield Variant(f"noise of {level:g} sd", f"noise-{level:g}-{seed}", level, seed)
    yield Variant("checkpoint at a third of its steps", "third", None)


def damaged(variant: Variant, folder: Path) -> Path:
    """Weight file of a variant, written where it is not there yet."""
    if variant.level is None:
        return THIRD
    path = folder / f"{variant.name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(variant.seed)
        tensors = {name: _noised(value, variant.level, rng) for name, value in load_file(WEIGHTS).items()}
        # Other metadata make another file, so that nothing is taken from the cache.
        save_file(tensors, path, metadata={"variant": variant.name})
    return path


def _noised(values: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    # The packaged file holds 16-bit numbers, in which a change by rounding would be none.
    exact = values.astype(np.float32)
    scale = np.abs(exact) if level == ROUNDING else exact.std()
    return (exact + level * scale * rng.standard_normal(exact.shape)).astype(np.float32)


def measure(run: Path, weights: Path, catalog: Path) -> None:
    """Measure a backbone with the suite; what an earlier call has measured is taken from its records."""
    selection = ("--models", MODEL, "--tasks", ",".join(TASKS), "--adaptations", "linear,ridge")
    how = ("--catalog", str(catalog), "--weights", f"{MODEL}={weights}", "--run", run.name, "--resume", "-q")
    command = [sys.executable, "-m", "pytest", "benchmarks/test_probe.py", *selection, *how]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{run.name}: the suite ended with status {done.returncode}:\n{done.stdout[-3000:]}")


def row(step: str, number: int, found: Sequence[RunComparison]) -> list[str]:
    """Cells of one step and task: the mean drop, how often it was found, and how often it should have been."""
    tasks = [one.tasks[number] for one in found]
    drop = -100 * mean(task.difference.value for task in tasks)
    pooled = sum(task.verdict == "regression" for task in tasks)
    cases = sum(any(case.new.case.task == tasks[0].task for case in one.regressions) for one in found)
    smallest = [100 * task.smallest for task in tasks if task.smallest is not None]
    return [
        tasks[0].task.removesuffix("_power"),
        step,
        f"{round(drop, 1) + 0.0:.1f}",
        f"{mean(smallest):.1f}" if smallest else "-",
        f"{100 * mean(promised(one, drop / 100) for one in found_tasks(found, number)):.0f} %",
        f"{pooled} of {len(tasks)}",
        f"{cases} of {len(tasks)}",
    ]


def found_tasks(found: Sequence[RunComparison], number: int) -> Iterator[tuple[TaskVerdict, int]]:
    """Verdict on one task in every comparison, with the number of tasks that were tested together."""
    return ((one.tasks[number], sum(task.p is not None for task in one.tasks)) for one in found)


def promised(one: tuple[TaskVerdict, int], drop: float) -> float:
    """Probability that the formula gives a drop of being found by this comparison; 0 where nothing differs."""
    task, tests = one
    error = standard_error(task.difference)
    if not error:
        return 0.0
    return chance_of_finding(drop, error, task.difference.freedom, task.delta, tests)


HEADER = (
    "task",
    "weights",
    "mean drop (points)",
    "smallest drop found with 80 %",
    "promised",
    "task called a regression",
    "any case called one",
)


def table(found: dict[str, list[RunComparison]]) -> str:
    """Markdown."""
    rows = [row(step, number, own) for number in range(len(TASKS)) for step, own in found.items()]
    return "\n".join(markdown_grid(HEADER, rows))


ITEMS, SIMULATIONS = 1000, 2000
DROPS, CHANGED = (0.0, 0.01, 0.02, 0.03), (0.04, 0.1, 0.2)
"""True drops, and shares of the items that the new weights turn from right to wrong or back."""


def simulated_table() -> str:
    """Markdown: how often a true drop is called a regression, and how often it should be."""
    header = ("items that change", *(f"drop of {100 * drop:g} points: found (promised)" for drop in DROPS))
    rows = [[f"{100 * share:g} %", *(simulated_cell(drop, share) for drop in DROPS)] for share in CHANGED]
    return "\n".join(markdown_grid(header, rows))


def simulated_cell(drop: float, changed: float) -> str:
    """Share of simulated cases that are called a regression, and what the formula promises, in percent."""
    rng = np.random.default_rng([round(1000 * drop), round(1000 * changed)])
    lost, gained = (changed + drop) / 2, (changed - drop) / 2
    counts = rng.multinomial(ITEMS, [lost, gained, 1 - changed], SIMULATIONS)
    found = mean(verdict_on(worse, better) == "regression" for worse, better, _ in counts)
    error = math.sqrt((changed - drop**2) / ITEMS)
    promised = chance_of_finding(drop, error, math.inf, POINT)
    return f"{100 * found:.1f} % ({100 * promised:.1f} %)"


@functools.cache
def verdict_on(lost: int, gained: int) -> Verdict:
    """Verdict on one case of which so many items became wrong, and so many right."""
    old = np.arange(ITEMS) < ITEMS // 2
    new = np.concatenate(
        [old[lost : ITEMS // 2], np.zeros(lost, bool), old[ITEMS // 2 + gained :], np.ones(gained, bool)]
    )
    difference = Difference.within((gained - lost) / ITEMS, paired_interval(new, old))
    return decide(difference, p_value(difference), POINT)


def main() -> None:
    """Print the table of simulations; measure and compare all variants, and print theirs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="noises per step (default 3)")
    parser.add_argument("--simulated", action="store_true", help="simulate alone, measure nothing")
    arguments = parser.parse_args()
    print(simulated_table())
    if arguments.simulated:
        return
    runs = ROOT / "reports" / "runs"
    own = runs / "power-weights"
    own.mkdir(parents=True, exist_ok=True)
    file = own / "power.toml"
    file.write_text(CATALOG, encoding="utf-8")
    catalog: Catalog = load_catalog([file])
    baseline = runs / "power-baseline"
    measure(baseline, WEIGHTS, file)
    found: dict[str, list[RunComparison]] = {}
    for variant in variants(arguments.seeds):
        run = runs / f"power-{variant.name}"
        measure(run, damaged(variant, own), file)
        found.setdefault(variant.step, []).append(compare(baseline, run, catalog))
        print(f"{variant.name}: {', '.join(task.verdict for task in found[variant.step][-1].tasks)}", file=sys.stderr)
    print(f"\n{table(found)}")


if __name__ == "__main__":
    main()
