"""Verdicts on planted records; their rules have tests of their own."""

import csv
import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from fixtures.planted_findings import everywhere, probe, probes, singles, trained
from geofm_eval.catalog import load_catalog
from geofm_eval.findings import Finding, findings, interaction
from geofm_eval.findings.heads import FIXED, PROBED, SAME
from geofm_eval.findings.layers import BEFORE_NORM
from geofm_eval.report.choice import Pairs
from geofm_eval.report.collation import collate
from geofm_eval.report.run import read_content

CATALOG = load_catalog()
LAYERS, PROFILES, HEADS = "the tap", "depth profiles", "a single-level"
"""Beginnings of the titles of findings."""


def found_in(folder: Path, title: str, evidence: str = "simulated") -> Finding:
    found = findings(read_content(folder), Pairs(folder), CATALOG)
    (one,) = [f for f in found if f.title.startswith(title) and f.evidence == evidence]
    return one


def groups_of(finding: Finding) -> dict[str, tuple[int, bool]]:
    return {name: (len(own), own[0].counts) for name, own in finding.groups.items()}


# Layer gain


@pytest.mark.parametrize(
    ("gains", "how", "verdict"),
    [
        (everywhere(0.05), {}, "supported"),
        ({**everywhere(0.05), ("m_one", "t_one"): 0.0}, {}, "supported"),
        # Half of the cells is no majority, and the other half is shown to gain nothing.
        ({**everywhere(0.05), ("m_one", "t_one"): 0.0, ("m_two", "t_one"): 0.0}, {}, "refuted"),
        (everywhere(0.0), {}, "refuted"),
        (everywhere(0.0), {"n": 100, "flips": 0.2}, "undecided"),
        (everywhere(0.05, models=("m_one",)), {}, "not enough records"),
        (everywhere(0.05, tasks=("t_one",)), {}, "not enough records"),
        (everywhere(0.05), {"outcomes": False}, "not enough records"),
    ],
)
def test_gains_over_final_decide(tmp_path, gains, how, verdict):
    finding = found_in(probes(tmp_path, gains, **how), LAYERS)
    assert finding.verdict == verdict
    assert groups_of(finding) == {"linear": (len(gains), True), BEFORE_NORM: (len(gains), False)}
    if verdict == "not enough records":
        assert (finding.effect, finding.low, finding.high) == (None, None, None)
        assert "needed are" in finding.why[0]
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
    probes(tmp_path, everywhere(0.05, ("pocket_mae", "pocket_contrast"), ("eurosat_sim", "neuco_sim_random_reg", "t")))
    probes(tmp_path, everywhere(0.0, ("pocket_mae_seed1",), ("eurosat_sim",)))
    probes(tmp_path, everywhere(0.0, ("pocket_random",), ("eurosat_sim",)), control=True)
    for adaptation, pooling in (("knn", "mean"), ("linear_cls", "cls"), ("knn_cls", "cls")):
        probe(tmp_path, "pocket_mae", "eurosat_sim", 0.0, adaptation=adaptation, pooling=pooling)
    probe(tmp_path, "pocket_mae", "sen1floods11_sim", 0.05, pooling="tokens")
    finding = found_in(tmp_path, LAYERS)
    assert groups_of(finding) == {
        "linear": (4, True), "dense": (1, True), "control targets": (2, False), "controls": (1, False),
        "variants of models": (1, False), "kNN": (1, False), "cls pooling": (1, False), "kNN, cls pooling": (1, False),
        BEFORE_NORM: (5, False),
    }  # fmt: skip
    assert finding.verdict == "supported"


def test_a_variant_counts_where_it_stands_for_its_model(tmp_path):
    finding = found_in(probes(tmp_path, everywhere(0.05, ("pocket_mae_seed1", "pocket_contrast"))), LAYERS)
    assert groups_of(finding)["linear"] == (4, True)


def test_evidence_classes_have_verdicts_of_their_own(tmp_path, without_figures):
    probes(tmp_path, everywhere(0.05, tasks=("a_sim", "b_sim")))
    probes(tmp_path, everywhere(0.0, tasks=("c", "d")), evidence="published")
    probe(tmp_path, "pocket_mae", "c", 0.05, evidence="published")
    simulated, published = found_in(tmp_path, LAYERS), found_in(tmp_path, LAYERS, "published")
    assert (simulated.verdict, published.verdict) == ("supported", "refuted")
    assert {cell.id.split("-")[1] for cell in simulated.cells} == {"a_sim", "b_sim"}
    assert {cell.id.split("-")[1] for cell in published.cells} == {"c", "d"}
    # A backbone that knows simulated scenes alone is no evidence about the published ones.
    assert groups_of(published)["pretrained on simulated scenes"] == (1, False)
    text = collate(tmp_path).text
    assert "beats final: supported (SIMULATED DATA)" in text
    assert "beats final: refuted (real data, published splits)" in text
    assert "nothing about published models" in text
    for model in ("m_one", "m_two"):
        assert model not in text[text.index("Findings (") : text.index("Cases:")]


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
        probes(tmp_path, everywhere(0.0, (model,)), profile=profile, **how)
    finding = found_in(tmp_path, PROFILES)
    assert finding.verdict == verdict
    if verdict == "supported":
        planted = 100 * np.array(list(profiles.values()))
        left = planted - planted.mean(0) - planted.mean(1, keepdims=True) + planted.mean()
        assert finding.effect == pytest.approx(math.sqrt(np.square(left).sum() / 4), rel=0.05)
        assert finding.low < finding.effect < finding.high


def test_twins_and_variants_stand_beside_the_profiles(tmp_path):
    for number, model in enumerate(("pocket_mae", "pocket_contrast", "pocket_distill", "pocket_mae_seed1")):
        probes(tmp_path, everywhere(0.0, (model,)), profile=tuple(0.1 * (i == number % 3) for i in range(3)))
    probes(tmp_path, everywhere(0.0, ("pocket_random", "other_random")), control=True)
    assert groups_of(found_in(tmp_path, PROFILES)) == {
        "linear": (2, True), "random twins": (2, False), "a backbone and its random twin": (6, False),
        "a model and its variants": (2, False),
    }  # fmt: skip


def test_the_interaction_is_that_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1, (3, 4, 5)) + rng.normal(0, 1, (3, 4, 1)) + rng.normal(0, 2, (1, 4, 5))
    found = interaction.interaction(scores)
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
    found = interaction.interaction(scores)
    ratios = []
    for swaps in itertools.product((False, True), repeat=7):
        swapped = np.stack([scores[::-1, :, k] if swap else scores[..., k] for k, swap in enumerate(swaps)], 2)
        ratios.append(interaction.interaction(swapped, tested=False).ratio)
    assert found.p == pytest.approx(np.mean(np.array(ratios) >= found.ratio * (1 - 1e-9)), abs=0.03)
    assert interaction.interaction(scores[..., :5]).p is None


def test_parallel_profiles_are_seldom_called_distinct(monkeypatch):
    monkeypatch.setattr(interaction, "PERMUTATIONS", 199)
    rng = np.random.default_rng(5)
    depth = np.arange(12)
    joined = np.linalg.cholesky(np.exp(-np.abs(np.subtract.outer(depth, depth)) / 6))
    mistaken = 0
    for _ in range(100):
        noise = np.einsum("ij,mjd->mid", joined, rng.normal(0, 1, (4, 12, 5)))
        shared = np.einsum("ij,jd->id", joined, rng.normal(0, 2, (12, 5)))
        mistaken += interaction.interaction(noise + shared + 5 * np.sin(depth)[None, :, None]).p <= 0.05
    assert mistaken <= 100 * 0.05 + 3 * math.sqrt(100 * 0.05 * 0.95)


def test_shuffles_that_share_items_are_no_independent_draws(monkeypatch):
    monkeypatch.setattr(interaction, "PERMUTATIONS", 199)
    rng = np.random.default_rng(6)
    mistaken = {0.0: 0, 1 / 9: 0}
    for _ in range(20):
        errors = rng.normal(0, 1, (3, 4, 200))
        tests = [rng.permutation(200)[:20] for _ in range(40)]
        scores = np.stack([errors[..., test].mean(-1) for test in tests], -1)
        for overlap in mistaken:
            mistaken[overlap] += interaction.interaction(scores, overlap).p <= 0.05
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
        ({"block05": 0.05, "block07": 0.05, "block11": 0.0}, {"models": ("m_one",)}, "not enough records"),
        ({"block05": 0.05, "block07": 0.05, "block11": 0.0}, {"outcomes": False}, "not enough records"),
        ({"block05": 0.05, "block11": 0.0}, {}, "not enough records"),
    ],
)
def test_earlier_blocks_decide(tmp_path, shifts, how, verdict):
    finding = found_in(singles(tmp_path, shifts, **how), HEADS)
    assert (finding.number, finding.verdict) == (4, verdict)
    cells = 4 * len(how.get("models", ("m_one", "m_two")))
    assert set(groups_of(finding).values()) == {(cells, True)}
    if verdict == "supported":
        fifth, seventh = (finding.groups[name] for name in FIXED)
        assert not any(cell.above for cell in fifth)
        assert all(cell.above for cell in seventh)


def test_the_chosen_block_and_matched_decoders_stand_beside(tmp_path):
    singles(tmp_path, {"block05": 0.05, "block07": 0.05, "block11": 0.0})
    for model in ("m_one", "m_two"):
        trained(tmp_path, model, "single_w064_frozen_p100", "chosen", 0.05)
        trained(tmp_path, model, "upernet_w064_frozen_p100", "multi", 0.0)
        trained(tmp_path, model, "upernet_w064_same_frozen_p100", "block11", -0.02)
    finding = found_in(tmp_path, HEADS)
    groups = groups_of(finding)
    assert groups == {**dict.fromkeys(FIXED, (8, True)), PROBED: (2, False), SAME: (2, False)}
    assert {cell.contrast for cell in finding.groups[PROBED]} == {"block07 (chosen) - block11"}
    assert all(cell.high < 0 for cell in finding.groups[SAME])
    assert finding.means[SAME].high < 0
    assert "upernet_same - upernet -" in finding.why[1]


# Pages


def test_a_collation_writes_findings_and_links_them(tmp_path, without_figures):
    probes(tmp_path, everywhere(0.05))
    probe(tmp_path, "m_three", "t_one", 0.0, outcomes=False)
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
    without = [row for row in rows if row["cell"].startswith("m_three-t_one")]
    assert {row["low"] + row["high"] + row["holm_p"] for row in without if row["claim"].startswith(LAYERS)} == {""}
    for text in (page, table.read_text(), collation.text):
        assert not {"nan", "none", "inf"} & set(re.findall(r"[A-Za-z]+", text.lower()))


def test_a_run_without_depth_has_no_findings(tmp_path, without_figures):
    trained(tmp_path, "m_one", "lightms_frozen_p100", "multi", 0.0)
    collation = collate(tmp_path)
    assert collation.findings == ()
    assert not (tmp_path / "tables" / "findings.md").exists()
    assert "Findings" not in collation.text + collation.index.read_text()
