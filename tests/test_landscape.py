"""Simulated landscapes: what a scene must keep whatever is asked for, and what its sensors must agree on."""

from datetime import date

import numpy as np
import pytest

from geofm_eval.errors import ContractError
from geofm_eval.simulation.scene.landscape import CROPS, LAND, Scene, simulate_scene
from geofm_eval.simulation.scene.legend import CODE
from geofm_eval.simulation.scene.palette import SAVANNA
from geofm_eval.simulation.scene.radar import LOOKS
from geofm_eval.simulation.scene.surface import sun

KINDS = ("flood", "crops", "burn", "marine", "smallfarms", "forest", "mixed")
SEASONS = (date(2021, 3, 1), date(2021, 5, 20), date(2021, 7, 20), date(2021, 9, 20))
NIR, RED, SWIR = 7, 3, 12


def clear(scene: Scene, position: int = 0) -> np.ndarray:
    return (scene.cloud[position] < 0.02) & ~scene.shadow[position]


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_is_the_same_whatever_else_is_asked_for(kind: str):
    one, again = (simulate_scene(kind, 3, size=32) for _ in range(2))
    for field in ("l1c", "l2a", "radar", "cloud", "land", "parcel", "flooded", "burned", "debris", "biomass", "heat"):
        np.testing.assert_array_equal(getattr(one, field), getattr(again, field), err_msg=field)
    assert not np.array_equal(one.l1c, simulate_scene(kind, 4, size=32).l1c)
    assert not np.array_equal(one.l1c, simulate_scene(kind, 3, size=32, seed=1).l1c)
    savanna = simulate_scene(kind, 3, size=32, palette=SAVANNA)
    # The land of two scenes at sea may both be all water.
    assert not np.array_equal(one.land + one.debris, savanna.land + savanna.debris)


def test_a_date_looks_the_same_whichever_others_are_asked_for():
    series, alone = (
        simulate_scene("crops", 5, size=32, dates=SEASONS),
        simulate_scene("crops", 5, size=32, dates=SEASONS[2:3]),
    )
    np.testing.assert_array_equal(series.l1c[2], alone.l1c[0])
    np.testing.assert_array_equal(series.radar[2], alone.radar[0])
    np.testing.assert_array_equal(series.land, alone.land)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_values_are_those_of_the_sensors(kind: str):
    scene = simulate_scene(kind, 1, size=48, dates=SEASONS[:2])
    assert scene.l1c.shape == scene.l2a.shape == (2, 13, 48, 48)
    assert scene.radar.shape == (2, 2, 48, 48)
    assert scene.l1c.dtype == scene.radar.dtype == scene.biomass.dtype == np.float32
    assert scene.l1c.min() >= 1
    assert scene.l1c.max() < 28_001
    assert not scene.l2a[:, 10].any()
    assert 0 <= scene.cloud.min() <= scene.cloud.max() <= 1
    assert scene.land.min() >= 0
    assert scene.land.max() < len(LAND)
    assert -45 < scene.radar.mean() < 0
    assert 270 < scene.heat.mean() < 330
    assert scene.biomass.min() >= 0


def test_scenes_of_a_block_share_its_name_and_others_do_not():
    assert simulate_scene("flood", 2, size=16).block == simulate_scene("flood", 14, size=16).block == "event02"
    assert simulate_scene("mixed", 2, size=16, block="mine").block == "mine"


def test_correction_to_the_surface_takes_off_the_light_of_the_air():
    scene = simulate_scene("crops", 6)
    seen = clear(scene)
    blue = (scene.l1c[0, 1] - scene.l2a[0, 1])[seen]
    assert np.median(blue) > 200, "air adds most in blue"
    assert np.corrcoef(scene.l1c[0, NIR][seen], scene.l2a[0, NIR][seen])[0, 1] > 0.99


def test_speckle_has_the_looks_that_it_says():
    linear = []
    for number in range(12):
        scene = simulate_scene("marine", number)
        water = scene.debris[:] == 7
        if water.sum() > 500:
            power = 10 ** (scene.radar[0, 0][water] / 10)
            linear.append(power.mean() ** 2 / power.var())
    assert np.median(linear) == pytest.approx(LOOKS, rel=0.15)


def test_clouds_and_shadows_are_seen_by_optics_alone():
    pairs = [(s := simulate_scene("mixed", n), s.cloud[0] > 0.7) for n in range(60)]
    clouded = [(s, thick) for s, thick in pairs if thick.sum() > 200 and (~thick).sum() > 200]
    assert len(clouded) >= 5
    brighter = [s.l1c[0, 1][c].mean() / np.median(s.l1c[0, 1][clear(s)]) for s, c in clouded if clear(s).any()]
    assert min(brighter) > 1.8
    # Thin cloud brightens the rim of a shadow, and land differs: compare woods with woods under a clear sky.
    woods = {n: [] for n in ("lit", "shadowed")}
    for scene, _ in clouded:
        cloudless = (scene.cloud[0] < 0.02) & (scene.land == CODE["broadleaf"])
        woods["shadowed"].append(scene.l2a[0, NIR][cloudless & scene.shadow[0]])
        woods["lit"].append(scene.l2a[0, NIR][cloudless & ~scene.shadow[0]])
    assert np.median(np.concatenate(woods["shadowed"])) < 0.7 * np.median(np.concatenate(woods["lit"]))
    # The same land under cloud and in the open gives the radar the same echo, on average over scenes.
    forest = [
        np.median(s.radar[0, 1][c & (s.land == 11)]) - np.median(s.radar[0, 1][~c & (s.land == 11)])
        for s, c in clouded
        if (c & (s.land == 11)).sum() > 50 and (~c & (s.land == 11)).sum() > 50
    ]
    assert abs(np.median(forest)) < 1.5


def test_shadows_lie_away_from_the_sun():
    azimuth, _ = sun(SEASONS[2], 48.0)
    offsets = []
    for number in range(80):
        scene = simulate_scene("flood", number, size=48, dates=SEASONS[2:3])
        cloud, shadow = scene.cloud[0] > 0.45, scene.shadow[0]
        if not (20 < cloud.sum() < 900 and shadow.sum() > 20):
            continue
        offsets.append(np.argwhere(shadow).mean(0) - np.argwhere(cloud).mean(0))
    down, right = np.mean(offsets, axis=0)
    assert len(offsets) > 8
    towards = np.array([-np.cos(azimuth), np.sin(azimuth)])  # row and column of the direction to the sun
    assert np.dot([down, right], towards) < 0


def test_flood_water_is_dark_for_radar_and_in_the_near_infrared():
    scenes = [simulate_scene("flood", n) for n in range(10)]
    open_land = [(s, ~s.flooded & clear(s) & (s.land > 1) & (s.land < 11)) for s in scenes]
    wet = [(s, s.flooded & clear(s) & (s.land < 11)) for s in scenes]
    take = lambda pairs, read: np.concatenate([read(s)[m] for s, m in pairs])  # noqa: E731
    vv, nir = (lambda s: s.radar[0, 0]), (lambda s: s.l2a[0, NIR])
    assert np.median(take(wet, vv)) < np.median(take(open_land, vv)) - 3
    assert np.median(take(wet, nir)) < 0.5 * np.median(take(open_land, nir))


def test_scars_are_dark_in_the_near_infrared_and_keep_their_short_wave_light():
    scenes = [simulate_scene("burn", n) for n in range(10)]
    ratio = lambda s: (s.l2a[0, NIR] - s.l2a[0, SWIR]) / (s.l2a[0, NIR] + s.l2a[0, SWIR])  # noqa: E731
    burned = np.concatenate([ratio(s)[s.burned & clear(s)] for s in scenes])
    alive = np.concatenate([ratio(s)[~s.burned & clear(s) & (s.land > 1) & (s.land < 14)] for s in scenes])
    assert np.median(burned) < np.median(alive) - 0.2


def test_crops_are_told_apart_by_their_seasons_and_hardly_on_one_date():
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    def fields(numbers: range) -> tuple[np.ndarray, np.ndarray]:
        rows, kinds = [], []
        for number in numbers:
            scene = simulate_scene("crops", number, size=48, dates=SEASONS, block="one")
            seen = (scene.cloud < 0.02).all(0) & ~scene.shadow.any(0)
            index = (scene.l2a[:, NIR] - scene.l2a[:, RED]) / (scene.l2a[:, NIR] + scene.l2a[:, RED])
            for parcel in np.unique(scene.parcel[scene.parcel > 0]):
                where = (scene.parcel == parcel) & seen
                kind = np.bincount(scene.land[scene.parcel == parcel]).argmax()
                if where.sum() >= 12 and LAND[kind] in CROPS:
                    rows.append(index[:, where].mean(1))
                    kinds.append(kind)
        return np.array(rows), np.array(kinds)

    (x, y), (u, v) = fields(range(20)), fields(range(20, 35))
    series = LinearDiscriminantAnalysis().fit(x, y).score(u, v)
    single = max(LinearDiscriminantAnalysis().fit(x[:, [d]], y).score(u[:, [d]], v) for d in range(len(SEASONS)))
    assert series > 0.6
    assert single < series - 0.15


def test_biomass_and_heat_follow_the_land():
    scenes = [simulate_scene("mixed", n) for n in range(12)]
    land = np.concatenate([s.land.ravel() for s in scenes])
    biomass, heat = (np.concatenate([getattr(s, name).ravel() for s in scenes]) for name in ("biomass", "heat"))
    wood = np.isin(land, [CODE["broadleaf"], CODE["conifer"]])
    built = np.isin(land, [CODE["building"], CODE["road"], CODE["paved"]])
    assert biomass[wood].mean() > 5 * biomass[~wood].mean()
    assert heat[built].mean() > heat[wood].mean() + 2


def test_unknown_kinds_and_no_dates_are_refused():
    with pytest.raises(ContractError, match="kind of landscape 'desert' is unknown; expected one of flood"):
        simulate_scene("desert", 0)
    with pytest.raises(ContractError, match="at least one date"):
        simulate_scene("crops", 0, dates=())
    for dates in ((SEASONS[1], SEASONS[0]), (SEASONS[0], SEASONS[0])):
        with pytest.raises(ContractError, match="do not ascend; sort them"):
            simulate_scene("crops", 0, dates=dates)
