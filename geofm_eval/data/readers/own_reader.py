"""Data read by a user's own ``file.py:function``, which returns a pool of labelled samples."""

from pathlib import Path

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Pool
from geofm_eval.errors import ContractError, GeofmError
from geofm_eval.own_code import own_function


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """Call a user's ``function(task, root)``.

    Raises:
        ContractError: the function does not exist, fails, or returns something else.
    """
    function, _ = own_function(task.slug, task.reader, "task, root")
    try:
        pool = function(task, root)
    except GeofmError:
        raise
    except Exception as error:
        raise ContractError(f"{task.slug}: {task.reader} raised {type(error).__name__}: {str(error)[:200]}") from error
    if not isinstance(pool, Pool):
        raise ContractError(f"{task.slug}: {task.reader} returned a {type(pool).__name__}, expected geofm_eval's Pool")
    return pool
