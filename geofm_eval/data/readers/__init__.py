"""Readers of on-disk layouts: each turns a folder into samples, splits and a function that reads pixels."""

from collections.abc import Callable
from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Listing, Pool
from geofm_eval.data.readers import (
    ai4smallfarms,
    biomassters,
    eurosat,
    folder,
    fuel_moisture,
    hls_burn_scars,
    mados,
    masks,
    neuco,
    pastis,
    sen1floods11,
    table,
    terramesh,
    vector,
)

Reader = Callable[[TaskSpec, Path], Listing]
"""Lists the samples of a data set by split, given its task and the root folder of its data.

Readers raise ContractError if the task's options or bands do not exist in the layout, Unavailable if the folder has no
samples or nothing defines their split, and DataError if a split file or list is damaged, or samples are missing.
"""

READERS: dict[str, Reader] = {
    "eurosat": eurosat.read_listing,
    "sen1floods11": sen1floods11.read_listing,
    "hls_burn_scars": hls_burn_scars.read_listing,
    "mados": mados.read_listing,
    "ai4smallfarms": ai4smallfarms.read_listing,
    "pastis": pastis.read_listing,
    "neuco": neuco.read_listing,
    "biomassters": biomassters.read_listing,
    "fuel_moisture": fuel_moisture.read_listing,
    "terramesh": terramesh.read_listing,
}
"""Readers by the name that tasks use."""

PoolReader = Callable[[TaskSpec, Path], Pool]
"""Lists the labelled samples of own data, given the task and the root of its data; raises as other readers do."""

POOL_READERS: dict[str, PoolReader] = {
    "folder": folder.read_pool,
    "table": table.read_pool,
    "masks": masks.read_pool,
    "vector": vector.read_pool,
}
"""Generic readers of own data by the name that tasks use."""
