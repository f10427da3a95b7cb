"""Processes killed while writing records: every record reported as finished must exist and be intact."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.studies.trust.faults.damage import Verdict
from geofm_eval.records import read_records

WRITER = """
import sys
from pathlib import Path
import numpy as np
from benchmarks.studies.trust.faults.world import planted
from geofm_eval.records import write_record
number = 0
while True:
    record, arrays = planted("colours", "accuracy", f"block{number:05d}", np.random.default_rng(number))
    write_record(record, arrays, Path(sys.argv[1]))
    print(record.case.id, flush=True)
    number += 1
"""


def killed(folder: Path, rng: random.Random) -> Verdict:
    """Start a process that writes records, kill it at a random moment, and read the folder."""
    log = folder / "finished.txt"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(folder / "run")], stdout=out)
        while not log.stat().st_size and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.random() * 0.3)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    finished = set(log.read_text(encoding="utf-8").split())
    records, problems = read_records(folder / "run")
    if finished - {record.case.id for record in records}:
        return "lost"
    return "reported" if problems else "right"
