"""Chips small enough to train on in a second: squares of bright ground, each pixel labelled."""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import Catalog, TaskSpec, load_catalog
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split
from geofm_eval.dense.config import Trained
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import train_at
from geofm_eval.dense.search import choose_rate

CATALOG = load_catalog()
FLOODS = CATALOG.task("sen1floods11_sim")
CROPS = CATALOG.task("pastis_sim")
SIDE = 32


def target_of(index: int, side: int = SIDE) -> np.ndarray:
    """A square of class 1 on class 0, and a row without labels."""
    rng = np.random.default_rng(index)
    target = np.zeros((side, side), np.int64)
    top, left = rng.integers(0, side // 2, 2)
    extent = side // 4 + index % (side // 4)
    target[top : top + extent, left : left + extent] = 1
    target[side - 1] = -1
    return target


def image_of(target: np.ndarray, task: TaskSpec, index: int) -> np.ndarray:
    """Class 1 is twice as bright as class 0, in every band and on every date."""
    rng = np.random.default_rng(100 + index)
    shape = (len(task.bands), *target.shape) if task.dates is None else (task.dates, len(task.bands), *target.shape)
    return (1000.0 * (1 + np.clip(target, 0, 1)) * rng.uniform(0.8, 1.2, shape)).astype(np.float32)


def chips(task: TaskSpec = FLOODS, name: str = "train", count: int = 6, first: int = 0, side: int = SIDE) -> Split:
    """A split of chips that are made when they are read; another ``first`` gives other chips."""
    dates = () if task.dates is None else tuple(date(2020, 1 + month, 1) for month in range(task.dates))
    items = tuple(
        Item(f"{name}{index}", Path(f"{index}.tif"), None, dates=dates) for index in range(first, first + count)
    )
    return Split(
        task.model_copy(update={"nodata": None}),
        name,
        items,
        "official",
        lambda item: image_of(target_of(int(item.path.stem), side), task, int(item.path.stem)),
        lambda item: target_of(int(item.path.stem), side),
    )


def train_chosen(job: DenseJob) -> Trained:
    """Train at the learning rate that validation chooses."""
    return train_at(job, *choose_rate(job))


def few_chips(monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """A catalog of the flood stand-in alone, with all labels; its splits are these small chips."""
    task = FLOODS.model_copy(update={"label_fractions": (1.0,), "draws": 1})
    sizes = (("train", 6, 0), ("val", 3, 50), ("test", 3, 70))
    splits = {name: chips(task, name, count=count, first=first) for name, count, first in sizes}
    monkeypatch.setattr("geofm_eval.workspace.open_splits", lambda *_: splits)
    return replace(CATALOG, tasks={task.slug: task})
