"""Costs of earlier sessions with the same cache and options, in one small file of the cache per set of options."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geofm_eval.costs.table import CostKey
from geofm_eval.paths import geofm_cache
from geofm_eval.seals import content_hash, is_whole, parse_json, sealed
from geofm_eval.sharing import locked
from geofm_eval.store import write_json


@dataclass(frozen=True)
class OwnCost:
    """Cost of cases that were measured before with this cache.

    Args:
        again: seconds per case when features, solved probes and trainings are read from the cache.
        ratio: measured seconds in proportion to those estimated from the reference when nothing was in the cache.
    """

    again: float
    ratio: float | None = None


def own_file(options: Mapping[str, Any]) -> Path:
    """Return the file of the costs under options such as device, threads and seeds; other options need another time."""
    return geofm_cache() / "costs" / f"{content_hash(dict(options))[:16]}.json"


def read_own(path: Path) -> dict[CostKey, OwnCost]:
    """Read the costs of earlier sessions; none if the file is missing or damaged."""
    try:
        content = parse_json(path.read_bytes())
        known = content["costs"] if is_whole(content) else {}
        return {CostKey(*name.split(" ")): OwnCost(*values) for name, values in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def add_own(path: Path, costs: Mapping[CostKey, OwnCost]) -> None:
    """Add the costs of a session to the file.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    with locked(path):
        known = {**read_own(path), **costs}
        listed = {" ".join(key): [cost.again, cost.ratio] for key, cost in sorted(known.items())}
        write_json(path, sealed({"costs": listed}))
