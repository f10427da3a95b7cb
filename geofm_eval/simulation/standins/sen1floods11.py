"""Simulated floods in the layout of Sen1Floods11."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.sen1floods11 import CHIPS, LISTS
from geofm_eval.simulation.scene.landscape import Scene, simulate_scene
from geofm_eval.simulation.standins.chips import as_drawn, chip_size, hidden, numbered, write_geotiff

CHIP = 64
_FIRST = 100_000
EVENTS = ("Alder", "Birch", "Cedar", "Elm", "Fir", "Hazel", "Juniper", "Larch", "Maple", "Oak")
HELD_OUT = "Willow"
"""Simulated floods: each of ``EVENTS`` has chips in all three splits; ``HELD_OUT`` is the separate one, like
Bolivia."""

_LIST_NAMES = {"train": "train", "val": "valid", "test": "test"}


def write_sen1floods11(folder: Path, task: TaskSpec) -> None:
    """Write simulated chips as Sen1Floods11: radar in dB, L1C digital numbers, labels, and split lists.

    A flood is one block of scenes on one date. Cloudy pixels have the label -1, as in the published data; beyond the
    edge of the swath S2 is 0 and S1 is NaN. The chips of one more flood, a sixth as many as in the test split, have a
    separate list, like those of Bolivia.
    """
    for name in ("S1Hand", "S2Hand", "LabelHand"):
        (folder / CHIPS / name).mkdir(parents=True)
    (folder / LISTS).mkdir(parents=True)
    size, splits = chip_size(task, CHIP), numbered(task)
    for split, numbers in splits.items():
        chips = [_write_chip(folder / CHIPS, number, number % len(EVENTS), EVENTS, size) for number in numbers]
        _write_list(folder, _LIST_NAMES[split], chips)
    first = splits["test"].stop
    apart = range(first, first + -(-len(splits["test"]) // 6))
    _write_list(folder, "bolivia", [_write_chip(folder / CHIPS, number, 0, (HELD_OUT,), size) for number in apart])


def _write_list(folder: Path, name: str, chips: Sequence[str]) -> None:
    lines = [f"{chip}_S1Hand.tif,{chip}_LabelHand.tif\n" for chip in chips]
    (folder / LISTS / f"flood_{name}_data.csv").write_text("".join(lines), encoding="utf-8")


def _write_chip(chips: Path, number: int, event: int, events: Sequence[str], size: int) -> str:
    scene = _scene(number, event, events[event], size)
    name = f"{events[event]}_{_FIRST + number}"
    _write_images(chips, name, scene)
    labels = np.where(hidden(scene), -1, as_drawn(scene.flooded, scene)).astype(np.int16)
    write_geotiff(chips / "LabelHand" / f"{name}_LabelHand.tif", labels[None])
    return name


def _scene(number: int, event: int, name: str, size: int) -> Scene:
    return simulate_scene("flood", number, size=size, dates=(date(2018, 1 + event, 15),), block=name)


def noise_free(chip: str, task: TaskSpec) -> npt.NDArray[np.int64]:
    """Return the true water of a chip, without drawing errors, (height, width)."""
    event, _, number = chip.rpartition("_")
    scene = _scene(int(number) - _FIRST, EVENTS.index(event), event, chip_size(task, CHIP))
    return scene.flooded.astype(np.int64)


def _write_images(chips: Path, name: str, scene: Scene) -> None:
    gap = scene.nodata[0]
    radar = np.where(gap, np.float32(np.nan), scene.radar[0])
    write_geotiff(chips / "S1Hand" / f"{name}_S1Hand.tif", radar, nodata=float("nan"))
    # 0 means no data; the smallest measured digital number is 1.
    numbers = np.where(gap, 0, np.rint(scene.l1c[0]).clip(1, 32_767)).astype(np.int16)
    write_geotiff(chips / "S2Hand" / f"{name}_S2Hand.tif", numbers, nodata=0)
