"""Print the table of docs/intervals.md: ``python -m benchmarks.studies.trust.coverage [--only KIND] [--draws N]``."""

import argparse
import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from benchmarks.studies.trust.coverage import families, findings, images, regressions, shares, shuffles, taps
from benchmarks.studies.trust.coverage.simulation import Coverage, Simulation, measure
from geofm_eval.paths import geofm_cache
from geofm_eval.store import content_hash, file_sha256, write_json

log = logging.getLogger(__name__)

DRAWS = 2000


def simulations() -> list[Simulation]:
    """Return all simulations, ordered by kind."""
    parts = (shares, regressions, images, findings, taps, shuffles)
    return [one for part in parts for one in part.simulations()]


def measured(simulation: Simulation, draws: int) -> Coverage:
    """Return the coverage, cached under the hash of the code that it depends on."""
    path = geofm_cache() / "trust" / "coverage" / f"{content_hash([simulation.name, draws, _sources()])[:24]}.json"
    if not path.is_file():
        started = time.perf_counter()
        found = measure(simulation, draws)
        log.warning("%s: %.1f %% in %.0f s", simulation.name, 100 * found.share, time.perf_counter() - started)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, asdict(found))
    return Coverage(**json.loads(path.read_text(encoding="utf-8")))


def _sources() -> list[str]:
    """Hashes of the interval and simulation code."""
    own = Path(__file__).parent
    library = own.parents[3] / "geofm_eval"
    of_findings = (library / "findings" / f"{name}.py" for name in ("finding", "interactions"))
    of_taps = (library / "results" / "reselected.py",)
    of_ranking = (library / "ranking" / f"{name}.py" for name in ("joint", "sources"))
    others = (*of_findings, *of_taps, *of_ranking)
    paths = [*own.glob("*.py"), *(library / "stats").glob("*.py"), *others]
    return [file_sha256(path) for path in sorted(paths)]


def table(rows: Iterable[tuple[Simulation, Coverage]]) -> str:
    """Return Markdown, one row per simulation."""
    lines = [
        "| interval of | units | coverage, % [interval] | ends below / begins above, % | width | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for simulation, found in rows:
        low, high = found.ends
        lines.append(
            f"| {simulation.title} | {100 * found.share:.1f} [{100 * low:.1f}, {100 * high:.1f}] "
            f"| {100 * found.below:.1f} / {100 * found.above:.1f} | {found.relative_width:.2f} | {found.verdict} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the selected simulations, or all, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the coverage of intervals by simulation.")
    parser.add_argument("--only", default="", help="only kinds and units whose names contain this text")
    parser.add_argument("--draws", type=int, default=DRAWS, help=f"simulated data sets per row (default {DRAWS:,})")
    parser.add_argument("--families", action="store_true", help="measure false positives in families of true nulls")
    chosen = parser.parse_args()
    wanted = families.simulations() if chosen.families else simulations()
    found = [one for one in wanted if chosen.only.lower() in f"{one.name} {one.title}".lower()]
    if chosen.families:
        for one in found:
            share = families.mistaken(one, chosen.draws)
            print(f"| {one.title} | {100 * share:.1f} |", flush=True)
    else:
        print(table((one, measured(one, chosen.draws)) for one in found))


if __name__ == "__main__":
    main()
