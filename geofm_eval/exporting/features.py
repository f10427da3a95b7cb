"""Write pooled features of a model as tables, one per tap, for other tools and for models made of tables."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from geofm_eval.errors import ContractError
from geofm_eval.feature_blocks import FeatureBlock
from geofm_eval.store import storing, write_bytes
from geofm_eval.workspace import Workspace

FORMATS = ("parquet", "neuco")
"""``parquet``: id, split and one float32 column per dimension. ``neuco``: the CSV of NeuCo-Bench (id,e0,e1,...)."""


def export_features(
    workspace: Workspace, model: str, task: str, taps: Sequence[str], folder: Path, style: str = "parquet"
) -> list[Path]:
    """Write the mean-pooled features of a model on every sample of a task.

    Values are written in full: reading the files gives the same float32 numbers.

    Args:
        workspace: splits, backbones and feature blocks.
        model: model of the catalog.
        task: task of the catalog.
        taps: names of the taps; empty for all.
        folder: target; one file ``<model>-<task>-<tap>.parquet`` or ``.csv`` per tap.
        style: one of ``FORMATS``.

    Returns:
        The files, in the order of the taps.

    Raises:
        ContractError: an unknown tap or format, or the model cannot read the task.
        Unavailable: data or weights are missing.
        StoreError: the folder cannot be written, or the disk is full.
    """
    known = workspace.catalog.model(model).taps
    unknown = [tap for tap in taps if tap not in known]
    if unknown or style not in FORMATS:
        raise ContractError(
            f"{model} has no tap '{unknown[0]}'; its taps: {', '.join(known)}"
            if unknown
            else f"format '{style}' is unknown; expected {' or '.join(FORMATS)}"
        )
    blocks = workspace.blocks(model, task)
    written = []
    for tap in taps or known:
        path = folder / f"{model}-{task}-{tap}.{'csv' if style == 'neuco' else 'parquet'}"
        with storing(path):
            write_bytes(path, (_neuco if style == "neuco" else _parquet)(blocks, tap))
        written.append(path)
    return written


def _stacked(blocks: Mapping[str, FeatureBlock], tap: str) -> tuple[list[str], list[str], np.ndarray]:
    """Ids, splits, and (n, D) features of all splits."""
    ids = [one for block in blocks.values() for one in block.ids]
    splits = [name for name, block in blocks.items() for _ in block.ids]
    return ids, splits, np.concatenate([block.features(tap) for block in blocks.values()])


def _parquet(blocks: Mapping[str, FeatureBlock], tap: str) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    ids, splits, features = _stacked(blocks, tap)
    columns = {f"e{number:04d}": pa.array(column) for number, column in enumerate(features.T)}
    buffer = io.BytesIO()
    parquet.write_table(pa.table({"id": ids, "split": splits, **columns}), buffer)
    return buffer.getvalue()


def _neuco(blocks: Mapping[str, FeatureBlock], tap: str) -> bytes:
    ids, _, features = _stacked(blocks, tap)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["id", *(f"e{number}" for number in range(features.shape[1]))])
    # The shortest decimal that gives the same float32.
    writer.writerows([one, *(str(value) for value in row)] for one, row in zip(ids, features, strict=True))
    return text.getvalue().encode()
