"""Own data from their files to a ranking: folds in the cache and in records, and how much a random split flatters."""

import csv
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import Case, Catalog, TaskSpec, load_catalog
from geofm_eval.datasets import open_splits
from geofm_eval.measure.case import measure_case
from geofm_eval.paths import geofm_cache
from geofm_eval.report.collation import collate
from geofm_eval.report.probes.random_split import random_split_sentence
from geofm_eval.results.random_splits import compare_random_splits
from geofm_eval.workspace import Settings, Workspace
from tests.folded_data import numbers, opened, recorded, swept, task

READER = """
import numpy as np
from geofm_eval.data.items import Item, Pool

def read(task, root):
    names = sorted(root.glob("*.npy"))
    items = [Item(path.stem, path, int(path.stem[1:]) % 2, lonlat=(int(path.stem[1:]) * 0.1, 5.0)) for path in names]
    return Pool(root, tuple(items), lambda item: np.load(item.path))
"""


def autocorrelated(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places in sixty clusters with a label each, and features that tell the cluster, but not the class."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(60), 5)
    places = rng.uniform(0, 8, (60, 2))[cluster] + rng.uniform(0, 0.01, (300, 2))
    labels = rng.integers(0, 3, 60)[cluster]
    features = rng.normal(size=(60, 40))[cluster] + 0.3 * rng.normal(size=(300, 40))
    return places, labels, features.astype(np.float32)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_a_random_split_flatters(tmp_path: Path, kind: str, without_figures: None) -> None:
    places, labels, features = autocorrelated(0)
    probe = "knn" if kind == "classification" else "ridge"
    make = numbers if kind == "regression" else task
    target = labels + 0.1 * np.random.default_rng(1).normal(size=300) if kind == "regression" else labels
    specs = {}
    for slug, split in (("mine", "blocks"), ("mine_random", "random")):
        spec = make(slug=slug, split=split, variant_of=None if slug == "mine" else "mine", block_m=20_000.0)
        spec = spec.model_copy(update={"label_fractions": (1.0,)})
        splits = opened(spec, target, places=places)
        assert splits["all"].rule["by"] == split
        for model in ("one", "two"):
            noise = np.random.default_rng(len(model)).normal(size=(2, 300, 40)).astype(np.float32)
            taps = {"block00": features + 0.5 * noise[0], "final": features + 0.2 * noise[1]}
            run = recorded(swept(probe, spec, splits, taps), spec, splits, tmp_path / "run", model)  # type: ignore[arg-type]
        specs[slug] = spec
    catalog = load_catalog()
    known = Catalog(catalog.models, {**catalog.tasks, **specs}, catalog.recipes, catalog.adaptations)
    (found,) = compare_random_splits(run, known)
    assert found.models == ("one", "two")
    assert found.difference.value == pytest.approx(found.random_score - found.block_score)
    assert found.difference.low is not None
    assert found.difference.low > 0.05
    sentence = random_split_sentence(found)
    assert sentence.startswith("A random split flatters mine by ")
    assert "mean over 2 models at their chosen taps; block split " in sentence
    collation = collate(run.folder, known)
    assert collation.text.count(sentence) == 2
    page = (run.folder / "tables" / f"mine-{probe}-ranking.md").read_text()
    assert sentence in page
    assert "Split: by blocks, block_m 20000, from entry" in page
    assert "folds)" in page
    again = compare_random_splits(run, catalog)
    assert [one.difference for one in again] == [found.difference], "the same data are recognised"


def own_task(tmp_path: Path) -> TaskSpec:
    (tmp_path / "reader.py").write_text(READER)
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(60):
        image = rng.normal(1000 + 400 * (number % 2), 100, (2, 8, 8)).astype(np.float32)
        np.save(folder / f"s{number:02d}.npy", image)
    return TaskSpec.model_validate(
        {
            "slug": "mine",
            "title": "Mine",
            "reader": f"{tmp_path / 'reader.py'}:read",
            "root": str(folder),
            "bands": ("B04", "B08"),
            "product": "L2A",
            "classes": ("low", "high"),
            "label_fractions": (0.2, 1.0),
            "draws": 2,
        }
    )


def test_own_data_from_files_to_a_record(tmp_path: Path) -> None:
    spec, catalog = own_task(tmp_path), load_catalog()
    known = Catalog(catalog.models, {"mine": spec}, catalog.recipes, catalog.adaptations)
    workspace = Workspace(known, Settings())
    record = measure_case(workspace, Case("probe", "band_stats", "mine", "linear", "final"))
    assert record.provenance.protocol == "folds"
    assert record.provenance.split_rule["by"] == "blocks"
    assert record.evidence == "own"
    assert {key: len(score.per_draw) for key, score in record.scores.items()} == {"0.2": 2, "1.0": 1}
    assert record.scores["1.0"].n == 60
    assert record.scores["1.0"].value > 0.9
    assert record.selection is not None
    choices = [(one.fraction, one.draw, one.fold) for one in record.selection.choices]
    assert choices == [*((0.2, i // 5, i % 5) for i in range(10)), *((1.0, 0, i) for i in range(5))]


def test_splits_are_written_to_the_cache(tmp_path: Path) -> None:
    spec = own_task(tmp_path)
    folded = open_splits(spec)["all"]
    open_splits(spec)
    (path,) = (geofm_cache() / "splits").glob("*.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert {row["id"]: int(row["fold"]) for row in rows} == dict(zip(folded.ids, folded.folds, strict=True))
    assert all(row["group"].startswith("block ") for row in rows)
    open_splits(spec.model_copy(update={"protocol": "holdout"}))
    other = next(one for one in (geofm_cache() / "splits").glob("*.csv") if one != path)
    counts = [row["split"] for row in csv.DictReader(other.read_text().splitlines())]
    assert {name: counts.count(name) for name in set(counts)} == {"train": 36, "val": 12, "test": 12}
