"""Tables of trained decoders: planted effects are found, intervals are paired, what is missing is named."""

import csv
import io
import itertools
from dataclasses import replace

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.factors.levels import _complete, best_cases, factors
from geofm_eval.factors.marginal import effects, pooled
from geofm_eval.records import (
    CaseInfo,
    Cost,
    IntervalInfo,
    Outcome,
    Provenance,
    Record,
    RunInfo,
    RunManifest,
    Score,
    SeedTraining,
    Training,
    write_manifest,
    write_record,
)
from geofm_eval.report.collation import collate
from geofm_eval.report.trainings.pareto import fronts
from geofm_eval.report.trainings.tables import clear, factorial_table, over_twin, ranking_table
from geofm_eval.results.run import read_run
from geofm_eval.results.trainings import comparable_trainings
from geofm_eval.stats.counts import Term, contrast_interval, count_interval, count_score

CATALOG = load_catalog()
TASK = "sen1floods11_sim"
MODELS = ("pocket_mae", "pocket_contrast", "pocket_random")
IMAGES, PIXELS = 24, 1000
WIDTH = {"single_w064": 0, "lightms": 2, "upernet_w064": 5}
"""Points of accuracy that a decoder is planted to bring."""


def counts_of(model, adaptation, seeds=3):
    """Images of differing difficulty, the same for all; what is planted is added to the share of right pixels."""
    head, _, rest = adaptation.partition("_frozen" if "_frozen" in adaptation else "_full")
    right = 0.70 + 0.01 * WIDTH[head.removesuffix("_same")]
    right += 0.04 * ("_full" in adaptation) + 0.06 * rest.startswith("_p100") + 0.03 * (model == "pocket_contrast")
    right -= 0.05 * (model == "pocket_random")
    difficulty = np.random.default_rng(0).normal(0, 0.05, IMAGES)
    noise = np.random.default_rng([len(adaptation), len(model)]).normal(0, 0.002, (seeds, 1))
    hits = np.rint(np.clip(right + difficulty + noise, 0, 1) * PIXELS).astype(np.int64)
    row = np.stack([hits, PIXELS - hits], -1)
    return np.stack([row, row[..., ::-1]], -2)


def record_of(model, adaptation, layer, counts, metric="miou", seconds=10.0, task=TASK):
    values = count_score(counts, metric)
    interval = count_interval(counts, metric)
    fraction = 0.1 if "_p010" in adaptation else 1.0
    info = CaseInfo(
        kind="segment", model=model, task=task, adaptation=adaptation, layer=layer,
        id=f"{model}-{task}-{adaptation}-{layer}", task_version=1,
        markers=("sim", "trained", "dense", *(("control",) if "random" in model else ())),
    )  # fmt: skip
    seeds = tuple(SeedTraining(seed=i, rate=1e-3, epoch=5, val_score=float(v)) for i, v in enumerate(values))
    training = Training(
        decoder=adaptation.partition("_f")[0], tuning="full" if "_full" in adaptation else "frozen",
        taps=("block03", "block05", "block07", "block11") if layer == "multi" else ("block11",),
        recipe={"slug": "quick", "epochs": 30, "batch": 8}, rates=(1e-3,), window=64,
        chips={"train": 48, "val": 16, "test": IMAGES}, token_gsd_m=80.0, context_m=640.0, grid_ceiling=0.95,
        seeds=seeds,
    )  # fmt: skip
    score = Score(
        metric=metric, value=float(values.mean()), per_draw=tuple(map(float, values)), n=IMAGES, n_train=48,
        direction="lower" if metric == "rmse" else "higher",
        interval=IntervalInfo(low=interval.low, high=interval.high, method=interval.method, covers=interval.covers),
    )  # fmt: skip
    return Record(
        run=RunInfo(name="r"), case=info, outcome=Outcome(status="passed", verdict="no_range"),
        scores={repr(fraction): score}, training=training, evidence="simulated",
        cost=Cost(seconds={"encode": 1.0, "train": seconds}, parameters=1_000_000, trained_parameters=200_000),
        provenance=Provenance(seeds={"task": 3}, recipe={"slug": "probing"}),
    ), {"ids": np.array([str(i) for i in range(IMAGES)]), f"counts_{fraction!r}": counts}  # fmt: skip


def write_study(folder, leave_out=()):
    planned = []
    for model in MODELS:
        for head in WIDTH:
            for tuning in ("frozen", "full"):
                for percent in ("p010", "p100"):
                    adaptation = f"{head}_{tuning}_{percent}"
                    layer = "block11" if head.startswith("single") else "multi"
                    planned.append(f"test_segment[{model}-{TASK}-{adaptation}-{layer}]")
                    if (model, adaptation) in leave_out:
                        continue
                    seconds = {"single_w064": 5.0, "lightms": 20.0, "upernet_w064": 30.0}[head] * (
                        1 + 9 * (tuning == "full")
                    )
                    made = record_of(model, adaptation, layer, counts_of(model, adaptation), seconds=seconds)
                    write_record(*made, folder)
    write_manifest(folder, RunManifest(name="r", cases=tuple(planned)))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_study(tmp_path_factory.mktemp("run") / "r")


@pytest.fixture(scope="module")
def trained(run):
    (found,), problems = comparable_trainings(read_run(run))
    assert problems == []
    return found


def test_planted_effects_are_recovered_with_paired_intervals(trained, run):
    found = {effect.contrast: effect for effect in pooled(effects(trained, CATALOG))}
    tuned = found["full - frozen"]
    # Six decoders and fractions of two models; four points of accuracy are about five of IoU.
    assert len(tuned.pairs) == 12
    expected = np.mean(
        [
            count_score(counts_of(model, f"{head}_full_{p}"), "miou").mean()
            - count_score(counts_of(model, f"{head}_frozen_{p}"), "miou").mean()
            for model in MODELS[:2]
            for head in WIDTH
            for p in ("p010", "p100")
        ]
    )
    assert tuned.difference.value == pytest.approx(expected)
    assert 0 < tuned.difference.low < expected < tuned.difference.high < 0.15
    assert clear(tuned) == "yes"
    assert found["lightms - upernet_w064"].difference.high < 0
    assert found["100 % - 10 %"].difference.low > 0
    assert found["pretrained - random twin"].difference.low > 0
    assert set(found) == {
        "full - frozen", "100 % - 10 %", "lightms - upernet_w064", "single at the last block - upernet_w064",
        "pretrained - random twin",
    }  # fmt: skip


def test_validation_chooses_levels_and_test_says_what_they_are_worth(trained, run):
    found = {factor.name: factor.levels for factor in factors(trained, CATALOG)}
    names = {name: [level.name for level in own] for name, own in found.items()}
    assert names == {
        "backbone": ["pocket_contrast", "pocket_mae"],
        "decoder": ["upernet_w064", "lightms", "single_w064 on block11 of 12"],
        "tuning": ["full", "frozen"],
        "tuning of lightms, 100 %": ["full", "frozen"],
    }
    backbone = found["backbone"]
    assert [(level.chosen, len(level.cells)) for level in backbone] == [(True, 12), (False, 12)]
    pairs = list(zip(backbone[1].cells, backbone[0].cells, strict=True))
    assert all(one.address[1:] == other.address[1:] for one, other in pairs)
    expected = np.mean([one.score.value - other.score.value for one, other in pairs])
    behind = backbone[1].behind
    assert behind.value == pytest.approx(expected)
    assert behind.low < expected < behind.high < 0
    assert (backbone[0].behind.low, backbone[0].behind.high) == (0, 0)


def test_models_of_other_depths_share_places_and_poor_levels_are_left_out(tmp_path):
    folder = write_study(tmp_path / "r")
    for layer in ("block01", "block02", "block03"):  # of four: as deep as blocks 5, 7 and 11 of twelve
        for tuning in ("frozen", "full"):
            for percent in ("p010", "p100"):
                slug = f"single_w064_{tuning}_{percent}"
                write_record(*record_of("galileo_nano", slug, layer, counts_of("galileo_nano", slug)), folder)
    for slug in ("lightms_frozen_p100", "tokenlinear_frozen_p100"):
        counts = counts_of("galileo_nano", "lightms_frozen_p100")
        write_record(*record_of("galileo_nano", slug, "block03" if slug[0] == "t" else "multi", counts), folder)
    (trained,), _ = comparable_trainings(read_run(folder))
    found = {factor.name: factor for factor in factors(trained, CATALOG)}
    # Of the others there is the last block alone: all blocks are compared on the four cells of the shallow model.
    places = {level.name: {cell.layer for cell in level.cells} for level in found["block"].levels}
    assert places == {"block05 of 12": {"block01"}, "block07 of 12": {"block02"}, "block11 of 12": {"block03"}}
    decoder = found["decoder"]
    assert "tokenlinear" in decoder.left_out
    assert "single_w064 on block11 of 12" in {level.name for level in decoder.levels}


def test_what_is_compared_does_not_depend_on_scores(trained):
    cells = list(trained.cells[:6])
    wanted = {"a": [0, 1], "b": [2, 3], "c": [0, 1]}  # b shares nothing with the others
    for order in itertools.permutations("abc"):
        known = [(level, shared) for level in order for shared in wanted[level]]
        key = dict(zip(map(id, cells), known, strict=True))
        found, left_out = _complete(replace(trained, cells=tuple(cells)), lambda cell, key=key: key[id(cell)])
        assert (sorted(found), left_out) == (["a", "c"], ("b",))


def test_a_twin_that_models_share_is_one_training(trained, run):
    found = {effect.contrast: effect for effect in pooled(effects(trained, CATALOG))}
    shared = found["pretrained - random twin"].difference
    terms = []
    for head in WIDTH:
        for tuning in ("frozen", "full"):
            for percent in ("p010", "p100"):
                slug = f"{head}_{tuning}_{percent}"
                terms += [Term(1 / 24, counts_of(model, slug), "miou") for model in MODELS[:2]]
                terms.append(Term(-2 / 24, counts_of("pocket_random", slug), "miou"))
    expected = contrast_interval(terms)
    assert shared.low == pytest.approx(expected.low, abs=1e-9)
    assert shared.high == pytest.approx(expected.high, abs=1e-9)


def test_levels_are_compared_on_the_cells_that_all_have(tmp_path):
    folder = write_study(tmp_path / "r", leave_out={("pocket_mae", "lightms_full_p100")})
    (trained,), _ = comparable_trainings(read_run(folder))
    found = {factor.name: factor.levels for factor in factors(trained, CATALOG)}
    assert {len(level.cells) for level in found["backbone"]} == {11}
    assert {len(level.cells) for level in found["decoder"]} == {7}
    lightms = found["tuning of lightms, 100 %"]
    assert [[cell.model for cell in level.cells] for level in lightms] == [["pocket_contrast"]] * 2


def test_the_best_case_is_the_best_on_validation(trained):
    few, whole = best_cases(trained)
    assert (few.model, few.name) == ("pocket_contrast", "upernet_w064_full_p010-multi")
    assert (whole.model, whole.name) == ("pocket_contrast", "upernet_w064_full_p100-multi")


def test_an_effect_is_the_interval_of_its_contrast(trained, run):
    found = effects(trained, CATALOG)
    own = next(e for e in found if (e.contrast, e.model) == ("lightms - upernet_w064", "pocket_mae"))
    terms = []
    for tuning in ("frozen", "full"):
        for percent in ("p010", "p100"):
            terms += [
                Term(sign / 4, counts_of("pocket_mae", f"{head}_{tuning}_{percent}"), "miou")
                for sign, head in ((1, "lightms"), (-1, "upernet_w064"))
            ]
    expected = contrast_interval(terms)
    assert own.difference.low == pytest.approx(expected.low, abs=1e-9)
    assert own.difference.high == pytest.approx(expected.high, abs=1e-9)


def test_a_model_without_a_cell_drops_out_of_that_pair_and_is_named(tmp_path):
    folder = write_study(tmp_path / "r", leave_out={("pocket_mae", "lightms_full_p100")})
    (trained,), _ = comparable_trainings(read_run(folder))
    found = {e.contrast: e for e in pooled(effects(trained, CATALOG))}
    assert len(found["full - frozen"].pairs) == 11
    assert list(trained.left_out) == [f"pocket_mae-{TASK}-lightms_full_p100-multi"]
    text = collate(folder).text
    assert "without a score: 1 case (see the tables)" in text
    assert "no record of 1 of 36 planned cases" in text


def test_controls_take_no_part_in_effects_but_are_ranked(trained, run):
    assert not any("pocket_random" in name for e in effects(trained, CATALOG) for name in e.pairs)
    table = ranking_table(trained, CATALOG)
    assert sum("(control)" in row[1] for row in table.grid) == 12
    assert table.title.startswith("SIMULATED DATA")
    assert table.grid[0][1:3] == ["pocket_contrast", "upernet_w064_full_p100"]


def test_the_tuned_twin_of_equal_labels_is_the_baseline(trained, run):
    cell = next(c for c in trained.cells if c.address == ("pocket_mae", "lightms_frozen_p010", "multi"))
    found = over_twin(cell, trained, CATALOG)
    best = count_score(counts_of("pocket_random", "upernet_w064_full_p010"), "miou").mean()
    assert found.value == pytest.approx(cell.score.value - best)


def test_the_front_holds_what_nothing_cheaper_beats(trained):
    for fraction, best in fronts(trained).items():
        assert [cell.seconds for cell in best] == sorted(cell.seconds for cell in best)
        alike = [cell for cell in trained.cells if cell.adaptation.fraction == fraction]
        assert set(map(id, best)) <= set(map(id, alike))
        for cell in alike:
            beaten = any(one.seconds <= cell.seconds and one.quality > cell.quality for one in alike)
            assert (cell in best) <= (not beaten)


def test_the_factorial_has_a_column_per_tuning_and_labels(trained):
    table = factorial_table(trained, CATALOG)
    assert table.header[3:] == ["frozen, 10 %", "frozen, 100 %", "tuned, 10 %", "tuned, 100 %"]
    assert len(table.rows) == 9
    assert all(cell != "-" for row in table.grid for cell in row)


def test_narrow_and_wide_decoders_are_compared_apart(tmp_path):
    folder = tmp_path / "r"
    for adaptation in ("upernet_w064_frozen_p100", "lightms_frozen_p100"):
        write_record(*record_of("pocket_mae", adaptation, "multi", counts_of("pocket_mae", adaptation)), folder)
    wide = record_of("pocket_mae", "upernet_frozen_p100", "multi", counts_of("pocket_mae", "upernet_w064_frozen_p100"))
    write_record(*wide, folder)
    found, problems = comparable_trainings(read_run(folder))
    heads = [{cell.adaptation.head for cell in trained.cells} for trained in found]
    assert sorted(map(sorted, heads)) == [["lightms", "upernet"], ["lightms", "upernet_w064"]]
    assert "split in 2" in problems[0]


def test_of_an_error_less_is_better(tmp_path):
    folder, rng = tmp_path / "r", np.random.default_rng(0)
    for model, spread in (("pocket_mae", 10.0), ("pocket_contrast", 20.0)):
        error, target = rng.normal(0, spread, (3, IMAGES, 50)), rng.normal(100, 40, (3, IMAGES, 50))
        sums = np.stack([np.full((3, IMAGES), 50), *(p.sum(-1) for p in (error, error**2, target, target**2))], -1)
        made = record_of(model, "upernet_w064_frozen_p100", "multi", sums, "rmse", task="biomassters_sim")
        write_record(*made, folder)
    (trained,), _ = comparable_trainings(read_run(folder))
    assert [cell.model for cell in trained.cells] == ["pocket_mae", "pocket_contrast"]
    assert "RMSE" in collate(folder).text
    (backbone,) = factors(trained, CATALOG)
    assert [level.name for level in backbone.levels] == ["pocket_mae", "pocket_contrast"]
    assert best_cases(trained)[0].model == "pocket_mae"


def test_everything_is_written_and_linked(run):
    collation = collate(run)
    tables = run / "tables"
    for name in ("ranking", "choices", "factorial", "effects", "pareto", "blocks"):
        assert (tables / f"{TASK}-segment-{name}.md").read_text().startswith("# SIMULATED DATA")
        assert (tables / f"{TASK}-segment-{name}.tex").read_text().count(r"\begin{table}") == 1
        assert f"{TASK}-segment-{name}.md" in collation.index.read_text()
    rows = list(csv.DictReader(io.StringIO((tables / f"{TASK}-segment-cells.csv").read_text())))
    assert len(rows) == 36
    assert {row["evidence"] for row in rows} == {"simulated"}
    assert (run / "figures" / f"{TASK}-segment-pareto.png").stat().st_size > 10_000
    assert "marginal effects on mIoU (%), paired" in collation.text
    assert (
        "best on validation, 10 % of the labels: pocket_contrast upernet_w064_full_p010-multi, test" in collation.text
    )
    assert any(line.split()[:4] == ["tuning", "full", "-", "frozen"] for line in collation.text.splitlines())
