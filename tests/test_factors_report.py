"""What explains scores, as a collation writes it."""

import csv
import itertools
import re

import numpy as np
import pytest

from geofm_eval.records import Score, write_record
from geofm_eval.report.collation import collate
from tests.planted.findings import DENSE_TASKS, decoders, probe
from tests.planted.ranking import shuffled_record


@pytest.fixture
def collated(tmp_path, without_figures):
    decoders(tmp_path, backbone=0.02, decoder=0.06, tuning=0.0, tasks=DENSE_TASKS[:1])
    for model in ("m_one", "m_two"):
        probe(tmp_path, model, "t_one", 0.0, profile=(0.0, 0.1, 0.05))
    probe(tmp_path, "m_random", "t_one", 0.0, control=True)
    return collate(tmp_path), tmp_path / "tables"


def rows(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_hold_every_effect_with_its_range(collated):
    _, tables = collated
    page = (tables / "floods_sim-segment-shares.md").read_text()
    assert page.startswith("# SIMULATED DATA: floods_sim, trained decoders: shares of the variance of test scores")
    assert "(logit of mIoU)" in page
    assert "backbone: m_one, m_three, m_two; decoder: lightms, upernet_w064; tuning: frozen, full" in page
    found = {row["effect"]: row for row in rows(tables / "floods_sim-segment-shares.csv")}
    assert len(found) == 15
    decoder = found["decoder"]
    assert float(decoder["low"]) <= float(decoder["share"]) <= float(decoder["high"])
    assert float(decoder["lowest_without_a_level"]) <= float(decoder["share"])
    assert decoder["factorial"] == "3 x 2 x 2 x 2"
    layers = {row["effect"]: float(row["share"]) for row in rows(tables / "t_one-linear-shares.csv")}
    assert layers["layer"] > 0.9
    assert all(row["low"] == "" for row in rows(tables / "t_one-linear-shares.csv"))
    assert (
        "m_random" not in (tables / "t_one-linear-shares.md").read_text().split("Balanced factorial")[1].split("\n")[0]
    )


def test_regret_names_what_validation_chose(collated):
    _, tables = collated
    page = (tables / "floods_sim-segment-regret.md").read_text()
    assert "cost of a wrong choice, test mIoU (%)" in page
    assert "| 100 % | backbone | m_three, lightms, " in page
    costs = rows(tables / "floods_sim-segment-regret.csv")
    assert {(row["labels"], row["wrong"], row["rest"]) for row in costs} == {
        (labels, factor, rest)
        for labels in ("10 %", "100 %")
        for factor in ("backbone", "decoder", "tuning", "adaptation")
        for rest in ("kept", "rechosen")
    }
    assert not (tables / "t_one-linear-regret.md").exists()


def test_the_terminal_and_the_index_tell_it_in_short(collated):
    made, tables = collated
    part = made.text[made.text.index("Shares of the variance of test scores") :].split("\n\n")[0]
    assert "SIMULATED DATA" in part.splitlines()[0]
    assert max(map(len, part.splitlines())) < 200
    assert re.search(r"floods_sim-segment: labels \d+\.\d, decoder \d+\.\d", part)
    assert "cost of a wrong choice at 100 % of the labels, mIoU (%): backbone +" in part
    assert "t_one-linear: layer 9" in part
    index = made.index.read_text()
    for link in re.findall(r"\]\(([^)]*(?:shares|regret)[^)]*)\)", index):
        assert (tables / link).exists(), link
    assert "floods_sim-segment-regret.csv" in index
    for text in (part, (tables / "floods_sim-segment-shares.md").read_text()):
        assert not {"nan", "none", "inf"} & set(re.findall(r"[A-Za-z]+", text.lower()))


def test_shares_of_shuffles_are_those_of_the_pooled_scores_that_tables_print(tmp_path, without_figures):
    """The R2 of single shuffles is noise here, and has no part in it."""
    rng, taps, models = np.random.default_rng(2), ("block00", "block01", "final"), ("m_one", "m_two", "m_three")
    table = {}
    for model, tap in itertools.product(models, taps):
        table[model, tap] = [0.3 + 0.2 * (fraction == "1.0") + 0.1 * taps.index(tap) for fraction in ("0.1", "1.0")]
        path = tmp_path / "run"
        single = 1 - np.square(rng.normal(0, 2, (2, 40)))
        scores = {
            key: Score(metric="r2", value=value, per_draw=tuple(row), n=300, n_train=27)
            for key, value, row in zip(("0.1", "1.0"), table[model, tap], single, strict=True)
        }
        record = shuffled_record(model, "t_one", np.zeros((40, 300), dtype=np.float32), 0.0)
        case = record.case.model_copy(update={"layer": tap, "id": f"{model}-t_one-ridge-{tap}"})
        write_record(record.model_copy(update={"scores": scores, "case": case}), None, path)
    made = collate(path)
    found = [
        (row["labels"], row["effect"], float(row["share"])) for row in rows(path / "tables" / "t_one-ridge-shares.csv")
    ]
    shown = {(labels, effect): share for labels, effect, share in found}
    values = np.array([[table[model, tap] for tap in taps] for model in models])
    total = np.square(values - values.mean()).sum()
    layer = 6 * np.square(values.mean((0, 2)) - values.mean()).sum() / total
    assert shown["all", "layer"] == pytest.approx(layer)
    assert shown["all", "labels"] == pytest.approx(1 - layer)
    assert shown["100 %", "layer"] == pytest.approx(1)
    levels = {labels for labels, _, _ in found}
    assert len(levels) == 3
    for labels in levels:
        assert sum(share for name, _, share in found if name == labels) == pytest.approx(1)
    page = (path / "tables" / "t_one-ridge-shares.md").read_text(encoding="utf-8")
    assert "| 100 % of the labels: layer |" in page
    assert page.count("of the labels: ") == sum(labels != "all" for labels, _, _ in found)
    assert "with 100 % of the labels alone: backbone 0.0, layer 100.0" in made.text
    assert "noise is part of all of these" in made.text


def test_what_is_too_small_for_shares_has_no_file_and_one_line(tmp_path, without_figures):
    probe(tmp_path, "m_one", "t_one", 0.0, draws=1)
    made = collate(tmp_path)
    assert not list((tmp_path / "tables").glob("*shares*"))
    for text in (made.text, made.index.read_text()):
        assert "Shares of the variance" not in text
        assert "Not shown: ranks of 1 table, shares of variance of 1 table, " in text


def test_shares_and_noise_sum_to_100_with_those_below_0(tmp_path, without_figures):
    decoders(tmp_path, backbone=0.02, decoder=0.0, tuning=0.0, noise=0.02, tasks=DENSE_TASKS[:1])
    collate(tmp_path)
    page = (tmp_path / "tables" / "floods_sim-segment-shares.md").read_text()
    shown = [float(line.split("|")[2]) for line in page.splitlines()[4:] if line.startswith("| ")]
    assert sum(shown) == pytest.approx(100, abs=0.05 * len(shown))
    assert min(shown) < 0, "the planted table has effects below 0"
