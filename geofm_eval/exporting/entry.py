"""The catalog entry that reads an exported folder as a task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.notes import stated_targets
from geofm_eval.catalog.writing import toml_fields
from geofm_eval.data.split import ALL, Split

LEFT_OUT = {
    "values are stored in the unit of their band": ("scale", "offset", "nodata"),
    "pixels without a label have the ignore value": ("label_nodata",),
    "samples that cannot be measured are not exported": ("inspect",),
    "the split of every sample is stored": ("block_m",),
    "it describes how a stand-in is generated": ("standin", "sizes", "tier", "label_noise", "oracle"),
    "it describes the download of the original": ("official_sizes", "size", "layout", "files", "how_to_get"),
    "suites measure the original": ("suites", "bench_models"),
}
"""Fields of a task that an exported copy does not have, by the reason. All others are copied or replaced."""

_NOT_COPIED = {"slug", *(name for names in LEFT_OUT.values() for name in names)}


def entry_of(task: TaskSpec, splits: Mapping[str, Split], folder: Path, table: str) -> str:
    """Return the catalog entry of an exported task as TOML.

    It is a variant of the task, so that no ranking counts the same samples twice.

    Args:
        task: the original.
        splits: its splits.
        folder: the exported folder.
        table: name of the table of samples in it.
    """
    slug = f"{task.slug}_export"
    fields = task.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_COPIED)
    fields |= {
        "title": f"{task.title} (exported)",
        "reader": "table",
        "root": str(folder.resolve()),
        "options": _options(task, table),
        "variant_of": task.slug,
        **_division(splits),
    }
    # The darkest pixels of a stand-in are not checked.
    fields |= {"offset_checked": False} if task.simulated else {}
    lines = ["# Reads this folder as a task. If you move the folder, change root."]
    if task.protocol == "shuffle_splits":
        lines.append("# The random test sets of the original are not stored; the samples are divided as own data.")
    return "\n".join([*lines, f"[tasks.{slug}]", *toml_fields(fields), ""])


def _options(task: TaskSpec, table: str) -> dict[str, Any]:
    """Options of the reader, with the names of the target, which notes compare with the inputs of embeddings."""
    targets = stated_targets(task)
    return {"file": table, **({"target": targets} if targets else {})}


def _division(splits: Mapping[str, Split]) -> dict[str, str]:
    """Settings that keep the exported splits or folds, if there are any."""
    if ALL not in splits:
        return {"protocol": "holdout", "split": "given"}
    return {"protocol": "folds", "split": "given"} if splits[ALL].folds else {"protocol": "auto", "split": "auto"}
