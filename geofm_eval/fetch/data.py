"""Data sets: where to get them, and which layout they need."""

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import NAMES
from geofm_eval.paths import geofm_home


def describe_task(task: TaskSpec) -> list[str]:
    """Return lines with the source, licence, size, folder and layout of a data set."""
    if task.simulated:
        return [f"{task.slug}: {task.title}", "  simulated: generated in the cache, nothing to fetch"]
    home = geofm_home()
    root = f"{home or 'GEOFM_HOME'}/{task.root}"
    state = "GEOFM_HOME is not set" if home is None else "exists" if (home / task.root).exists() else "missing"
    facts = {
        "get it": task.how_to_get,
        "source": task.source,
        "licence": task.licence,
        "size": task.size,
        "samples": _sizes(task),
        "folder": f"{root} ({state})",
    }
    lines = [f"  {name:<8} {fact}" for name, fact in facts.items() if fact]
    layout = [f"  {'layout' if number == 0 else '':<8} {line}" for number, line in enumerate(task.layout)]
    return [f"{task.slug}: {task.title}", *lines, *layout]


def complete_sizes(task: TaskSpec) -> dict[str, int]:
    """Return the samples of every split of the complete data set; empty if they are unknown."""
    sizes = task.sizes if task.simulated else task.official_sizes
    if sizes is None:
        return {}
    return {"all": sum(sizes)} if task.protocol == "shuffle_splits" else dict(zip(NAMES, sizes, strict=True))


def _sizes(task: TaskSpec) -> str:
    return ", ".join(f"{count} {name}" for name, count in complete_sizes(task).items())
