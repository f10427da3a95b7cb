"""Files in the cache that say which split or fold every sample of own data is in."""

import csv
import io
import logging
from collections.abc import Mapping
from pathlib import Path

from geofm_eval.data.split import Split
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import content_hash
from geofm_eval.store import write_bytes

log = logging.getLogger(__name__)


def write_splits(splits: Mapping[str, Split]) -> Path:
    """Write ``splits/<key>.csv`` with the columns id, split or fold, and group; the key is the hash of its content.

    Raises:
        StoreError: the disk is full or the cache cannot be written.
    """
    folds = any(split.folds for split in splits.values())
    rows = [["id", "fold" if folds else "split", "group"]]
    for name, split in splits.items():
        parts = map(str, split.folds) if folds else [name] * len(split)
        rows += [[item.id, part, item.group or ""] for item, part in zip(split.items, parts, strict=True)]
    path = geofm_cache() / "splits" / f"{content_hash(rows)}.csv"
    if not path.exists():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        write_bytes(path, text.getvalue().encode())
    log.info("%s: splits are written to %s", next(iter(splits.values())).task.slug, path)
    return path
