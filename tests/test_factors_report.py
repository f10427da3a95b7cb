"""What explains scores, as a collation writes it."""

import csv
import re

import pytest

from fixtures.planted_findings import decoders, probe
from geofm_eval.report.collation import collate


@pytest.fixture
def collated(tmp_path, without_figures):
    decoders(tmp_path, backbone=0.02, decoder=0.06, tuning=0.0)
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
    assert page.startswith("# SIMULATED DATA: floods_sim, trained decoders: what explains test scores")
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
    assert "what a wrong choice costs, test mIoU (%)" in page
    assert "| 100 % | backbone | m_three, lightms, " in page
    costs = rows(tables / "floods_sim-segment-regret.csv")
    assert {(row["labels"], row["wrong"], row["rest"]) for row in costs} == {
        (labels, factor, rest)
        for labels in ("10 %", "100 %")
        for factor in ("backbone", "decoder", "tuning", "adaptation")
        for rest in ("kept", "anew")
    }
    assert not (tables / "t_one-linear-regret.md").exists()


def test_the_terminal_and_the_index_tell_it_in_short(collated):
    made, tables = collated
    part = made.text[made.text.index("What explains test scores") :].split("\n\n")[0]
    assert "SIMULATED DATA" in part.splitlines()[0]
    assert max(map(len, part.splitlines())) < 200
    assert re.search(r"floods_sim-segment: labels \d+\.\d, decoder \d+\.\d", part)
    assert "a wrong choice costs at 100 % of the labels, mIoU (%): backbone +" in part
    assert "t_one-linear: layer 9" in part
    index = made.index.read_text()
    for link in re.findall(r"\]\(([^)]*(?:shares|regret)[^)]*)\)", index):
        assert (tables / link).exists(), link
    assert "floods_sim-segment-regret.csv" in index
    for text in (part, (tables / "floods_sim-segment-shares.md").read_text()):
        assert not {"nan", "none", "inf"} & set(re.findall(r"[A-Za-z]+", text.lower()))
