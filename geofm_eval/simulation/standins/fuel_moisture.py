"""Simulated pixel series in the layout of live fuel moisture: plants dry out with the weather of their site."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.fuel_moisture import COLUMNS, STEP
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.landscape import SceneKind, simulate_scene
from geofm_eval.simulation.standins.chips import optical

SIZE = 16
"""Pixels per side of a site's scene; series are taken from its centre."""

PER_SITE = 12
"""Series per site, one every 30 days; the last site may have fewer."""

LENGTH = 3
KINDS: tuple[SceneKind, ...] = ("mixed", "forest", "crops")
NOISE = 9.0
"""Standard deviation in percent of the noise added to the moisture: .4 of the moisture's own standard deviation."""

_FIRST = date(2017, 1, 15)
_OPTICAL = tuple(name for name in COLUMNS if name.startswith("B"))


@dataclass(frozen=True)
class _Site:
    """One site: pixels (steps, columns), moisture at the end of every series with and without noise, and position."""

    name: str
    pixels: npt.NDArray[np.float64]
    moisture: npt.NDArray[np.float64]
    noise_free: npt.NDArray[np.float64]
    lonlat: tuple[float, float]


def write_fuel_moisture(folder: Path, task: TaskSpec) -> None:
    """Write simulated series as fuel moisture: ``npy/*.npy`` and ``single_file_labels.geojson``.

    The reader selects 20 % of the training sites for validation. Sizes are therefore met exactly only if training and
    validation have a ratio of 4 to 1 and consist of whole sites of twelve series.
    """
    arrays: dict[str, list[Any]] = {name: [] for name in ("pixels", "month", "target", "site", "latlon", "is_test")}
    features = []
    for is_test, site, count in _sites(task):
        for start in range(count):
            dates = [_FIRST + (start + step) * STEP for step in range(LENGTH + 1)]
            arrays["pixels"].append(site.pixels[start : start + LENGTH])
            arrays["month"].append([day.month - 1 for day in dates[:-1]])
            arrays["target"].append(site.moisture[start])
            arrays["site"].append(site.name)
            arrays["latlon"].append(site.lonlat[::-1])
            arrays["is_test"].append(is_test)
            features.append(_feature(site, float(site.moisture[start]), dates[-1]))
    _write(folder, arrays, features)


def _sites(task: TaskSpec) -> Iterator[tuple[int, _Site, int]]:
    train, val, test = task.sizes or (0, 0, 0)
    counts = [(is_test, count) for is_test, total in ((0, train + val), (1, test)) for count in _per_site(total)]
    for number, (is_test, count) in enumerate(counts):
        yield is_test, _simulate(number), count


def noise_free(task: TaskSpec) -> dict[str, float]:
    """Return the noise-free moisture of every series in percent, by the id that the reader assigns."""
    values = [value for _, site, count in _sites(task) for value in site.noise_free[:count].tolist()]
    return {f"series_{row:05d}": value for row, value in enumerate(values)}


def _per_site(total: int) -> list[int]:
    return [min(PER_SITE, total - start) for start in range(0, total, PER_SITE)]


def _simulate(number: int) -> _Site:
    """Simulate one site: weather drives moisture; moisture shows in the weather and, with the plants, in greenness."""
    rng = generator("fuel moisture", number)
    steps = PER_SITE + LENGTH - 1
    dates = tuple(_FIRST + step * STEP for step in range(steps))
    scene = simulate_scene(KINDS[number % len(KINDS)], number, size=SIZE, dates=dates)
    weather = _weather(rng, dates)
    middle = SIZE // 2
    numbers = np.rint([optical(image, _OPTICAL)[:, middle, middle] for image in scene.l1c]).astype(np.float64)
    radar = scene.radar[:, :, middle, middle].astype(np.float64).round(3)
    terrain = np.tile([rng.uniform(20, 2500), rng.gamma(1.5, 5.0)], (steps, 1)).round(4)
    bands = np.concatenate([radar, numbers, weather, terrain], axis=1)
    pixels = np.concatenate([bands, _greenness(numbers)[:, None]], axis=1)
    moisture = np.array([_moisture(pixels[start : start + LENGTH]) for start in range(PER_SITE)])
    noisy = np.clip(moisture + rng.normal(0, NOISE, PER_SITE), 30, 320).round(4)
    return _Site(f"site {number:03d}", pixels, noisy, moisture, scene.lonlat)


def _weather(rng: np.random.Generator, dates: tuple[date, ...]) -> npt.NDArray[np.float64]:
    """Temperature in K and daily precipitation in m of every step, (steps, 2)."""
    season = np.array([np.cos(2 * np.pi * (day.timetuple().tm_yday - 200) / 365) for day in dates])
    temperature = 286 + rng.normal(0, 4) + 10 * season + rng.normal(0, 1.5, len(dates))
    precipitation = 1.2e-3 * np.exp(rng.normal(0, 0.4) - 0.6 * season + rng.normal(0, 0.7, len(dates)))
    return np.stack([temperature.round(4), precipitation.round(8)], axis=1)


def _greenness(numbers: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    red, infrared = numbers[:, _OPTICAL.index("B04")], numbers[:, _OPTICAL.index("B08")]
    return ((infrared - red) / (infrared + red)).round(6)


def _moisture(series: npt.NDArray[np.float64]) -> float:
    """Moisture in percent at the end of a series, (steps, columns), higher if it is green, wet and cool.

    The greenest image counts, because clouds hide green and make nothing greener.
    """
    warm = series[:, COLUMNS.index("TEMPERATURE_2M")].mean() - 286
    rain = np.log(series[:, COLUMNS.index("TOTAL_PRECIPITATION")].mean() / 1.2e-3)
    return float(75 + 80 * series[:, COLUMNS.index("NDVI")].max() + 14 * rain - 1.2 * warm)


def _feature(site: _Site, target: float, day: date) -> dict[str, Any]:
    properties = {"percent(t)": target, "site": site.name, "date": f"{day.isoformat()}T00:00:00"}
    point = {"type": "Point", "coordinates": list(site.lonlat)}
    return {"type": "Feature", "properties": properties, "geometry": point}


def _write(folder: Path, arrays: dict[str, list[Any]], features: list[dict[str, Any]]) -> None:
    (folder / "npy").mkdir(parents=True)
    for name, values in arrays.items():
        np.save(folder / "npy" / f"{'s1_s2_era5_srtm' if name == 'pixels' else name}.npy", np.array(values))
    labels = {"type": "FeatureCollection", "features": features}
    (folder / "single_file_labels.geojson").write_text(json.dumps(labels), encoding="utf-8")
