"""Embeddings in tables: every format gives the same features bit for bit, and bad input ends in a clear message."""

import json
import logging

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fixtures.cases import throughput_cases
from geofm_eval.catalog import Case, compatible, drift_cases, load_catalog, probe_cases, similarity_cases, tune_cases
from geofm_eval.catalog.notes import notes_of
from geofm_eval.data.embeddings.source import EmbeddingSource
from geofm_eval.data.embeddings.tables import open_table
from geofm_eval.errors import ContractError, DataError, GeofmError, Unavailable
from geofm_eval.gaps import model_gap
from geofm_eval.measure import Context, measurement_of
from geofm_eval.probes.job import differ_in_target
from tests.embedding_files import WIDTH, plots, write_lists, write_npy


@pytest.fixture
def made(tmp_path):
    return plots(tmp_path)


def features_of(made, slug="own", task="plots", tap="final"):
    """Features of all splits by id."""
    blocks = made.workspace().blocks(slug, task)
    return {one: row for block in blocks.values() for one, row in zip(block.ids, block.features(tap), strict=True)}


def assert_exact(made, found):
    assert set(found) == set(made.ids)
    np.testing.assert_array_equal(np.stack([found[one] for one in made.ids]), made.features)


def message(made, slug="own", task="plots"):
    """Message of the error of an entry."""
    with pytest.raises(GeofmError) as caught:
        made.workspace().blocks(slug, task)
    text = str(caught.value)
    assert len(text.replace(str(made.folder), "")) <= 400
    return text


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.csv.gz", "a.tsv"])
def test_columns_named_by_letters_and_a_number_are_the_embedding(made, name):
    if name.endswith(".tsv"):
        lines = ["id\tA00\tA01\tA02\tA03\tA04\tA05\tnote"]
        lines += [
            "\t".join([one, *(repr(float(v)) for v in row), "x"])
            for one, row in zip(made.ids, made.features, strict=True)
        ]
        (made.folder / name).write_text("\ufeff" + "\n".join(lines), encoding="utf-8")
    else:
        made.write(name, made.table())
    assert_exact(made, features_of(made.model("own", f'{{ file = "{name}" }}')))


@pytest.mark.parametrize("lists", [False, True])
def test_json_lines_hold_columns_or_lists(made, lists):
    rows = zip(made.ids, made.features.tolist(), strict=True)
    values = ({"e": row} if lists else {f"e{n}": value for n, value in enumerate(row)} for _, row in rows)
    lines = [json.dumps({"id": one, **found}) for one, found in zip(made.ids, values, strict=True)]
    (made.folder / "a.jsonl").write_text("\n".join(lines))
    assert_exact(made, features_of(made.model("own", '{ file = "a.jsonl" }')))


def test_a_column_of_lists_is_the_embedding(made):
    made.write("a.parquet", write_lists(made))
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))
    assert_exact(made, features_of(made.model("other", '{ file = "a.parquet", columns = "vector" }'), "other"))


@pytest.mark.parametrize("as_json", [False, True])
def test_npy_files_have_their_ids_beside_them(made, as_json):
    write_npy(made, "a.npy", as_json)
    assert_exact(made, features_of(made.model("own", '{ file = "a.npy" }')))


def test_endings_may_be_in_capitals_and_ids_belong_to_the_identity(made):
    (made.folder / write_npy(made, "a.npy")).rename(made.folder / "a.NPY")
    source = EmbeddingSource(made.model("own", '{ file = "a.NPY" }').workspace().catalog.model("own"))
    before = source.sha256()
    assert_exact(made, features_of(made))
    (made.folder / "a.ids.txt").write_text("\n".join(made.ids[::-1]), encoding="utf-8")
    assert source.sha256() != before


def test_the_ids_of_an_npy_file_may_be_in_another_file(made):
    np.save(made.folder / "a.npy", made.features)
    (made.folder / "names.txt").write_text("\n".join(made.ids), encoding="utf-8")
    assert_exact(made, features_of(made.model("own", '{ file = "a.npy", ids = "names.txt" }')))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_groups_have_arrays_of_ids_and_embeddings(made, version):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(made.folder / "a.zarr", mode="w", zarr_format=version)
    group.create_array("features", data=made.features)
    group.create_array("id", data=np.array([int(one) + 1000 for one in made.ids]))
    labels = (made.folder / "labels.csv").read_text().splitlines()
    lines = [labels[0], *(str(int(line[:3]) + 1000) + line[3:] for line in labels[1:])]
    (made.folder / "labels.csv").write_text("\n".join(lines))
    found = features_of(made.model("own", '{ file = "a.zarr" }'))
    assert_exact(made, {f"{int(one) - 1000:03d}": row for one, row in found.items()})


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(60)), lists=st.booleans())
def test_the_order_of_rows_and_surplus_rows_make_no_difference(made, order, lists):
    """A law: features belong to ids, not to places in a file."""
    rows = np.array([*order, *order[:0]])
    values = np.vstack([made.features[rows], np.ones((1, WIDTH), np.float32)])
    ids = [made.ids[row] for row in rows] + ["surplus"]
    table = pa.table({"id": ids, "v": values.tolist()}) if lists else made.table(values, ids)
    made.write("a.parquet", table)
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))


def test_a_table_of_the_features_of_a_block_gives_the_same_scores_bit_for_bit(made):
    made.write("a.parquet", made.table())
    first = made.model("own", '{ file = "a.parquet" }').workspace()
    blocks = first.blocks("own", "plots")
    order = np.random.default_rng(1).permutation(len(made.ids))
    ids = np.array([one for block in blocks.values() for one in block.ids])[order]
    values = np.concatenate([block.features("final") for block in blocks.values()])[order]
    made.write("b.csv.gz", made.table(values, list(ids), prefix="e"))
    second = made.model("again", '{ file = "b.csv.gz" }').workspace()
    one, other = first.sweep("own", "plots", "linear"), second.sweep("again", "plots", "linear")
    assert one.key != other.key
    for mine, theirs in zip(one.rows, other.rows, strict=True):
        assert (mine.test_score, mine.val_score, mine.chosen) == (theirs.test_score, theirs.val_score, theirs.chosen)
        np.testing.assert_array_equal(mine.outcomes, theirs.outcomes)


def test_several_files_are_the_depths_of_one_model(made):
    half = made.features / 2
    made.write("early.parquet", made.table(half))
    made.write("last.parquet", made.table())
    made.model("own", '{ taps = { final = "last.parquet", block05 = "early.parquet", embed = "early.parquet" } }')
    workspace = made.workspace()
    spec = workspace.catalog.model("own")
    assert spec.taps == ("embed", "block05", "final")
    assert (spec.depth, spec.poolings, spec.is_control) == (1, ("mean",), False)
    block = workspace.block("own", "plots", "test")
    assert block.taps == spec.taps
    np.testing.assert_array_equal(block.features("block05") * 2, block.features("final"))
    assert {case.layer for case in probe_cases(workspace.catalog, "extended", models=["own"])} == set(spec.taps)


def test_several_files_are_groups_of_samples(made):
    lines = (made.folder / "labels.csv").read_text().splitlines()
    named = [lines[0], *(f"{'iowa' if n < 30 else 'amazon'}/{n % 30}{line[3:]}" for n, line in enumerate(lines[1:]))]
    (made.folder / "labels.csv").write_text("\n".join(named))
    for name, rows in (("iowa", slice(0, 30)), ("amazon", slice(30, 60))):
        made.write(f"{name}.csv.gz", made.table(made.features[rows], [str(n) for n in range(30)]))
    found = features_of(made.model("own", '{ files = ["iowa.csv.gz", "amazon.csv.gz"] }'))
    for number, row in enumerate(made.features):
        np.testing.assert_array_equal(found[f"{'iowa' if number < 30 else 'amazon'}/{number % 30}"], row)


@pytest.mark.parametrize("shift", [0.0, 4e-5])
def test_rows_are_found_by_place(made, shift):
    """4e-5 degrees of latitude are 4.4 m."""
    table = made.table().drop(["id"])
    lon = 10 + np.arange(60) / 100
    lat = 50 + np.arange(60) % 7 / 100 + shift
    table = table.append_column("lon", pa.array(lon)).append_column("lat", pa.array(lat))
    made.write("a.parquet", table)
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet", key = "geometry", tolerance_m = 5 }')))
    if shift:
        made.model("own", '{ file = "a.parquet", key = "geometry", tolerance_m = 4 }')
        assert "60 of 60 samples of plots have no embedding (60 without a row near them)" in message(made)


def test_rows_are_found_by_the_points_of_a_geoparquet_file_in_its_crs(made):
    geopandas = pytest.importorskip("geopandas")
    lon, lat = 10 + np.arange(60) / 100, 50 + np.arange(60) % 7 / 100
    frame = geopandas.GeoDataFrame(
        {f"e{n}": column for n, column in enumerate(made.features.T)},
        geometry=geopandas.points_from_xy(lon, lat),
        crs="EPSG:4326",
    ).to_crs("EPSG:32632")
    frame.to_parquet(made.folder / "a.parquet")
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet", key = "geometry", tolerance_m = 0.5 }')))


def test_two_rows_at_one_place_are_refused(made):
    table = made.table().drop(["id"])
    table = table.append_column("lon", pa.array(np.full(60, 10.0))).append_column("lat", pa.array(np.full(60, 50.0)))
    made.write("a.parquet", table)
    made.model("own", '{ file = "a.parquet", key = "geometry" }')
    assert "two rows are equally near to sample '000'" in message(made)


def test_missing_samples_are_refused_with_ids_of_both_sides(made):
    made.write("a.parquet", made.table(ids=[f"x{one}" for one in made.ids]))
    text = message(made.model("own", '{ file = "a.parquet" }'))
    assert "60 of 60 samples of plots have no embedding (60 without a row), at most 0 allowed" in text
    assert "000, 0" in text
    assert "ids without a sample: x000, x001, x002" in text


def test_surplus_rows_are_counted_and_refused_beyond_the_limit(made):
    values, ids = np.vstack([made.features, made.features[:2]]), [*made.ids, "far", "away"]
    made.write("a.parquet", made.table(values, ids))
    made.model("own", '{ file = "a.parquet", surplus = 2 }').model("strict", '{ file = "a.parquet", surplus = 1 }')
    assert made.workspace().block("own", "plots", "test").meta["surplus"] == {"final": 2}
    text = message(made, "strict")
    assert "2 of 62 rows belong to no sample of plots, for example far, away; at most 1 allowed" in text


def test_white_space_around_ids_does_not_count(made):
    made.write("a.parquet", made.table(ids=[f" {one}\t" for one in made.ids]))
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))


def test_files_are_read_once_for_all_splits(made, monkeypatch):
    made.write("a.parquet", made.table())
    read, original = [], EmbeddingSource.looked_up
    monkeypatch.setattr(EmbeddingSource, "looked_up", lambda *given: read.append(len(given[1])) or original(*given))
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))
    assert read == [60]


def test_few_missing_samples_get_the_mean_of_their_split(made, caplog):
    made.write("a.parquet", made.table(made.features[1:], made.ids[1:]))
    with caplog.at_level(logging.INFO):
        found = features_of(made.model("own", '{ file = "a.parquet", missing = 1 }'))
    train = [number for number in range(1, 60) if number // 3 % 5 < 3]
    np.testing.assert_allclose(found["000"], made.features[train].mean(0, dtype=np.float64), rtol=1e-6)
    assert "1 of 60 samples have no row and get the mean of their split" in caplog.text
    made.write("a.parquet", made.table(made.features[2:], made.ids[2:]))
    assert "2 of 60 samples of plots have no embedding (2 without a row), at most 1 allowed" in message(made)


@pytest.mark.parametrize(
    ("value", "words"),
    [(np.nan, "NaN, infinite or empty"), (np.inf, "NaN, infinite or empty"), (1e300, "NaN, infinite or empty")],
)
def test_values_that_are_not_finite_are_refused_with_counts(made, value, words):
    values = made.features.astype(np.float64)
    values[3:5, 2] = value
    made.write("a.parquet", made.table(values))
    text = message(made.model("own", '{ file = "a.parquet" }'))
    assert words in text
    assert "embeddings of 2 of 60 samples of plots" in text
    assert "003, 004" in text


@pytest.mark.parametrize("rows", ["ragged", "null"])
def test_lists_of_several_lengths_and_empty_lists_are_refused(made, rows):
    values = made.features.tolist()
    values[7] = None if rows == "null" else values[7][:-1]
    made.write("a.parquet", write_lists(made, values))
    made.model("own", '{ file = "a.parquet" }')
    wanted = "embeddings of 1 of 60 samples" if rows == "null" else f"have {WIDTH} and {WIDTH - 1} values"
    assert wanted in message(made)


def test_duplicate_ids_are_refused(made):
    made.write("a.csv", made.table(ids=["001", *made.ids[1:]]))
    assert "several rows have the id '001'" in message(made.model("own", '{ file = "a.csv" }'))


def test_duplicate_ids_that_belong_to_no_sample_are_counted(made):
    values, ids = np.vstack([made.features, made.features[:2]]), [*made.ids, "other", "other"]
    made.write("a.csv", made.table(values, ids))
    block = made.model("own", '{ file = "a.csv" }').workspace().block("own", "plots", "train")
    assert (block.meta["rows"]["final"], block.meta["surplus"]["final"]) == (62, 2)


def test_text_in_a_numeric_column_is_refused(made):
    lines = ["id,A00,A01", *(f"{one},{'cloudy' if one == '050' else 1.5},2.5" for one in made.ids)]
    (made.folder / "a.csv").write_text("\n".join(lines))
    text = message(made.model("own", '{ file = "a.csv" }'))
    assert "1 of 2 columns of the embedding are not numeric: A00" in text


@pytest.mark.parametrize("decimal", [".", ","])
def test_semicolons_separate_columns_too(made, decimal):
    lines = ["ID;A00"]
    for one, row in zip(made.ids, made.features, strict=True):
        lines.append(f"{one};{float(row[0])!r}".replace(".", decimal))
    (made.folder / "a.csv").write_text("\n".join(lines))
    found = features_of(made.model("own", '{ file = "a.csv" }'))
    assert found["004"].tolist() == [made.features[4, 0]]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ('{ file = "a.parquet", key = "chip" }', "there is no column 'chip'; the columns are id, A00"),
        ('{ file = "a.parquet", columns = "B*" }', "no column fits 'B*'"),
        ('{ file = "a.parquet", columns = ["A*", "note"] }', "are not numeric: note"),
        ('{ file = "two.parquet" }', "several groups of columns may be the embedding: A* (6), B* (6)"),
        ('{ file = "none.parquet" }', "found no columns named by letters and a number"),
        ('{ file = "a.npy" }', "the ids of its rows are missing; expected a.ids.txt"),
        ('{ file = "cube.npy" }', "expected numbers of (rows, channels)"),
        ('{ file = "torn.parquet" }', "the table cannot be read"),
        ('{ file = "a.xlsx" }', "found the ending '.xlsx', expected .parquet"),
        ('{ file = "plain.parquet", key = "geometry" }', "the rows have no places"),
        (
            '{ file = "metres.parquet", key = "geometry", lon = "x", lat = "y" }',
            "row 1: lon and lat are 500000 and 500000, expected degrees",
        ),
    ],
)
def test_bad_tables_are_refused(made, options, words):
    made.write("a.parquet", made.table())
    made.write("plain.parquet", made.table())
    both = made.table(prefix="B").drop(["id", "Area", "note"])
    two = made.table()
    for name in both.column_names:
        two = two.append_column(name, both.column(name))
    made.write("two.parquet", two)
    made.write("none.parquet", pa.table({"id": made.ids}))
    place = pa.array(np.full(60, 5e5))
    made.write("metres.parquet", made.table().append_column("x", place).append_column("y", place))
    np.save(made.folder / "a.npy", made.features)
    np.save(made.folder / "cube.npy", made.features[None])
    for name in ("torn.parquet", "a.xlsx"):
        (made.folder / name).write_bytes(b"PAR1 torn")
    assert words in message(made.model("own", options))


def test_an_absent_file_is_reported_as_missing_data(made):
    made.model("own", '{ file = "absent.parquet" }')
    workspace = made.workspace()
    gap = model_gap(workspace.catalog.model("own"))
    assert gap is not None
    assert gap.kind == "data"
    with pytest.raises(Unavailable, match=r"absent\.parquet"):
        workspace.blocks("own", "plots")


def test_paths_are_relative_to_the_home_if_the_catalog_file_has_no_such_file(made, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    made.write("a.parquet", made.table())
    (made.folder / "a.parquet").rename(home / "a.parquet")
    monkeypatch.setenv("GEOFM_HOME", str(home))
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))


@pytest.mark.parametrize(
    ("options", "more", "words"),
    [
        ("{ }", "", "give one of file, files and taps, found none"),
        ('{ file = "a.csv", files = ["b.csv"] }', "", "found file and files"),
        ('{ taps = { layer5 = "a.csv" } }', "", "tap 'layer5' is unknown"),
        ('{ file = "../a.csv" }', "", "leaves its folder by '..'"),
        ('{ file = "/vsicurl/http://a.csv" }', "", "is a virtual GDAL path"),
        ('{ file = "a.csv", column = "A*" }', "", "options.column"),
        ('{ file = "a.csv" }', 'embedding = { product_versions = "1" }', "product_versions"),
        ('{ file = "a.csv" }', "random_seed = 0", "has no network"),
        ('{ file = "a.csv" }', 'bands = ["B04"]', "remove bands"),
    ],
)
def test_entries_are_checked_as_they_are_read(made, options, more, words):
    with pytest.raises(ContractError) as caught:
        made.model("own", options, more).workspace()
    assert words in str(caught.value)
    assert len(str(caught.value).replace(str(made.folder), "")) <= 400


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ("[]", "tasks is missing"),
        ('["plotz"]', "task 'plotz' is unknown; did you mean plots"),
        ('["sen1floods11_sim"]', "has one label per pixel"),
    ],
)
def test_the_tasks_of_an_entry_must_exist_and_have_a_label_per_sample(made, tasks, words):
    with pytest.raises(ContractError, match="tasks") as caught:
        made.model("own", '{ file = "a.csv" }', tasks=tasks).workspace()
    assert words in str(caught.value)


def test_two_versions_of_a_product_are_never_mixed(made):
    files = '[{ file = "a.csv", product_version = "1.0" }, { file = "b.csv", product_version = "1.1" }]'
    with pytest.raises(ContractError, match=r"product_version is declared as 1\.0 and 1\.1"):
        made.model("own", f"{{ files = {files} }}").workspace()
    made.write("a.parquet", made.table().replace_schema_metadata({"product_version": "2"}))
    made.model("own", '{ file = "a.parquet" }', 'embedding = { product_version = "1" }')
    assert "product_version is declared as 1 and 2" in message(made)


def test_only_probes_and_similarity_are_listed_for_tables(made):
    made.model("own", '{ taps = { block00 = "a.csv", block01 = "b.csv" } }', tasks='["plots", "eurosat_sim"]')
    catalog = made.workspace().catalog
    probes = probe_cases(catalog, "extended", models=["own"])
    assert {case.task for case in probes} == {"plots", "eurosat_sim"}
    assert {case.layer for case in probes} == {"block00", "block01"}
    assert throughput_cases(probes, catalog) == ()
    trained = tune_cases(catalog, "extended", models=["own"], tasks=["eurosat_sim"], adaptations=["pooled_full_p100"])
    assert trained == []
    assert drift_cases(catalog, trained) == []
    assert len(similarity_cases(catalog, probes)) == 2
    others = [model.slug for model in catalog.models.values() if compatible(model, catalog.task("plots"))]
    assert others == ["own"], "models that read pixels cannot be measured on a task without images"


def test_a_case_is_measured_and_says_what_it_read(made):
    ids = [*made.ids, "surplus"]
    made.write("a.parquet", made.table(np.vstack([made.features, made.features[:1]]), ids))
    stated = 'embedding = { product_version = "1", product_year = 2024, quantised = "int8" }'
    workspace = made.model("own", '{ file = "a.parquet" }', stated).workspace()
    record = measurement_of(Context(workspace), Case("probe", "own", "plots", "linear", "final")).record
    inputs = record.provenance.inputs
    assert record.provenance.weights_source == "table:a.parquet"
    assert (record.cost.parameters, record.cost.images_per_second) == (None, None)
    extra = inputs.model_extra
    assert (extra["rows"], extra["surplus"], extra["missing"]) == (61, 1, 0)
    assert extra["embedding"] == {"product_version": "1", "product_year": 2024, "quantised": "int8"}
    assert record.scores["1.0"].value > 0.5


def test_classes_and_numbers_of_the_same_samples_are_solved_apart(made):
    made.write("a.parquet", made.table())
    workspace = made.model("own", '{ file = "a.parquet" }', tasks='["plots", "heights"]').workspace()
    plots, heights = (workspace.catalog.task(slug) for slug in ("plots", "heights"))
    assert not differ_in_target(heights, plots)
    assert workspace.sweep("own", "heights", "ridge").rows[0].test_score > 0.9


def test_int8_is_refused_for_embeddings_that_the_entry_declares_as_quantised(made):
    stated = 'embedding = { quantised = "int8 sign(x)(q/127.5)^2" }'
    workspace = made.model("own", '{ file = "absent.parquet" }', stated).workspace()
    with pytest.raises(ContractError, match=r"own: its entry states embedding.quantised = 'int8 sign"):
        workspace.sweep("own", "plots", "linear_int8")


def test_similarity_reads_the_files_again(made):
    made.write("a.parquet", made.table())
    made.write("b.parquet", made.table(np.tanh(made.features)))
    workspace = made.model("own", '{ taps = { block00 = "b.parquet", final = "a.parquet" } }').workspace()
    case = Case("similarity", "own", "plots", "frozen", "multi")
    found = measurement_of(Context(workspace), case).record.similarity
    assert found.reloaded == pytest.approx(1)
    assert found.batches == 0


def test_changed_files_and_options_give_other_blocks(made):
    made.write("a.parquet", made.table())
    keys = {made.model("own", '{ file = "a.parquet" }').workspace().block("own", "plots", "train").key}
    keys.add(
        made.model("own", '{ file = "a.parquet", columns = ["A00"] }').workspace().block("own", "plots", "train").key
    )
    made.write("a.parquet", made.table(made.features + 1))
    keys.add(made.model("own", '{ file = "a.parquet" }').workspace().block("own", "plots", "train").key)
    assert len(keys) == 3


def test_a_copy_of_the_file_elsewhere_has_the_same_block(made):
    made.write("a.parquet", made.table())
    made.write("b.parquet", made.table())
    workspace = made.model("own", '{ file = "a.parquet" }').model("copy", '{ file = "b.parquet" }').workspace()
    assert workspace.block("own", "plots", "test").key == workspace.block("copy", "plots", "test").key


def test_notes_say_what_the_scores_do_not_mean(made):
    stated = (
        'notes = ["Sentinel-1 is an input of this model"]\n'
        'embedding = { product_version = "1.0", product_year = 2023, inputs = ["VV", "VH"], quantised = "int8" }'
    )
    made.model("own", '{ file = "a.csv" }', stated, tasks='["plots", "heights"]')
    catalog = made.workspace().catalog
    model, update = catalog.model("own"), {"label_year": 2024, "label_source": "model"}
    heights, cover = (catalog.task(slug).model_copy(update=update) for slug in ("heights", "plots"))
    notes = "\n".join(notes_of([model, model], heights))
    assert notes.count("own: Sentinel-1 is an input of this model") == 1
    assert "own: the target is an input of this model (VV)" in notes
    assert "measured on a product (version 1.0, 2023) do not carry over to the model behind it" in notes
    assert "the product is of 2023, the labels are of 2024" in notes
    assert "The labels come from a model" in notes
    assert "the target is an input" not in "\n".join(notes_of([model], cover))
    assert notes_of([load_catalog().model("band_stats")], load_catalog().task("eurosat_sim")) == ()


def test_a_column_of_a_large_table_is_read_in_batches(made, monkeypatch):
    """Memory is flat: a batch has at most MOST_VALUES numbers, and only the asked columns are read."""
    monkeypatch.setattr("geofm_eval.data.embeddings.tables.MOST_VALUES", 1024 * WIDTH)
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, WIDTH)).astype(np.float32)
    values[::350][: len(made.ids)][:58] = made.features[:58]
    ids = [f"other{number}" for number in range(20_000)]
    for number in range(58):
        ids[number * 350] = made.ids[number]
    ids[1], ids[2] = made.ids[58], made.ids[59]
    values[1], values[2] = made.features[58], made.features[59]
    made.write("a.parquet", made.table(values, ids))
    table = open_table(made.folder / "a.parquet")
    sizes = [(len(batch), batch.num_columns) for batch in table.batches({"A00": pa.float64()}, WIDTH)]
    assert max(rows for rows, _ in sizes) <= 1024
    assert {columns for _, columns in sizes} == {1}
    assert_exact(made, features_of(made.model("own", '{ file = "a.parquet" }')))


def test_a_parquet_file_is_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("geofm_eval.data.embeddings.tables.MOST_VALUES", 20_000 * 8)
    rng = np.random.default_rng(0)
    values = pa.table({f"A{number}": rng.random(300_000, np.float32) for number in range(8)})
    parquet.write_table(values, tmp_path / "a.parquet", row_group_size=20_000)
    kinds = dict.fromkeys(values.column_names)
    size, before = values.nbytes, pa.total_allocated_bytes()
    batches = open_table(tmp_path / "a.parquet").batches(kinds, 8)
    held = [pa.total_allocated_bytes() - before for _ in batches]
    assert len(held) >= 15
    assert max(held) < size / 2
    assert max(held[10:]) < 1.1 * max(held[:3])


@pytest.mark.parametrize("damage", ["torn", "chunk"])
def test_a_damaged_archive_of_zarr_is_named(made, damage):
    zarr = pytest.importorskip("zarr")
    path = made.folder / "a.zarr.zip"
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.open_group(store, mode="w", zarr_format=2)
        group.create_array("features", data=made.features, compressors=None)
        group.create_array("id", data=np.array(made.ids))
    whole = path.read_bytes()
    at = whole.index(made.features.tobytes()[:64])
    path.write_bytes(whole[: len(whole) // 2] if damage == "torn" else whole[:at] + b"x" * 64 + whole[at + 64 :])
    assert "a.zarr.zip: not a readable zarr group" in message(made.model("own", '{ file = "a.zarr.zip" }'))


def test_zarr_arrays_with_a_codec_that_may_run_code_are_refused(made):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(made.folder / "a.zarr", mode="w", zarr_format=2)
    group.create_array("features", data=made.features)
    path = made.folder / "a.zarr" / "features" / ".zarray"
    path.write_text(json.dumps({**json.loads(path.read_text()), "compressor": {"id": "pickle"}}))
    with pytest.raises(DataError, match="uses the codec pickle"):
        open_table(made.folder / "a.zarr")
