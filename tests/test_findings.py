"""Verdicts on planted records; their rules have tests of their own."""

import csv
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.findings import Finding, decide_findings, interactions
from geofm_eval.findings.finding import joint
from geofm_eval.findings.heads import FIXED, PROBED, SAME
from geofm_eval.findings.layers import BEFORE_NORM
from geofm_eval.findings.means import Means, Pairing
from geofm_eval.records import content_of, read_record, record_path
from geofm_eval.report.collation import collate
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.store import write_json
from tests.planted.findings import (
    DENSE_TASKS,
    MODELS,
    TAPS,
    TASKS,
    everywhere,
    probe,
    probes,
    singles,
    trained,
)
from tests.planted.verdicts import PROFILE_TASKS

CATALOG = load_catalog()
LAYERS, PROFILES, HEADS = "the tap", "depth profiles", "a single-level"
"""Beginnings of the titles of findings."""


def found_in(folder: Path, title: str, evidence: str = "simulated") -> Finding:
    found = decide_findings(read_run(folder), CATALOG)
    (one,) = [f for f in found if f.title.startswith(title) and f.evidence == evidence]
    return one


def groups_of(finding: Finding) -> dict[str, tuple[int, bool]]:
    return {name: (len(own), own[0].counts) for name, own in finding.groups.items()}


# Layer gain


@pytest.mark.parametrize(
    ("gains", "how", "verdict"),
    [
        (everywhere(0.05), {}, "supported"),
        ({**everywhere(0.05), **everywhere(0.0, tasks=("t_one",))}, {}, "supported"),
        # Most gain nothing, whatever the others gain.
        ({**everywhere(0.05), **everywhere(0.0, tasks=("t_one", "t_two"))}, {}, "refuted"),
        # Most gain, by less than a point.
        (everywhere(0.005), {"n": 20000, "flips": 0.0001}, "refuted"),
        # Most gain a little, few a lot: the mean is no small one, and no verdict is right.
        ({**everywhere(0.005), **everywhere(0.05, tasks=("t_one",))}, {"n": 20000, "flips": 0.0001}, "undecided"),
        (everywhere(0.0), {}, "refuted"),
        (everywhere(0.0), {"n": 100, "flips": 0.2}, "undecided"),
        (everywhere(0.05, models=("m_one", "m_two")), {}, "not enough records"),
        (everywhere(0.05, tasks=("t_one", "t_two")), {}, "not enough records"),
        (everywhere(0.05), {"outcomes": False}, "not enough records"),
    ],
)
def test_gains_over_final_decide(tmp_path, gains, how, verdict):
    finding = found_in(probes(tmp_path, gains, **how), LAYERS)
    assert finding.verdict == verdict
    assert groups_of(finding) == {"linear": (len(gains), True), BEFORE_NORM: (len(gains), False)}
    if verdict == "not enough records":
        assert (finding.effect, finding.low, finding.high) == (None, None, None)
        assert "Needed: 5 cells from 3 data sets and 3 backbones. Missing: " in finding.why[0]
    else:
        assert finding.low < finding.effect < finding.high
        assert finding.effect == pytest.approx(100 * np.mean(list(gains.values())), abs=0.4 if "n" not in how else 20)


def test_cells_are_the_differences_of_the_ranking_tables(tmp_path, without_figures):
    collation = collate(probes(tmp_path, everywhere(0.05)))
    (finding,) = [one for one in collation.findings if one.title.startswith(LAYERS)]
    gains = {
        row.subject.record.case.model + "-" + row.subject.record.case.task: row.gain
        for ranking in collation.rankings
        for row in ranking.rows
    }
    for cell in (cell for cell in finding.cells if cell.counts):
        gain = gains[cell.id.removesuffix("-linear")]
        assert cell.contrast == "block01 - final"
        assert (cell.estimate, cell.low, cell.high) == pytest.approx(
            (100 * gain.value, 100 * gain.low, 100 * gain.high)
        )


def test_controls_variants_second_probes_and_control_targets_do_not_count(tmp_path):
    models = ("pocket_mae", "pocket_contrast", "pocket_distill")
    probes(tmp_path, everywhere(0.05, models, ("eurosat_sim", "neuco_sim_random_reg", "t", "t_two")))
    probes(tmp_path, everywhere(0.0, ("pocket_mae_seed1",), ("eurosat_sim",)))
    probes(tmp_path, everywhere(0.0, ("pocket_random",), ("eurosat_sim",)), control=True)
    for adaptation, pooling in (("knn", "mean"), ("linear_cls", "cls"), ("knn_cls", "cls")):
        probe(tmp_path, "pocket_mae", "eurosat_sim", 0.0, adaptation=adaptation, pooling=pooling)
    probe(tmp_path, "pocket_mae", "sen1floods11_sim", 0.05, pooling="tokens")
    finding = found_in(tmp_path, LAYERS)
    assert groups_of(finding) == {
        "linear": (9, True), "dense": (1, True), "control targets": (3, False), "controls": (1, False),
        "variants of models": (1, False), "kNN": (1, False), "cls pooling": (1, False), "kNN, cls pooling": (1, False),
        BEFORE_NORM: (10, False),
    }  # fmt: skip
    assert finding.verdict == "supported"


def test_a_variant_counts_where_it_stands_for_its_model(tmp_path):
    models = ("pocket_mae_seed1", "pocket_contrast", "pocket_distill")
    finding = found_in(probes(tmp_path, everywhere(0.05, models)), LAYERS)
    assert (finding.verdict, groups_of(finding)["linear"]) == ("supported", (9, True))


def test_evidence_classes_have_verdicts_of_their_own(tmp_path, without_figures):
    probes(tmp_path, everywhere(0.05, tasks=("a_sim", "b_sim", "e_sim")))
    probes(tmp_path, everywhere(0.0, tasks=("c", "d", "f")), evidence="published")
    probe(tmp_path, "pocket_mae", "c", 0.05, evidence="published")
    simulated, published = found_in(tmp_path, LAYERS), found_in(tmp_path, LAYERS, "published")
    assert (simulated.verdict, published.verdict) == ("supported", "refuted")
    assert {cell.id.split("-")[1] for cell in simulated.cells} == {"a_sim", "b_sim", "e_sim"}
    assert {cell.id.split("-")[1] for cell in published.cells} == {"c", "d", "f"}
    # A backbone that knows simulated scenes alone is no evidence about the published ones.
    assert groups_of(published)["pretrained on simulated scenes"] == (1, False)
    text = collate(tmp_path).text
    assert "beats final: supported (SIMULATED DATA)" in text
    assert "beats final: refuted (real data, published splits)" in text
    assert "nothing about published models" in text
    for model in ("m_one", "m_two"):
        assert model not in text[text.index("Findings (") : text.index("Cases:")]


def test_cells_on_the_same_items_are_one_data_set(tmp_path):
    tasks = ("t_one", "t_two", "t_three")
    probes(tmp_path, everywhere(0.05, tasks=tasks))
    for model, task in everywhere(0.05, tasks=tasks):
        for tap in TAPS:
            path = record_path(tmp_path, "probe", f"{model}-{task}-linear-{tap}")
            record = read_record(path)
            items = {"train": task, "test": "shared"}
            source = record.provenance.model_copy(update={"items_sha256": items})
            write_json(path, content_of(record.model_copy(update={"provenance": source})))
    finding = found_in(tmp_path, LAYERS)
    assert finding.verdict == "not enough records"
    assert "9 cells from 1 data set and 3 backbones with an interval" in finding.why[0]
    assert finding.why[0].endswith("Missing: 2 data sets.")


def test_the_mean_of_cells_on_one_split_is_that_of_all_its_pairs_together(tmp_path):
    probes(tmp_path, everywhere(0.05, tasks=("t_one",)), flips=0.02)
    finding_pairs = [
        tuple(read_record(record_path(tmp_path, "probe", f"{m}-t_one-linear-{tap}")) for tap in ("block01", "final"))
        for m in MODELS
    ]
    pairs = Pairs(tmp_path)
    expected = pairs.mean_difference([(*both, "1.0") for both in finding_pairs]).times(100)
    found = Means(pairs).over([Pairing(*both, "1.0") for both in finding_pairs])
    assert (found.value, found.low, found.high) == pytest.approx(
        (expected.value, expected.low, expected.high), rel=0.02
    )
    bound = joint([(1 / 3, pairs.difference(*both, "1.0").times(100), "") for both in finding_pairs])
    assert found.high - found.low < 0.8 * (bound.high - bound.low), "cells of one split do not err in step"


def test_the_mean_of_data_sets_adds_their_variances(tmp_path):
    probes(tmp_path, everywhere(0.05), flips=0.02)
    found = [
        Pairing(
            *(read_record(record_path(tmp_path, "probe", f"{m}-{t}-linear-{tap}")) for tap in ("block01", "final")),
            "1.0",
        )
        for m, t in everywhere(0.05)
    ]
    means = Means(Pairs(tmp_path))
    by_task = [means.over([one for one in found if one.first.case.task == task]) for task in TASKS]
    whole = means.over(found)
    halves = [(one.high - one.low) / 2 for one in by_task]
    assert whole.value == pytest.approx(np.mean([one.value for one in by_task]))
    assert (whole.high - whole.low) / 2 == pytest.approx(math.hypot(*halves) / 3, rel=0.01)


def test_a_mean_without_outcomes_has_no_interval_and_equal_outcomes_bound_it(tmp_path):
    probes(tmp_path / "known", everywhere(0.0, ("m_one",), ("t_one",)), flips=0.0)
    both = [
        read_record(record_path(tmp_path / "known", "probe", f"m_one-t_one-linear-{t}")) for t in ("block01", "final")
    ]
    bound = Means(Pairs(tmp_path / "known")).over([Pairing(*both, "1.0")])
    assert (bound.value, bound.low, bound.high) == pytest.approx((0.0, -0.18, 0.18), abs=0.01)  # 3.7 of 2,000
    same = Means(Pairs(tmp_path / "known")).over([Pairing(both[0], both[0], "1.0")])
    assert (same.low, same.high) == (0.0, 0.0)
    probes(tmp_path / "absent", everywhere(0.0, ("m_one",), ("t_one",)), outcomes=False)
    both = [
        read_record(record_path(tmp_path / "absent", "probe", f"m_one-t_one-linear-{t}")) for t in ("block01", "final")
    ]
    assert Means(Pairs(tmp_path / "absent")).over([Pairing(*both, "1.0")]).low is None


def test_cells_without_outcomes_are_counted_in_words(tmp_path):
    probes(tmp_path, everywhere(0.05))
    probes(tmp_path, everywhere(0.05, ("m_four",)), outcomes=False)
    finding = found_in(tmp_path, LAYERS)
    assert finding.verdict == "supported"
    assert "3 cells without per-sample outcomes have no interval." in finding.why


# Depth profiles


@pytest.mark.parametrize(
    ("profiles", "how", "verdict"),
    [
        ({"m_one": (0.0, 0.1, 0.0), "m_two": (0.1, 0.0, 0.0), "m_three": (0.0, 0.0, 0.1)}, {}, "supported"),
        (dict.fromkeys(("m_one", "m_two", "m_three"), (0.0, 0.1, 0.05)), {}, "refuted"),
        (dict.fromkeys(("m_one", "m_two", "m_three"), (0.0, 0.1, 0.05)), {"noise": 0.05}, "undecided"),
        ({"m_one": (0.0, 0.1, 0.0)}, {}, "not enough records"),
        # Two models and five draws have sixteen exchanges: no p below .05.
        ({"m_one": (0.0, 0.1, 0.0), "m_two": (0.1, 0.0, 0.0)}, {}, "not enough records"),
        ({"m_one": (0.0, 0.1, 0.0), "m_two": (0.1, 0.0, 0.0), "m_three": (0.0, 0.0, 0.1)}, {"draws": 1},
         "not enough records"),
    ],
)  # fmt: skip
def test_profiles_that_are_not_parallel_decide(tmp_path, profiles, how, verdict):
    for model, profile in profiles.items():
        probes(tmp_path, everywhere(0.0, (model,), PROFILE_TASKS), profile=profile, **how)
    finding = found_in(tmp_path, PROFILES)
    assert finding.verdict == verdict
    if verdict == "supported":
        planted = 100 * np.array(list(profiles.values()))
        left = planted - planted.mean(0) - planted.mean(1, keepdims=True) + planted.mean()
        assert finding.effect == pytest.approx(math.sqrt(np.square(left).sum() / 4), rel=0.05)
        assert finding.low < finding.effect < finding.high


def test_profiles_on_the_same_items_leave_a_draw_out_together():
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 1, (3, 4, 9))
    depth = np.sin(np.arange(12)).reshape(3, 4, 1)
    one, other = (
        interactions.interaction(3 * depth + noise + rng.normal(0, 0.1, noise.shape), tested=False) for _ in (0, 1)
    )
    same, apart = interactions.together([("a", one), ("a", other)]), interactions.together([("a", one), ("b", other)])
    alone = interactions.together([("a", one)])
    assert (alone.value, alone.low, alone.high) == pytest.approx((one.size, one.low, one.high))
    assert same.value == apart.value == pytest.approx(math.sqrt((one.variance + other.variance) / 2))
    assert same.high - same.low == pytest.approx(alone.high - alone.low, rel=0.1)
    assert apart.high - apart.low < 0.75 * (same.high - same.low)


def test_twins_and_variants_stand_beside_the_profiles(tmp_path):
    for number, model in enumerate(("pocket_mae", "pocket_contrast", "pocket_distill", "pocket_mae_seed1")):
        probes(tmp_path, everywhere(0.0, (model,)), profile=tuple(0.1 * (i == number % 3) for i in range(3)))
    probes(tmp_path, everywhere(0.0, ("pocket_random", "other_random")), control=True)
    assert groups_of(found_in(tmp_path, PROFILES)) == {
        "linear": (3, True), "random twins": (3, False), "a backbone and its random twin": (9, False),
        "a model and its variants": (3, False),
    }  # fmt: skip


def test_the_interaction_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (3, 4, 5)) + rng.normal(0, 1, (3, 4, 1)) + rng.normal(0, 2, (1, 4, 5))
    found = interactions.interaction(scores)
    m, b, d = scores.shape
    cells, draws = scores.mean(2), scores.mean(0)
    between = within = 0.0
    for i, j in itertools.product(range(m), range(b)):
        between += d * (cells[i, j] - cells[i].mean() - cells[:, j].mean() + cells.mean()) ** 2
        for k in range(d):
            expected = cells[i, j] + scores[i, :, k].mean() + draws[j, k]
            expected -= cells[i].mean() + cells[:, j].mean() + draws[:, k].mean() - cells.mean()
            within += (scores[i, j, k] - expected) ** 2
    assert found.ratio == pytest.approx(between * (d - 1) / within)
    of_interaction = (between - within / (d - 1)) / ((m - 1) * (b - 1)) / d
    assert found.size == pytest.approx(math.sqrt(max(of_interaction, 0)))


def test_exchanges_give_the_p_of_all_exchanges():
    scores = np.random.default_rng(4).normal(0, 1, (2, 3, 7)) + np.array([[[0.8], [0], [0]], [[0], [0], [0.4]]])
    found = interactions.interaction(scores)
    ratios = []
    for swaps in itertools.product((False, True), repeat=7):
        swapped = np.stack([scores[::-1, :, k] if swap else scores[..., k] for k, swap in enumerate(swaps)], 2)
        ratios.append(interactions.interaction(swapped, tested=False).ratio)
    assert found.p == pytest.approx(np.mean(np.array(ratios) >= found.ratio * (1 - 1e-9)), abs=0.03)
    assert interactions.interaction(scores[..., :5]).p is None


def test_parallel_profiles_are_seldom_called_distinct(monkeypatch):
    monkeypatch.setattr(interactions, "PERMUTATIONS", 199)
    rng = np.random.default_rng(5)
    depth = np.arange(12)
    joined = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(depth, depth)) / 6))
    mistaken = 0
    for _ in range(100):
        noise = np.einsum("ij,mjd->mid", joined, rng.normal(0, 1, (4, 12, 5)))
        shared = np.einsum("ij,jd->id", joined, rng.normal(0, 2, (12, 5)))
        mistaken += interactions.interaction(noise + shared + 5 * np.sin(depth)[None, :, None]).p <= 0.05
    assert mistaken <= 100 * 0.05 + 3 * math.sqrt(100 * 0.05 * 0.95)


def test_shuffles_that_share_items_are_no_independent_draws(monkeypatch):
    monkeypatch.setattr(interactions, "PERMUTATIONS", 199)
    rng = np.random.default_rng(6)
    mistaken = {0.0: 0, 1 / 9: 0}
    for _ in range(20):
        errors = rng.normal(0, 1, (3, 4, 200))
        tests = [rng.permutation(200)[:20] for _ in range(40)]
        scores = np.stack([errors[..., test].mean(-1) for test in tests], -1)
        for overlap in mistaken:
            mistaken[overlap] += interactions.interaction(scores, overlap).p <= 0.05
    assert mistaken[0.0] > 10
    assert mistaken[1 / 9] <= 3


# Heads


@pytest.mark.parametrize(
    ("shifts", "how", "verdict"),
    [
        ({"block05": 0.0, "block07": 0.05, "block11": 0.0}, {}, "supported"),
        ({"block05": 0.0, "block07": 0.0, "block11": 0.05}, {}, "refuted"),
        ({"block05": 0.0, "block07": 0.0, "block11": 0.0}, {}, "refuted"),
        ({"block05": 0.01, "block07": 0.01, "block11": 0.0}, {"noise": 0.03}, "undecided"),
        ({"block05": 0.05, "block07": 0.05, "block11": 0.0}, {"models": MODELS[:2]}, "not enough records"),
        ({"block05": 0.05, "block07": 0.05, "block11": 0.0}, {"tasks": DENSE_TASKS[:2]}, "not enough records"),
        ({"block05": 0.05, "block07": 0.05, "block11": 0.0}, {"outcomes": False}, "not enough records"),
        ({"block05": 0.05, "block11": 0.0}, {}, "not enough records"),
    ],
)
def test_earlier_blocks_decide(tmp_path, shifts, how, verdict):
    finding = found_in(singles(tmp_path, shifts, **how), HEADS)
    assert (finding.number, finding.verdict) == (4, verdict)
    cells = 4 * len(how.get("models", MODELS)) * len(how.get("tasks", DENSE_TASKS))
    assert set(groups_of(finding).values()) == {(cells, True)}
    if verdict == "supported":
        fifth, seventh = (finding.groups[name] for name in FIXED)
        assert not any(cell.above for cell in fifth)
        assert all(cell.above for cell in seventh)


def test_the_chosen_block_and_matched_decoders_stand_beside(tmp_path):
    singles(tmp_path, {"block05": 0.05, "block07": 0.05, "block11": 0.0})
    for model in MODELS[:2]:
        trained(tmp_path, model, "single_w064_frozen_p100", "chosen", 0.05)
        trained(tmp_path, model, "upernet_w064_frozen_p100", "multi", 0.0)
        trained(tmp_path, model, "upernet_w064_same_frozen_p100", "block11", -0.02)
    finding = found_in(tmp_path, HEADS)
    groups = groups_of(finding)
    assert groups == {**dict.fromkeys(FIXED, (36, True)), PROBED: (2, False), SAME: (2, False)}
    assert {cell.contrast for cell in finding.groups[PROBED]} == {"block07 (chosen) - block11"}
    assert all(cell.high < 0 for cell in finding.groups[SAME])
    assert finding.means[SAME].high < 0
    assert "upernet_same - upernet -" in finding.why[-1]


# Pages


def test_a_collation_writes_findings_and_links_them(tmp_path, without_figures):
    probes(tmp_path, everywhere(0.05))
    probe(tmp_path, "m_four", "t_one", 0.0, outcomes=False)
    singles(tmp_path, {"block05": 0.05, "block07": 0.0, "block11": 0.0})
    collation = collate(tmp_path)
    page, table = (tmp_path / "tables" / "findings.md").read_text(), tmp_path / "tables" / "findings.csv"
    assert page.startswith("# SIMULATED DATA: findings")
    assert "[findings](findings.md), [CSV of cells](findings.csv)" in collation.index.read_text()
    for finding in collation.findings:
        for text in (page, collation.text, collation.index.read_text()):
            assert finding.title in text
            assert finding.verdict in text
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(len(finding.cells) for finding in collation.findings)
    assert {row["evidence"] for row in rows} == {"simulated"}
    without = [row for row in rows if row["cell"].startswith("m_four-t_one")]
    assert {row["low"] + row["high"] + row["holm_p"] for row in without if row["claim"].startswith(LAYERS)} == {""}
    for text in (page, table.read_text(), collation.text):
        assert not {"nan", "none", "inf"} & set(re.findall(r"[A-Za-z]+", text.lower()))


def test_a_run_without_depth_has_no_findings(tmp_path, without_figures):
    trained(tmp_path, "m_one", "lightms_frozen_p100", "multi", 0.0)
    collation = collate(tmp_path)
    assert collation.findings == ()
    assert not (tmp_path / "tables" / "findings.md").exists()
    assert "Findings" not in collation.text + collation.index.read_text()
