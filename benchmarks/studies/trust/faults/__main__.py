"""Measure the effects of damaged, hostile and half-written files, and print the table of docs/trust.md.

Results are cached by kind: an interrupted call resumes, and ``--again NAME`` repeats one kind.
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
NEVER = ("lost", "silently wrong", "traceback", "code run")
CACHE_VERSION = 2
"""2: other names of verdicts."""


def main() -> int:
    """Print the table; return 1 if a verdict that must never occur did."""
    chosen = _arguments()
    kept = geofm_cache() / "faults" / f"v{CACHE_VERSION}"
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
    parser.add_argument("--again", action="append", default=[], metavar="NAME", help="repeat this kind")
    parser.add_argument("--share", type=float, default=1.0, help="proportion of the trials, for a quick look")
    return parser.parse_args()


def _measured(name: str, share: float) -> dict[str, int]:
    """Count the verdicts of one kind, in a temporary cache."""
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
    """Return Markdown: one row per kind, one column per verdict."""
    lines = [f"| kind | trials | {' | '.join(VERDICTS)} |", "|---" * (len(VERDICTS) + 2) + "|"]
    for name, row in rows.items():
        counts = " | ".join(str(row.get(verdict, 0)) for verdict in VERDICTS)
        lines.append(f"| {name} | {sum(row.values()):,} | {counts} |")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
