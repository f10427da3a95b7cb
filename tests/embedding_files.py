"""A task without images, and embeddings of its samples in files of every kind, beside one catalog file."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv, parquet

from geofm_eval.catalog import load_catalog
from geofm_eval.workspace import Settings, Workspace

WIDTH = 6
CLASSES = ("crop", "water", "wood")

READER = """
import csv
from geofm_eval.data.items import Item, Pool


def pool(task, root):
    with (root / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    label = float if task.kind == "regression" else lambda name: task.classes.index(name)
    items = tuple(
        Item(row["id"], root / "labels.csv", label(row[task.options["target"]]), lonlat=(float(row["lon"]), float(row["lat"])))
        for row in rows
    )
    return Pool(root, items, None, given={row["id"]: row["split"] for row in rows})
"""  # noqa: E501

TASK = """
[tasks.plots]
title = "Plots"
reader = "plots.py:pool"
root = "{root}"
bands = []
product = "any"
classes = ["crop", "water", "wood"]
options = {{ target = "cover" }}
label_fractions = [1.0]

[tasks.heights]
title = "Heights"
kind = "regression"
metric = "r2"
reader = "plots.py:pool"
root = "{root}"
bands = []
product = "any"
options = {{ target = "S1_VV" }}
label_fractions = [1.0]
"""


@dataclass(frozen=True)
class Plots:
    """Samples with embeddings that tell their class.

    Args:
        folder: of the catalog file, the labels and the embeddings.
        ids: of the samples.
        features: (n, WIDTH) float32.
        entries: fields of the models, by slug.
    """

    folder: Path
    ids: list[str]
    features: np.ndarray
    entries: dict[str, str] = field(default_factory=dict)

    def model(self, slug: str, options: str, more: str = "", tasks: str = '["plots"]') -> "Plots":
        """Add an entry of a table."""
        self.entries[slug] = (
            f'[models.{slug}]\ntitle = "{slug}"\narchitecture = "table"\ntasks = {tasks}\noptions = {options}\n{more}\n'
        )
        return self

    def workspace(self) -> Workspace:
        """Open the catalog with all entries so far."""
        path = self.folder / "plots.toml"
        path.write_text(TASK.format(root=self.folder) + "\n".join(self.entries.values()), encoding="utf-8")
        return Workspace(load_catalog([path]), Settings())

    def table(self, features: np.ndarray | None = None, ids: list[str] | None = None, prefix: str = "A") -> pa.Table:
        """Return embeddings with one column per channel, among other columns."""
        values = self.features if features is None else features
        columns: dict[str, Any] = {"id": self.ids if ids is None else ids}
        columns |= {f"{prefix}{number:02d}": column for number, column in enumerate(values.T)}
        return pa.table({**columns, "Area": np.arange(len(values)) * 1.0, "note": ["text"] * len(values)})

    def write(self, name: str, table: pa.Table) -> str:
        """Write a parquet file or a CSV file (.gz), and return its name."""
        path = self.folder / name
        if name.endswith(".parquet"):
            parquet.write_table(table, path)
        else:
            with pa.output_stream(str(path)) as stream:
                csv.write_csv(table, stream)
        return name


def plots(folder: Path, count: int = 60) -> Plots:
    """Write labels of samples in three splits."""
    rng = np.random.default_rng(0)
    labels = np.arange(count) % len(CLASSES)
    features = (rng.normal(size=(count, WIDTH)) + labels[:, None] * np.linspace(0, 1, WIDTH)).astype(np.float32)
    ids = [f"{number:03d}" for number in range(count)]
    lines = ["id,cover,S1_VV,lon,lat,split"]
    for number, one in enumerate(ids):
        split = ("train", "train", "train", "val", "test")[number // 3 % 5]
        vv = float(features[number, 0] - features[number, 1])
        lines.append(f"{one},{CLASSES[labels[number]]},{vv},{10 + number / 100},{50 + number % 7 / 100},{split}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "plots.py").write_text(READER, encoding="utf-8")
    return Plots(folder, ids, features)


def write_npy(made: Plots, name: str, as_json: bool = False) -> str:
    """Write an npy file with a file of ids beside it."""
    np.save(made.folder / name, made.features)
    beside = (made.folder / name).with_suffix(".ids.json" if as_json else ".ids.txt")
    beside.write_text(json.dumps(made.ids) if as_json else "\n".join(made.ids), encoding="utf-8")
    return name


def write_lists(made: Plots, rows: list[Any] | None = None) -> pa.Table:
    """Return embeddings in one column of lists."""
    values = pa.array(made.features.tolist() if rows is None else rows, pa.list_(pa.float32()))
    return pa.table({"id": made.ids, "vector": values})
