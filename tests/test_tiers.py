"""Stand-ins take what their tier says, measured as in benchmarks/studies/standins; and the measures themselves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from benchmarks.studies.standins.__main__ import main, table
from benchmarks.studies.standins.dense import PENALTIES, measure_dense, stacked
from benchmarks.studies.standins.reach import REACHES, STEPS, Reach, measure_reach, prepare
from benchmarks.studies.standins.score import StandinScore, score_maps
from geofm_eval.catalog import load_catalog
from geofm_eval.simulation.standins.oracle import oracle_map
from geofm_eval.workspace import Settings, Workspace


@pytest.fixture
def small() -> Workspace:
    """The catalog, its dense stand-ins with fewer items."""
    catalog = load_catalog()
    for slug in ("ai4smallfarms_sim", "sen1floods11_sim", "biomassters_sim"):
        catalog.tasks[slug] = catalog.tasks[slug].model_copy(update={"sizes": (16, 8, 12)})
    return Workspace(catalog, Settings())


def test_floods_are_seen_in_colours_and_bound_by_what_is_drawn(small: Workspace):
    found = measure_dense(small, "band_stats", "sen1floods11_sim")
    split = small.splits("sen1floods11_sim")["test"]
    oracle = score_maps(split, lambda item: oracle_map(split, item))
    assert found.low is not None
    assert 0.7 < found.low < found.value < oracle.value < 0.96


def test_outlines_of_fields_are_seen_in_the_neighbourhood_and_not_in_a_pixel(small: Workspace):
    colours, around = (measure_dense(small, model, "ai4smallfarms_sim") for model in ("band_stats", "rcf"))
    assert around.value > colours.value + 0.1


def test_the_dense_probe_of_biomass_is_that_of_scikit_learn(small: Workspace):
    splits = small.splits("biomassters_sim")
    fill = np.zeros(splits["train"].read(0).pixels.reshape(-1, 64, 64).shape[0], np.float32)
    rows, targets = {}, {}
    for name in ("train", "val", "test"):
        split = splits[name]
        # Items with gaps differ in what fills them; the others tell whether the fit is the same.
        whole = [i for i in range(len(split)) if np.isfinite(split.read(i).pixels).all()]
        rows[name] = np.concatenate([stacked(split, i, fill).reshape(-1, len(fill)) for i in whole])
        targets[name] = np.concatenate([split.read_target(i).ravel() for i in whole])
    scaler = StandardScaler().fit(rows["train"])
    known = {name: scaler.transform(values) for name, values in rows.items()}
    fits = [Ridge(alpha=c * len(rows["train"])).fit(known["train"], targets["train"]) for c in PENALTIES]
    best = min(fits, key=lambda fit: np.square(fit.predict(known["val"]) - targets["val"]).mean())
    expected = np.sqrt(np.square(best.predict(known["test"]) - targets["test"]).mean())
    found = measure_dense(small, "band_stats", "biomassters_sim")
    assert found.value == pytest.approx(expected, rel=0.15)
    assert found.low is not None
    assert found.low < found.value


@pytest.mark.parametrize("reach", REACHES)
def test_a_pixel_sees_as_far_as_it_is_said_to(reach: int):
    torch.manual_seed(0)
    network = Reach(3, 2, reach, dense=True).eval()
    pixels = torch.randn(1, 3, 101, 101, requires_grad=True)
    network(pixels)[0, 50, 50].abs().sum().backward()
    assert pixels.grad is not None
    seen = pixels.grad[0].abs().sum(0) > 0
    rows, columns = torch.nonzero(seen, as_tuple=True)
    assert (int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1) == (reach, reach)


def test_networks_learn_from_what_they_see(small: Workspace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(STEPS, "segmentation", 60)
    found = measure_reach(prepare(small.splits("sen1floods11_sim")), 1)
    assert found.value > 0.6


def test_the_table_says_what_was_not_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    task = load_catalog().task("fuel_moisture_sim")
    line = table([(task, {"oracle": StandinScore(0.8421, 0.7, 0.9)})]).splitlines()[-1]
    assert line == "| `fuel_moisture_sim` | r2 | - | - | - | - | - | - | 0.842 [0.700, 0.900] |"
    monkeypatch.setattr("sys.argv", ["standins", "--quick", "ai4smallfarms_sim", "--out", str(tmp_path / "table.md")])
    catalog = load_catalog()
    catalog.tasks["ai4smallfarms_sim"] = catalog.tasks["ai4smallfarms_sim"].model_copy(update={"sizes": (6, 4, 4)})
    monkeypatch.setattr("benchmarks.studies.standins.__main__.load_catalog", lambda: catalog)
    main()
    text = (tmp_path / "table.md").read_text()
    main()
    assert (tmp_path / "table.md").read_text() == text, "what was measured is kept"
    assert "1.000 [1.000, 1.000] |" in text.splitlines()[-1]
