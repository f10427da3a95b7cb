"""Draw the figures in docs/standins.md: ``python -m benchmarks.studies.standins.pictures docs/images``."""

import sys
from datetime import date
from pathlib import Path

import matplotlib
import matplotlib.image
import numpy as np
from numpy.typing import NDArray

from geofm_eval.simulation.scene.landscape import LAND, MARINE, Scene, SceneKind, simulate_scene

matplotlib.use("Agg")

SIZE, COUNT, GAP = 72, 4, 3
SHOWN: dict[str, SceneKind] = {"flood": "flood", "burn": "burn", "marine": "marine", "smallfarms": "smallfarms"}
SEASONS = (date(2021, 1, 15), date(2021, 4, 15), date(2021, 7, 15), date(2021, 10, 15))


def colours(scene: Scene, day: int = 0) -> NDArray[np.float64]:
    """Return true colours (S, S, 3) of L1C; for burn scars, shortwave infrared, near infrared and red of L2A."""
    if scene.kind == "burn":
        return np.asarray(np.clip(np.moveaxis(scene.l2a[day][[12, 8, 3]], 0, -1) / 4000.0, 0, 1))
    return np.asarray(np.clip((np.moveaxis(scene.l1c[day][[3, 2, 1]], 0, -1) - 300.0) / 2700, 0, 1) ** 0.8)


def radar(scene: Scene, day: int = 0) -> NDArray[np.float64]:
    """Return VV from -25 dB (black) to 0 dB (white), (S, S, 3)."""
    return np.repeat(np.clip((scene.radar[day][0] + 25.0) / 25, 0, 1)[..., None], 3, axis=-1)


def labels(scene: Scene) -> NDArray[np.float64]:
    """Return the labels of the scene as colours (S, S, 3)."""
    tab = matplotlib.colormaps["tab20"]
    if scene.kind in ("flood", "burn"):
        mask = scene.flooded if scene.kind == "flood" else scene.burned
        return np.repeat(mask[..., None].astype(float), 3, axis=-1)
    if scene.kind == "marine":
        return np.asarray(tab(scene.debris / len(MARINE))[..., :3])
    if scene.kind == "smallfarms":
        return np.where(scene.parcel[..., None] > 0, tab(scene.parcel % 20 / 20.0)[..., :3], 0.0)
    return np.asarray(tab(scene.land / len(LAND))[..., :3])


def sheet(rows: list[list[NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Arrange equal-sized images in rows with white gaps, enlarged twofold."""
    small = np.concatenate([np.concatenate([_framed(part) for part in row], axis=1) for row in rows])
    return small.repeat(2, axis=0).repeat(2, axis=1)


def _framed(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.pad(picture, ((0, GAP), (0, GAP), (0, 0)), constant_values=1.0)


def main() -> None:
    """Write one sheet of events and one of time series."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in SHOWN.items():
        scenes = [simulate_scene(kind, number, size=SIZE) for number in range(COUNT)]
        picture = sheet([[draw(scene) for scene in scenes] for draw in (colours, radar, labels)])
        matplotlib.image.imsave(folder / f"standin_{name}.png", picture)
    scenes = [simulate_scene(kind, 1, size=SIZE, dates=SEASONS) for kind in ("crops", "forest", "mixed")]
    seasons = [[colours(scene, day) for day in range(len(SEASONS))] + [labels(scene)] for scene in scenes]
    matplotlib.image.imsave(folder / "standin_seasons.png", sheet(seasons))


if __name__ == "__main__":
    main()
