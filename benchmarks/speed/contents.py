"""Cost of hashing a user's data: ``python -m benchmarks.speed.contents [--files N] [--bytes B]``.

Files of random bytes are hashed twice: without cached hashes, and by a process that finds them in the cache. Times are
CPU seconds, so that a busy machine or a cold disk does not change them.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from geofm_eval.data import contents as module

FILES, BYTES = 27_000, 100_000
LARGE = 60_000_000_000
"""Size in bytes of the data set to which times are extrapolated."""


def main() -> None:
    """Write the files, hash them, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=FILES)
    parser.add_argument("--bytes", type=int, default=BYTES)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GEOFM_CACHE"] = f"{folder}/cache"
        paths = written(Path(folder), chosen.files, chosen.bytes)
        time.sleep(2 * module.SETTLED_NS / 1e9)  # hashes of files that were just written are not cached
        first = seconds(lambda: module.hashes_of(paths, "data"))
        module._known.clear()  # as in another process
        again = seconds(lambda: module.hashes_of(paths, "data"))
    total = chosen.files * chosen.bytes
    print(f"{chosen.files:,} files of {chosen.bytes / 1e3:,.0f} kB ({total / 1e9:.2f} GB), CPU seconds")
    print(f"  not cached: {first:.2f} ({total / first / 1e9:.2f} GB per second)")
    print(f"  cached:     {again:.2f} ({1e6 * again / chosen.files:.0f} us per file)")
    files = LARGE / chosen.bytes
    large, known = first * LARGE / total, again * files / chosen.files
    print(f"  extrapolated to 60 GB in {files:,.0f} files: {large:.0f} not cached, {known:.1f} cached")


def written(folder: Path, files: int, size: int) -> list[Path]:
    """Write files of random bytes, at most 3,000 in a folder."""
    paths = [folder / f"{number // 3000}" / f"{number}.tif" for number in range(files)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.urandom(size))
    return paths


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads."""
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    main()
