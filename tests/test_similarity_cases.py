"""Cases of similarity: which there are, what broken backbones do to them, and what becomes of their records."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import test_similarity as laws
from fixtures.runs import RunFolder
from fixtures.scheduler import group_of
from fixtures.session import context_of
from fixtures.suite import Suite, select_cases
from geofm_eval.catalog import load_catalog, probe_cases, similarity_cases, twin_of
from geofm_eval.catalog.marking import markers
from geofm_eval.datasets import open_splits
from geofm_eval.measure.case import Measurement
from geofm_eval.measure.similarity import SIMILARITY_VERSION, measure_similarity
from geofm_eval.measure.similarity_values import certainty_to_twin, evenly, some_of, to_matrix
from geofm_eval.records import Certainty, Channels, Similarity, pair_name, read_record, write_record
from geofm_eval.report.collation import collate
from geofm_eval.report.similarity import page as similarity_pages
from geofm_eval.similarity import cka, cka_matrix
from geofm_eval.workspace import Settings, Workspace
from tests.small_suite import OPTIONS, TASKS, write_images
from tests.synthetic_run import MODELS, make_record

CATALOG = load_catalog()
BLOCKS = ("block00", "block01", "block02")

MODEL = """
[models.{slug}]
title = "{slug}"
family = "{family}"
architecture = "backbone.py:build"
depth = 3
width = 8
bands = ["B04", "B03", "B02"]
product = "any"
normalisation = {{ high = 2750.0 }}
{more}
"""

BACKBONE = '''
"""Colours of patches through three random blocks; some slugs misbehave."""

import pathlib

import torch

from geofm_eval.backbones.base import Backbone, TokenLayout

LOADS = pathlib.Path(__file__).with_name("loads.txt")


class Small(Backbone):
    def __init__(self, spec, channels):
        super().__init__(spec.taps, spec.width)
        self.slug = spec.slug
        self.stem = torch.nn.Linear(channels, spec.width)
        self.blocks = torch.nn.ModuleList(torch.nn.Linear(spec.width, spec.width) for _ in range(3))

    def layout(self, batch):
        return TokenLayout((2, 2), prefix=0, groups=("all",))

    def forward(self, batch):
        patches = torch.nn.functional.adaptive_avg_pool2d(batch.pixels, (2, 2)).flatten(2).transpose(1, 2)
        tokens = self.stem(patches)
        if self.slug == "batchwise" and len(tokens) % 2:  # the first batch of a block is checked in even parts
            tokens = tokens * 1.05
        found = {"embed": tokens}
        for index, block in enumerate(self.blocks):
            tokens = tokens + 0.3 * torch.tanh(block(tokens))
            found[f"block{index:02d}"] = tokens
        if self.slug == "detour":
            found["block01"] = torch.sin(1e4 * tokens)
        return {**found, "final": tokens * float("nan") if self.slug == "nameless" else tokens.relu()}


def build(spec, channels):
    if spec.slug == "forgetful":
        with LOADS.open("a") as file:
            file.write("x")
        torch.manual_seed(LOADS.stat().st_size)
    return Small(spec, channels)
'''

RANDOM = "random_seed = {}"
MISSING = 'weights = {{ file = "weights/{}.safetensors", how_to_get = "Train it." }}'


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """Catalog of a few models, most of which misbehave, and one data set."""
    (tmp_path / "backbone.py").write_text(BACKBONE, encoding="utf-8")
    write_images(tmp_path / "data")
    more = {
        slug: ("control", RANDOM.format(3)) for slug in ("oak", "elm", "batchwise", "detour", "nameless", "forgetful")
    }
    more["elm"] = ("control", RANDOM.format(4))
    more["copied"] = ("reconstruction", RANDOM.format(3) + '\ntwin = "oak"')
    more["learnt"] = ("reconstruction", RANDOM.format(5) + '\ntwin = "oak"')
    more["absent"] = ("reconstruction", MISSING.format("absent"))
    models = "".join(MODEL.format(slug=slug, family=family, more=own) for slug, (family, own) in more.items())
    task = TASKS.format(task="colours", root=tmp_path / "data", fractions="[1.0]", variant="")
    (tmp_path / "small.toml").write_text(models + task, encoding="utf-8")
    return tmp_path / "small.toml"


def session(catalog: Path, *models: str, resume: bool = False) -> tuple[Workspace, Suite]:
    """A session that has selected these models."""
    known = load_catalog([catalog])
    cases = select_cases(replace(OPTIONS, models=models, tasks=("colours",)), known)
    run = RunFolder("run", catalog.parent / "run", resume)
    return Workspace(known, Settings()), Suite(OPTIONS, known, cases, run, "main")


def measured(catalog: Path, model: str, *models: str, resume: bool = False) -> Measurement:
    """The last of the selected models, or another, compared with those before it."""
    workspace, suite = session(catalog, *(models or (model,)), resume=resume)
    case = next(case for case in suite.cases["similarity"] if case.model == model)
    return measure_similarity(context_of(suite, workspace), case)


def similarity_of(measurement: Measurement) -> Similarity:
    found = measurement.record.similarity
    assert found is not None
    return found


def test_every_model_has_one_case_per_data_set() -> None:
    tasks = ("eurosat_sim", "sen1floods11_sim", "neuco_sim_random_reg", "neuco_sim_crops", "eurosat", "eurosat_spatial")
    probes = probe_cases(CATALOG, "study", models=["pocket_mae", "band_stats"], tasks=tasks)
    found = [case.id for case in similarity_cases(CATALOG, probes)]
    data = ("eurosat_sim", "neuco_sim_random_reg", "eurosat", "eurosat_spatial")
    assert found == [f"{model}-{task}-frozen-multi" for model in ("pocket_mae", "band_stats") for task in data]


def test_cases_are_selected_like_timings_and_run_beside_probes() -> None:
    alike = select_cases(OPTIONS, CATALOG)["similarity"]
    assert {case.task for case in alike} == {"eurosat_sim", "neuco_sim_biomass_mean", "fuel_moisture_sim"}
    assert markers(alike[0], CATALOG) == ("sim", "closed")
    assert select_cases(replace(OPTIONS, adaptations=("knn",)), CATALOG)["similarity"] == ()
    assert select_cases(replace(OPTIONS, layers=("final",)), CATALOG)["similarity"] == ()
    assert select_cases(replace(OPTIONS, layers=("multi",), tasks=("eurosat_sim",)), CATALOG)["similarity"] != ()
    group = group_of(CATALOG)
    probe = replace(alike[0], kind="probe", adaptation="linear", layer="final")
    assert group(f"test_similarity.py::{alike[0].nodename}") == group(f"test_probe.py::{probe.nodename}")


def test_twins_are_those_of_the_catalog() -> None:
    twins = {slug: twin_of(CATALOG, CATALOG.model(slug)) for slug in ("pocket_mae", "galileo_nano", "pocket_random")}
    assert twins == {"pocket_mae": "pocket_random", "galileo_nano": "galileo_nano_random", "pocket_random": None}


def test_a_sound_backbone_is_compared_with_those_before_it_and_its_twin(colours: Path) -> None:
    measurement = measured(colours, "learnt", "elm", "absent", "nameless", "learnt")
    laws.test_similarity(measurement)
    found = similarity_of(measurement)
    assert (found.n, found.twin, set(found.between)) == (30, "oak", {"elm", "oak"})
    assert "absent.safetensors" in found.absent["absent"]
    assert "not finite" in found.absent["nameless"]
    block = Workspace(load_catalog([colours]), Settings()).block("learnt", "colours", "test")
    expected = cka(block.features("block00"), block.features("final"))
    assert found.within.value("block00", "final") == pytest.approx(expected.debiased, abs=1e-6)
    names = {pair_name("block00", "block02"), *(pair_name(block, block, "oak") for block in BLOCKS)}
    assert set(found.certainty) == names
    assert all(one.error and one.z for one in found.certainty.values())
    assert found.to_twin.keys() == set(BLOCKS)
    assert measurement.record.evidence == "sample"
    assert set(measurement.record.cost.seconds) == {"compare", "repeat"}


def test_every_pair_is_computed_once(colours: Path) -> None:
    models = ("elm", "learnt", "oak")
    pairs = [(m, other) for m in models for other in similarity_of(measured(colours, m, *models)).between]
    assert pairs == [("learnt", "elm"), ("learnt", "oak"), ("oak", "elm")]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("forgetful", "reloaded weights give other features"),
        ("batchwise", "features depend on the batch size: by 0.0"),
        ("detour", "mean CKA of neighbours"),
        ("copied", "blocks equal those of the random twin oak, as if untrained: {'block00'"),
    ],
)
def test_a_broken_backbone_fails_its_case(colours: Path, model: str, message: str) -> None:
    with pytest.raises(AssertionError) as failure:
        laws.test_similarity(measured(colours, model))
    assert message in str(failure.value)


def test_resuming_takes_the_record_until_another_backbone_is_compared_with(colours: Path) -> None:
    first = measured(colours, "oak", "elm", "oak")
    write_record(first.record, None, colours.parent / "run")
    again = measured(colours, "oak", "elm", "oak", resume=True)
    assert again.reused
    assert again.record.similarity == first.record.similarity
    assert not measured(colours, "oak", resume=True).reused


def test_few_items_are_chosen_evenly_and_read_once(colours: Path) -> None:
    assert evenly(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly(1000, 4).tolist() == [0, 250, 500, 750]
    reads = []
    split = open_splits(load_catalog([colours]).task("colours"))["test"]
    counted = replace(split, load=lambda item: reads.append(item.id) or split.load(item))
    few = some_of(counted, evenly(len(split), 3))
    for place in (0, 1, 2, 0):
        np.testing.assert_array_equal(few.read(place).pixels, split.read([0, 10, 20][place]).pixels)
    assert reads == list(few.ids) == [split.ids[0], split.ids[10], split.ids[20]]


GOLDEN = (0.608881, 0.659163, 0.4998013, 0.0411368, 20.66786)
"""Debiased and biased CKA, and debiased CKA of other taps with its jackknife error and z."""

TAPS = ("embed", *(f"block{number:02d}" for number in range(4)), "final")


def features(seed: int) -> dict[str, np.ndarray]:
    """Layers that drift from a common start."""
    rng, values = np.random.default_rng(seed), np.random.default_rng(99).normal(size=(60, 8))
    found = {}
    for tap in TAPS:
        values = values + 0.3 * rng.normal(size=values.shape)
        found[tap] = values
    return found


def test_numbers_move_only_with_the_version() -> None:
    mine, theirs = ({tap: values.astype(np.float32) for tap, values in features(seed).items()} for seed in (1, 2))
    alike, sure = to_matrix(cka_matrix(mine, theirs)), certainty_to_twin(mine, "twin", theirs, None)
    last = sure[pair_name("block03", "block03", "twin")]
    assert SIMILARITY_VERSION == 1
    assert (alike.value("block00", "block03"), alike.biased[1][4]) == GOLDEN[:2]
    assert (last.value, last.error, last.z) == pytest.approx(GOLDEN[2:], rel=1e-5)


def similarity(seed: int, **more: object) -> Similarity:
    within = to_matrix(cka_matrix(features(seed)))
    own = Certainty(value=within.value("block00", "block03") or 0.0, error=0.02, null_mean=0.0, null_sd=0.01)
    values = {
        "n": 60,
        "pooling": "mean",
        "within": within,
        "certainty": {pair_name("block00", "block03"): own},
        "channels": {tap: Channels(participation=4.25) for tap in TAPS},
        "reloaded": 1.0,
        "batches": 0.0,
    }
    return Similarity(**{**values, **more})  # type: ignore[arg-type]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Three backbones, one with a twin that has a record of its own."""
    between = to_matrix(cka_matrix(features(1), features(2)))
    sure = {pair_name(tap, tap, "galileo_nano_random"): Certainty(value=0.5, error=0.01) for tap in TAPS[1:5]}
    found = similarity(
        1,
        twin="galileo_nano_random",
        between={"galileo_nano_random": between},
        one_channel={"galileo_nano_random": {"block02": 0.125}},
        absent={"dino_vits16": "weights unavailable: dino.pth"},
    )
    found = found.model_copy(update={"certainty": {**found.certainty, **sure}})
    write(tmp_path, "galileo_nano", found)
    write(tmp_path, "galileo_nano_random", similarity(2))
    return tmp_path


def write(folder: Path, slug: str, found: Similarity, recipe: str = "probing") -> Path:
    model = next(model for model in MODELS if model.slug == slug)
    record, _ = make_record(model, "eurosat_sim", "linear", "final")
    case = record.case.model_copy(
        update={
            "kind": "similarity",
            "adaptation": "frozen",
            "layer": "multi",
            "id": f"{slug}-eurosat_sim-frozen-multi",
        }
    )
    source = record.provenance.model_copy(update={"recipe": {"slug": recipe, "title": "Frozen probing"}})
    update = {"case": case, "scores": {}, "selection": None, "similarity": found, "provenance": source}
    return write_record(record.model_copy(update=update), None, folder)


def cells(run: Path, name: str) -> dict[str, list[str]]:
    lines = (run / "tables" / name).read_text(encoding="utf-8").splitlines()
    return {row[0]: row[1:] for line in lines if line.startswith("| ") for row in [line.strip("| ").split(" | ")]}


def test_a_run_gives_tables_values_and_heatmaps(run: Path) -> None:
    done = collate(run, CATALOG)
    row = cells(run, "eurosat_sim-similarity.md")["galileo_nano"]
    record = read_record(run / "similarity" / "galileo_nano-eurosat_sim-frozen-multi.json")
    found = record.similarity
    assert found is not None
    assert found.neighbours is not None
    assert row[:6] == [
        f"{found.neighbours:.3f}",
        f"{found.ends:.3f} ± 0.02 ({100 * (found.ends or 0):.0f})",
        *["0.500 ± 0.01"] * 3,
        "4.2",
    ]
    text = (run / "tables" / "eurosat_sim-similarity.md").read_text(encoding="utf-8")
    assert "one channel decides: block02 with galileo_nano_random" in text
    assert "say nothing about real imagery" in text
    assert "Not compared with: dino_vits16 (weights unavailable: dino.pth)." in text
    assert "60 samples of the test split" in text
    with (run / "tables" / "eurosat_sim-similarity.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * len(TAPS) ** 2
    own = next(
        r for r in rows if r["model"] != r["other"] and (r["model_tap"], r["other_tap"]) == ("block02", "block02")
    )
    assert float(own["debiased"]) == found.between["galileo_nano_random"].value("block02", "block02")
    assert (own["n"], own["one_channel_decides"], own["without_top_channel"]) == ("60", "true", "0.125")
    figures = {path.name for path in (run / "figures").glob("*.png")}
    assert figures == {"eurosat_sim-similarity-within.png", "eurosat_sim-similarity-twins.png"}
    index = done.index.read_text(encoding="utf-8")
    assert "[heatmaps twins](../figures/eurosat_sim-similarity-twins.png)" in index
    assert "neighbouring blocks: " in done.text
    assert "not compared with: dino_vits16" in done.text


def test_other_recipes_are_not_mixed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity_pages, "heatmap_figure", lambda *_: None)
    write(run, "mae_vits16", similarity(3), recipe="pangaea")
    done = collate(run, CATALOG)
    assert "mae_vits16" not in cells(run, "eurosat_sim-similarity-1.md")
    assert "mae_vits16" in cells(run, "eurosat_sim-similarity-2.md")
    assert any("records differ in recipe" in problem for problem in done.problems)
