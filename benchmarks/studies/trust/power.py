"""Power of the gate: ``python -m benchmarks.studies.trust.power`` (a quarter of an hour, resumable).

The first part is simulated (``--simulated`` stops after it, in a minute): power per primary case and false regressions
per run, compared with one Holm adjustment over all taps and label fractions. The second part uses real features: noise
is added to the weights of ``pocket_mae``, in units of each tensor's standard deviation, or they are replaced by the
checkpoint at a third of the steps. The suite measures every changed backbone and compares it with the original one. The
table compares how often each primary case is called a regression with the power that the formula behind "smallest drop
found" predicts. Two re-runs must not be flagged: with the same weights, and with weights that differ by rounding.
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
"""Standard deviations of the noise, relative to those of the tensor."""

# Only with all labels, where primary cases are judged: a tenth of the time.
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
class ChangedBackbone:
    """A changed backbone.

    Args:
        step: description in the table.
        name: name of its run.
        level: standard deviation of the noise; None for the checkpoint at a third of the steps.
        seed: seed of the noise.
    """

    step: str
    name: str
    level: float | None
    seed: int = 0


def variants(seeds: int) -> Iterator[ChangedBackbone]:
    """Yield all variants, in the order of the table."""
    yield ChangedBackbone("same weights, other file", "same", SAME)
    yield from (
        ChangedBackbone("rounding (1e-6 of each weight)", f"rounding-{seed}", ROUNDING, seed) for seed in range(seeds)
    )
    for level in STEPS:
        for seed in range(seeds):
            yield ChangedBackbone(f"noise of {level:g} sd", f"noise-{level:g}-{seed}", level, seed)
    yield ChangedBackbone("checkpoint at a third of its steps", "third", None)


def damaged(variant: ChangedBackbone, folder: Path) -> Path:
    """Return the weight file of a variant; write it if it does not exist."""
    if variant.level is None:
        return THIRD
    path = folder / f"{variant.name}.safetensors"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(variant.seed)
        tensors = {name: _noised(value, variant.level, rng) for name, value in load_file(WEIGHTS).items()}
        # The metadata change the file, so that nothing is read from the cache.
        save_file(tensors, path, metadata={"variant": variant.name})
    return path


def _noised(values: np.ndarray, level: float, rng: np.random.Generator) -> np.ndarray:
    # The packaged file is float16, in which a change of the size of float32 rounding would vanish.
    exact = values.astype(np.float32)
    scale = np.abs(exact) if level == ROUNDING else exact.std()
    return (exact + level * scale * rng.standard_normal(exact.shape)).astype(np.float32)


def measure(run: Path, weights: Path, catalog: Path) -> None:
    """Measure a backbone with the suite; records of an earlier call are reused."""
    selection = ("--models", MODEL, "--tasks", ",".join(TASKS), "--adaptations", "linear,ridge")
    how = ("--catalog", str(catalog), "--weights", f"{MODEL}={weights}", "--run", run.name, "--resume", "-q")
    command = [sys.executable, "-m", "pytest", "benchmarks/test_probe.py", *selection, *how]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{run.name}: the suite ended with status {done.returncode}:\n{done.stdout[-3000:]}")


def row(step: str, number: int, found: Sequence[RunComparison]) -> list[str]:
    """Return the cells of one step and primary case: mean drop, predicted power, and detections."""
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
    """Return the predicted probability that a drop is found at a primary case; 0 if no sample differs."""
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
    "predicted power",
    "called a regression",
    "mean over taps called a regression (exploratory)",
    "another tap called a regression (exploratory)",
)


def table(found: dict[str, list[RunComparison]]) -> str:
    """Return Markdown."""
    count = len(next(iter(found.values()))[0].primary)
    rows = [row(step, number, own) for number in range(count) for step, own in found.items()]
    return "\n".join(markdown_grid(HEADER, rows))


def main() -> None:
    """Print the simulated tables; measure and compare all variants, and print their table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="noise seeds per step (default 3)")
    parser.add_argument("--simulated", action="store_true", help="print only the simulated tables")
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
