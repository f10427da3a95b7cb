"""Readers of on-disk layouts, one per layout: from a folder to items, splits, and the pixels of each item."""

from collections.abc import Callable
from pathlib import Path

from geofm_eval.catalog.specs import TaskSpec
from geofm_eval.data.items import Listing
from geofm_eval.data.readers import eurosat

Reader = Callable[[TaskSpec, Path], Listing]

READERS: dict[str, Reader] = {"eurosat": eurosat.read_listing}
"""Readers by the name that tasks use."""
