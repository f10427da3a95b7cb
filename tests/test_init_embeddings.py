"""The look at embeddings whose labels are in other files: columns, formats, and the tasks that they have rows for."""

from pathlib import Path

import geopandas
import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from geofm_eval.catalog import load_catalog
from geofm_eval.checking import check_embeddings
from geofm_eval.cli import app
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError
from geofm_eval.looking import EmbeddingDraft, append_entries, commands, draft_entry, draft_own
from tests.embedding_files import CLASSES
from tests.own_data import write_table
from tests.own_tasks import write_scene

COUNT, WIDTH = 30, 6
IDS = [f"p{number:02d}" for number in range(COUNT)]
FEATURES = np.random.default_rng(0).normal(size=(COUNT, WIDTH)).astype(np.float32)
LABELS = [CLASSES[number % 3] for number in range(COUNT)]
LON = [-3.0 + number / 1000 for number in range(COUNT)]
LAT = [40.6 + number % 5 / 1000 for number in range(COUNT)]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A catalog file with a task of labelled places without images."""
    columns = {"id": IDS, "crop": LABELS, "lon": LON, "lat": LAT}
    file = tmp_path / "my.toml"
    append_entries(file, draft_entry(write_table(tmp_path / "plots.csv", columns), "plots"))
    return file


def written(path: Path, file: Path, tasks: tuple[str, ...] = ()) -> EmbeddingDraft:
    """Append the entry of embeddings, and check that every sample has its own row."""
    draft = draft_own(path, load_catalog([file]), tasks=tasks)
    assert isinstance(draft, EmbeddingDraft)
    model = append_entries(file, draft)
    known = load_catalog([file])
    splits = open_splits(known.task("plots"))
    found = check_embeddings(known.model(model), known.task("plots"), splits)
    assert f"0 of {COUNT} samples have no row" in found.lines[-1]
    return draft


def lists_parquet(root: Path) -> Path:
    vectors = pa.array(FEATURES.tolist(), pa.list_(pa.float32()))
    parquet.write_table(pa.table({"id": IDS, "vector": vectors, "year": [2023] * COUNT}), root / "e.parquet")
    return root / "e.parquet"


def lists_json(root: Path) -> Path:
    return write_table(root / "e.jsonl", {"id": IDS, "embedding": FEATURES.tolist()})


def columns_csv(root: Path) -> Path:
    return write_table(root / "e.csv", {"plot": IDS, **{f"A{n}": FEATURES[:, n].tolist() for n in range(WIDTH)}})


def array(root: Path) -> Path:
    np.save(root / "e.npy", FEATURES)
    (root / "e.ids.txt").write_text("\n".join(IDS))
    return root / "e.npy"


def zarr_group(root: Path) -> Path:
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(root / "e.zarr", mode="w", zarr_format=2)
    group.create_array("features", data=FEATURES)
    group.create_array("id", data=np.array(IDS))
    return root / "e.zarr"


def geoparquet(root: Path) -> Path:
    """Rows with geometries whose only other column cannot be the ids of the samples."""
    places = geopandas.points_from_xy(LON, LAT, crs="EPSG:4326").to_crs("EPSG:32630")
    columns = {"tile": range(COUNT), **{f"A{n:02d}": FEATURES[:, n] for n in range(WIDTH)}}
    geopandas.GeoDataFrame(columns, geometry=places).to_parquet(root / "e.parquet")
    return root / "e.parquet"


def raster(root: Path) -> Path:
    pixels = np.random.default_rng(0).integers(1, 900, (WIDTH, 100, 300)).astype(np.uint16)
    write_scene(root / "e.tif", pixels, west=499_900, north=4_494_980)
    return root / "e.tif"


@pytest.mark.parametrize(
    ("write", "options"),
    [
        (lists_parquet, {"columns": "vector"}),
        (lists_json, {"columns": "embedding"}),
        (columns_csv, {"columns": "A*", "key": "plot"}),
        (array, {}),
        (zarr_group, {}),
        (geoparquet, {"columns": "A*", "key": "geometry"}),
    ],
)
def test_embeddings_find_the_task_that_they_have_rows_for(write, options: dict[str, str], file: Path):
    path = write(file.parent)
    draft = written(path, file)
    assert draft.options == {"file": str(path), **options}
    assert draft.tasks == ("plots", "plots_random")


def test_a_raster_is_sampled_at_the_places_of_a_task(file: Path):
    draft = written(raster(file.parent), file)
    assert (draft.architecture, draft.options) == ("pixels", {"raster": str(file.parent / "e.tif")})


def test_a_named_task_may_lack_rows_and_is_warned_about(file: Path):
    path = columns_csv(file.parent)
    path.write_text("\n".join(path.read_text().splitlines()[:-2]))
    with pytest.raises(DataError, match=r"lack rows that the tasks need \(plots: 2 of 30 samples have no row; "):
        draft_own(path, load_catalog([file]))
    draft = draft_own(path, load_catalog([file]), tasks=["plots"])
    assert draft.warnings == (
        "plots: 2 of 30 samples have no row; check refuses it, unless options.missing allows them",
    )


def test_embeddings_without_a_task_are_refused(file: Path):
    with pytest.raises(DataError, match=r"no labels and no task .* geofm-eval init LABELS, or name a task"):
        draft_own(columns_csv(file.parent), load_catalog())


def test_the_same_embeddings_are_not_added_twice(file: Path):
    written(array(file.parent), file)
    with pytest.raises(ContractError, match=r"has the entry \[models\.vectors01\] already"):
        draft_own(file.parent / "e.npy", load_catalog([file]))


def test_tasks_are_named_for_embeddings_only(file: Path):
    with pytest.raises(ContractError, match="--tasks is for embeddings, but none were found there"):
        draft_own(file.parent / "plots.csv", load_catalog([file]), tasks=["plots"])


def test_a_single_other_column_is_the_label_unless_a_task_has_these_samples(file: Path):
    columns = {"id": IDS, "agb": np.linspace(0.5, 90, COUNT).tolist(), **dict.fromkeys(["A0", "A1", "A2"], LAT)}
    path = write_table(file.parent / "both.csv", {**columns, "A3": LON})
    assert isinstance(draft_own(path, load_catalog([file])), EmbeddingDraft)
    assert draft_own(path, load_catalog()).task.kind == "regression"


def test_commands_for_embeddings_check_every_task_once(file: Path):
    draft = draft_own(array(file.parent), load_catalog([file]))
    model = append_entries(file, draft, "mine_v2")
    assert commands(load_catalog([file]), draft, file, model) == [
        f"geofm-eval check mine_v2 plots --catalog {file}",
        f"pytest benchmarks --catalog {file} --tasks plots,plots_random --models starter -q",
    ]


def test_the_command_adds_labels_and_then_their_embeddings(tmp_path: Path):
    write_table(tmp_path / "labels.csv", {"id": IDS, "crop": LABELS})
    words = ["init", str(tmp_path / "labels.csv"), "--name", "plots", "--into", str(tmp_path / "my own.toml")]
    first = CliRunner().invoke(app, words)
    assert "geofm-eval init EMBEDDINGS --into '" in first.output
    second = CliRunner().invoke(app, ["init", str(array(tmp_path)), *words[4:]])
    assert second.exit_code == 0, second.output
    assert "added [models.vectors01]" in second.output
    assert second.output.rstrip().endswith("my own.toml' --tasks plots --models starter -q")
