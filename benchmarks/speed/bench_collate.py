"""Collation of large runs: time is limited and at most linear in the number of records, memory fits a laptop."""

import subprocess
import sys
from pathlib import Path

from tests.synthetic_run import Synthetic, write_run

ROOT = Path(__file__).resolve().parents[2]
TASKS = ("eurosat_sim", "eurosat_rgb", "large_a_sim", "large_b_sim", "large_c_sim", "large_d_sim")
BLOCKS = 12
FEWER, MORE = 6, 30
"""Numbers of models: 1,008 and 5,040 records (14 taps, six tasks, two probes each)."""

RATIO_LIMIT = 6.0
"""Limit of the time ratio for five times the records; model pairs are compared, which grows quadratically."""

SECONDS_LIMIT = 20
"""Limit of the CPU seconds for the larger run, on a core of an AMD EPYC."""

MEGABYTES_LIMIT = 500

MEASURED = """
import resource, sys
from pathlib import Path
from geofm_eval.report.collation import collate
before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
collate(Path(sys.argv[1]))
after = resource.getrusage(resource.RUSAGE_SELF)
print(after.ru_utime - before, after.ru_maxrss * 1024 / 1e6)
"""


def test_collation_is_linear(tmp_path: Path) -> None:
    short, _ = _cost(tmp_path / "fewer", FEWER)
    seconds, megabytes = _cost(tmp_path / "more", MORE)
    print(f"\n5,040 records: {seconds:.1f} CPU seconds, {seconds / short:.1f} times as for 1,008; {megabytes:.0f} MB")
    assert seconds <= SECONDS_LIMIT
    assert seconds <= RATIO_LIMIT * short
    assert megabytes <= MEGABYTES_LIMIT


def _cost(folder: Path, models: int) -> tuple[float, float]:
    """Return CPU seconds and peak megabytes of a fresh process."""
    write_run(folder, [_model(number) for number in range(models)], TASKS)
    finished = subprocess.run(
        [sys.executable, "-c", MEASURED, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seconds, megabytes = finished.stdout.split()
    return float(seconds), float(megabytes)


def _model(number: int) -> Synthetic:
    """Make a model whose accuracy peaks at two thirds of its depth; every tenth is a control."""
    top, end = 0.80 + 0.005 * (number % 17), 0.75 + 0.004 * (number % 13)
    depth = [place / (BLOCKS + 1) for place in range(BLOCKS + 2)]
    profile = [0.45 + (top - 0.45) * at / 0.66 if at < 0.66 else top + (end - top) * (at - 0.66) / 0.34 for at in depth]
    return Synthetic(f"large{number:02d}", profile, control=number % 10 == 9)
