"""Measure what damaged, hostile and half-written files lead to, and print the table of docs/trust.md.

What was measured is kept in the cache, by kind: an interrupted call goes on, ``--again NAME`` measures a kind anew.
"""

import argparse
import functools
import logging
import os
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.studies.trust.faults.damage import VERDICTS
from benchmarks.studies.trust.faults.hostile_files import hostile
from benchmarks.studies.trust.faults.kills import killed
from benchmarks.studies.trust.faults.kinds import KINDS
from geofm_eval.paths import geofm_cache
from geofm_eval.store import remember

HOSTILE, KILLS = "hostile files", "kills"
KILLED = 20
NEVER = ("lost", "silent wrong", "traceback", "code run")


def main() -> int:
    """Print the table; the status is 1 where a file led to what it never may."""
    chosen = _arguments()
    kept = geofm_cache() / "faults"
    logging.disable(logging.WARNING)
    rows: dict[str, dict[str, int]] = {}
    for name in (*KINDS, HOSTILE, KILLS):
        path = kept / f"{name.replace(' ', '_')}-{chosen.share:g}.json"
        if name in chosen.again:
            path.unlink(missing_ok=True)
        known = remember(path, functools.partial(_measured, name, chosen.share))
        rows[name] = known
        print(f"{name}: {known}", flush=True)
    print("\n".join(table(rows)))
    return int(any(row.get(verdict, 0) for row in rows.values() for verdict in NEVER))


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", action="append", default=[], metavar="NAME", help="measure this kind anew")
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials, for a quick look")
    return parser.parse_args()


def _measured(name: str, share: float) -> dict[str, int]:
    """Verdicts of one kind, counted, in a cache of its own."""
    rng = random.Random(name)
    before = os.environ.get("GEOFM_CACHE")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        os.environ["GEOFM_CACHE"] = str(folder / "cache")
        try:
            if name == HOSTILE:
                return dict(Counter(hostile(folder).values()))
            if name == KILLS:
                folders = [folder / str(number) for number in range(max(1, round(KILLED * share)))]
                for one in folders:
                    one.mkdir()
                return dict(Counter(killed(one, rng) for one in folders))
            make, count = KINDS[name]
            trial = make(folder)
            return dict(Counter(trial(rng) for _ in range(max(1, round(count * share)))))
        finally:
            os.environ.pop("GEOFM_CACHE")
            if before is not None:
                os.environ["GEOFM_CACHE"] = before


def table(rows: dict[str, dict[str, int]]) -> list[str]:
    """Markdown: one row per kind, one column per verdict."""
    lines = [f"| what | trials | {' | '.join(VERDICTS)} |", "|---" * (len(VERDICTS) + 2) + "|"]
    for name, row in rows.items():
        counts = " | ".join(str(row.get(verdict, 0)) for verdict in VERDICTS)
        lines.append(f"| {name} | {sum(row.values()):,} | {counts} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
