"""Simulated scenes for pretraining, from a palette and seeds that no task uses, in shards kept on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from geofm_eval import sharing
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene import EUROSAT_PAINTERS, SAVANNA, Canvas, SceneSetting, render
from geofm_eval.simulation.scene.canvas import INDEX
from geofm_eval.simulation.scene.chips import CHIP_DRAWS
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.landscape import simulate_scene
from geofm_eval.simulation.scene.legend import CODE, SceneKind
from geofm_eval.simulation.scene.region import LANDSCAPE_DRAWS
from geofm_eval.store import storing

PALETTE = SAVANNA
"""Spectra and textures of all pretraining scenes; tasks use TEMPERATE."""

SEED = 20_261_124
"""Seed of all pretraining scenes; tasks use seed 0."""

STREAM_VERSION = f"1-{CHIP_DRAWS}-{LANDSCAPE_DRAWS}"
SIZE = 64
PLACES = 512
"""Places per shard; half of them are landscapes, imaged by both sensors on two dates."""

_PER_BLOCK = 8
"""Landscapes per region."""

_BUILT_MATERIALS = [INDEX[name] for name in ("asphalt", "concrete", "tile", "metal")]
_BUILT_LAND = [CODE[name] for name in ("road", "building", "paved")]


@dataclass(frozen=True)
class Shard:
    """P memory-mapped places; the first L of them are landscapes.

    Args:
        optical: (P + L, 13, 64, 64) uint16 L1C digital numbers: first dates of all places, then second dates of the
            landscapes.
        radar: (2 L, 2, 64, 64) float16 dB: first dates of the landscapes, then second dates.
        built: (P,) float32 built-up proportion, the label of the supervised pocket.
    """

    optical: npt.NDArray[np.uint16]
    radar: npt.NDArray[np.float16]
    built: Array

    @property
    def landscapes(self) -> int:
        """L, the number of places with two dates and radar."""
        return len(self.radar) // 2


@dataclass(frozen=True)
class SceneBatch:
    """B places of a shard.

    Args:
        first: (B, 13, 64, 64) float32 digital numbers.
        second: the same places on the second date, or again the first if there is only one.
        radar: (B, 2, 64, 64) float32 dB of the first date; None if not all places are landscapes.
        built: (B,) float32 built-up proportion.
    """

    first: Tensor
    second: Tensor
    radar: Tensor | None
    built: Tensor

    def to(self, device: str) -> "SceneBatch":
        """Move all tensors to a device."""
        radar = None if self.radar is None else self.radar.to(device)
        return SceneBatch(self.first.to(device), self.second.to(device), radar, self.built.to(device))


class Stream:
    """Shards in order, simulated on first use and shared by all trainings on this machine.

    Args:
        folder: folder of the shards.
        shards: number of distinct shards before the stream repeats.
        places: places per shard.
    """

    def __init__(self, folder: Path, shards: int, places: int = PLACES) -> None:
        self.folder = folder / f"v{STREAM_VERSION}-{places}"
        self.shards, self.places = shards, places
        self._open: dict[int, Shard] = {}

    def shard(self, number: int) -> Shard:
        """Open a shard; simulate it first if it is absent.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        if number not in self._open:
            final = self.folder / f"{number:04d}"
            if not final.is_dir():
                with storing(final), sharing.locked(final):
                    if not final.is_dir():
                        _publish(final, simulate_shard(number, self.places))
            self._open[number] = Shard(*(np.load(final / f"{name}.npy", mmap_mode="r") for name in _PARTS))
        return self._open[number]

    def batch(self, rng: np.random.Generator, step: int, size: int, *, landscapes: bool = False) -> SceneBatch:
        """Draw the places of a step: half from its own shard, half from any shard so far.

        Args:
            rng: random generator.
            step: step number, which determines the shard.
            size: number of places B.
            landscapes: draw landscapes only, which have radar.
        """
        newest = step * size // self.places
        numbers = [newest % self.shards, int(rng.integers(min(newest + 1, self.shards)))]
        parts = [
            _draw(rng, self.shard(n), half, landscapes)
            for n, half in zip(numbers, (size - size // 2, size // 2), strict=True)
        ]
        columns = list(zip(*parts, strict=True))
        first, second, radar, built = (torch.from_numpy(np.concatenate(column)) for column in columns)
        return SceneBatch(first, second, radar if landscapes else None, built)


_PARTS = ("optical", "radar", "built")


def _draw(rng: np.random.Generator, shard: Shard, size: int, landscapes: bool) -> tuple[Array, Array, Array, Array]:
    count = shard.landscapes
    chosen = np.sort(rng.choice(count if landscapes else len(shard.built), size, replace=False))
    later = np.where(chosen < count, chosen + len(shard.built), chosen)
    swapped = rng.random(size) < 0.5
    first, second = np.where(swapped, later, chosen), np.where(swapped, chosen, later)
    # Radar of the first date; arbitrary and unused if places without radar are drawn.
    radar = np.minimum(chosen, count - 1) + swapped * count
    pixels = [shard.optical[index].astype(np.float32) for index in (first, second)]
    return pixels[0], pixels[1], shard.radar[radar].astype(np.float32), np.asarray(shard.built[chosen], np.float32)


def _publish(final: Path, shard: Shard) -> None:
    with sharing.building(final) as temporary:
        for name in _PARTS:
            np.save(temporary / f"{name}.npy", getattr(shard, name))
        sharing.publish(temporary, final, lambda folder: None if folder.is_dir() else "absent")


def simulate_shard(number: int, places: int = PLACES) -> Shard:
    """Simulate a shard; the same number gives the same scenes.

    Args:
        number: shard number; negative ones are for measurements and never used in training.
        places: P; half of them are landscapes.
    """
    landscapes = [_landscape(number, position) for position in range(places // 2)]
    chips = [part for part in _chips(number, places - len(landscapes))]
    optical = (
        [scene[0][0] for scene in landscapes] + [chip for chip, _ in chips] + [scene[0][1] for scene in landscapes]
    )
    return Shard(
        np.rint(np.stack(optical)).astype(np.uint16),
        np.stack([scene[1][day] for day in (0, 1) for scene in landscapes]).astype(np.float16),
        np.array([scene[2] for scene in landscapes] + [built for _, built in chips], dtype=np.float32),
    )


def _landscape(shard: int, position: int) -> tuple[Array, Array, float]:
    """One landscape on two dates of a year: L1C, radar, and built-up proportion."""
    kinds: tuple[SceneKind, ...] = get_args(SceneKind)
    rng = generator("pretraining", STREAM_VERSION, PALETTE.name, shard, position)
    days = sorted(int(day) for day in rng.choice(365, 2, replace=False))
    scene = simulate_scene(
        kinds[position % len(kinds)],
        position,
        seed=SEED + shard,
        size=SIZE,
        dates=tuple(date(2020, 1, 1) + timedelta(days=day) for day in days),
        palette=PALETTE,
        block=f"pretraining{shard}-{position // _PER_BLOCK}",
    )
    return scene.l1c, scene.radar, float(np.isin(scene.land, _BUILT_LAND).mean())


def _chips(shard: int, n: int) -> Iterator[tuple[Array, float]]:
    """Chips arranged as in EuroSAT, kinds in turn: L1C pixels and built-up proportion."""
    kinds = list(EUROSAT_PAINTERS)
    for position, kind in enumerate(kinds):
        count = n // len(kinds) + (position < n % len(kinds))
        if count == 0:
            continue
        rng = generator("pretraining", STREAM_VERSION, PALETTE.name, shard, kind)
        canvas = Canvas(count, SIZE)
        EUROSAT_PAINTERS[kind](rng, canvas, SceneSetting.draw(rng, count))
        built = canvas.cover[:, _BUILT_MATERIALS].sum(1).mean((1, 2))
        yield from zip(render(canvas, PALETTE, rng), built.tolist(), strict=True)
