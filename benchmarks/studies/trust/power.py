"""How large a drop the gate finds: ``python -m benchmarks.studies.trust.power`` (a quarter of an hour, resumable).

First by simulation (``--simulated`` does no more, in a minute): power per primary case, and false regressions per run,
next to those of one Holm over all taps and label fractions. Then with real features: noise is added to the weights of
``pocket_mae``, in steps of each tensor's standard deviation, and its checkpoint at a third of its steps takes its
place. Every damaged backbone is measured by the suite itself and compared with the sound one: how often is each primary
case called a regression, and how often does the formula behind "smallest drop found" promise it? Two re-runs must not
be flagged: one of the same numbers, one of numbers that differ by rounding.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmarks.studies.trust.simulated_gate import alarm_table, power_table
from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.compare import CaseVerdict, RunComparison, chance_of_finding, compare, standard_error
from geofm_eval.compare.families import family_of
from geofm_eval.paths import in_package
from geofm_eval.report.formats import markdown_grid

ROOT = Path(__file__).resolve().parents[3]
MODEL = "pocket_mae"
WEIGHTS = in_package("backbones/pocket/weights/pocket_mae_seed0.safetensors")
THIRD = in_package("backbones/pocket/weights/pocket_mae_seed0_third.safetensors")

SAME, ROUNDING = 0.0, 1e-6
STEPS = (0.1, 0.5, 1.0, 2.0, 3.0, 4.0)
"""Standard deviation of the noise, in those of the tensor that it is added to."""

# With all labels alone, which is where primary cases are judged: a tenth of the time.
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
    """Cells of one step and primary case: its mean drop, how often it was found, and how often it should have been."""
    cases = [one.primary[number] for one in found]
    drop = -100 * mean(case.full.difference.value for case in cases)
    smallest = [100 * case.full.smallest for case in cases if case.full.smallest is not None]
    info, role = cases[0].new.case, cases[0].role
    means = [pooled for one in found for pooled in one.pooled if pooled.task == info.task]
    elsewhere = sum(any(case.new.case.task == info.task for case, _ in one.exploratory) for one in found)
    return [
        f"{info.task.removesuffix('_power')}, {info.layer} ({role})",
        step,
        f"{round(drop, 1) + 0.0:.1f}",
        f"{mean(smallest):.1f}" if smallest else "-",
        f"{100 * mean(promised(case, one, drop / 100) for case, one in zip(cases, found, strict=True)):.0f} %",
        f"{sum(case.verdict == 'regression' for case in cases)} of {len(cases)}",
        f"{sum(pooled.verdict == 'regression' for pooled in means)} of {len(means)}",
        f"{elsewhere} of {len(found)}",
    ]


def promised(case: CaseVerdict, found: RunComparison, drop: float) -> float:
    """Probability that the formula gives a drop of being found at a primary case; 0 where nothing differs."""
    error = standard_error(case.full.difference)
    if not error:
        return 0.0
    family = [one for one in found.primary if family_of(one.new) == family_of(case.new)]
    tests = sum(one.full.p is not None for one in family)
    return chance_of_finding(drop, error, case.full.difference.freedom, case.delta, tests)


HEADER = (
    "task, primary case",
    "weights",
    "mean drop (points)",
    "smallest drop found with 80 %",
    "promised",
    "called a regression",
    "mean over taps called one (exploratory)",
    "another tap called one (exploratory)",
)


def table(found: dict[str, list[RunComparison]]) -> str:
    """Markdown."""
    count = len(next(iter(found.values()))[0].primary)
    rows = [row(step, number, own) for number in range(count) for step, own in found.items()]
    return "\n".join(markdown_grid(HEADER, rows))


def main() -> None:
    """Print the tables of simulations; measure and compare all variants, and print theirs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="noises per step (default 3)")
    parser.add_argument("--simulated", action="store_true", help="simulate alone, measure nothing")
    arguments = parser.parse_args()
    print(f"power per primary case\n\n{power_table()}\n")
    print(f"runs with a false regression (false regressions per run)\n\n{alarm_table()}")
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
        print(f"{variant.name}: {', '.join(one.verdict for one in found[variant.step][-1].primary)}", file=sys.stderr)
    print(f"\n{table(found)}")


if __name__ == "__main__":
    main()
