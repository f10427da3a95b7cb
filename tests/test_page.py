"""The page of a run: complete, safe, without a network, folders and names of users; its charts can be compiled."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geofm_eval.catalog import load_catalog
from geofm_eval.records import content_of, read_record
from geofm_eval.report.collation import PAGE, collate
from geofm_eval.report.web.page import without_folders
from geofm_eval.report.web.palette import COLOURS, styles_of
from geofm_eval.store import write_json
from tests.planted.advice import MODEL, case_of, probe, probes, trained
from tests.planted.ranking import planted_run, probe_record

LEVELS = {
    "hls_burn_scars_sim": {"a": 0.9, "b": 0.8, "rcf": 0.7},
    "mados_sim": {"a": 0.6, "b": 0.8, "rcf": 0.7},
}
EVIL = "</script><script>alert(1)</script><b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks, with a depth profile, a trained decoder with its contact sheet, and a hostile sentence."""
    folder = planted_run(tmp_path_factory.mktemp("runs") / "mine", LEVELS, control="rcf", n=100)
    probes(folder, (0.5, 0.6, 0.7, 0.9, 0.8), (0.5, 0.6, 0.7, 0.9, 0.8))
    trained(folder, "lightms_frozen_p100", "multi", 0.7, 0.7)
    sheet = folder / "sheets" / f"{case_of('segment', 'multi', 'lightms_frozen_p100').id}.png"
    sheet.parent.mkdir()
    Image.fromarray(np.zeros((30, 1500, 3), dtype=np.uint8)).save(sheet)
    for path in (folder / "probe").glob("*-mados_sim-*.json"):
        record = read_record(path)
        recipe = {"slug": EVIL, "title": f"/home/somebody/secret/recipe.toml {EVIL}"}
        source = record.provenance.model_copy(update={"recipe": recipe})
        write_json(path, content_of(record.model_copy(update={"provenance": source})))
    return folder


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return collate(run, load_catalog()).page.read_text(encoding="utf-8")


def content(html: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="content">(.*?)</script>', html, re.DOTALL)
    found: dict[str, Any] = json.loads(text)
    return found


def test_the_page_is_one_small_file_that_loads_nothing(html: str):
    assert len(html.encode()) < 5_000_000
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)  # the library names addresses of schemas
    assert not re.findall(r"""(?:src|href)=["'](?!#|data:)[^"']+""", outside)
    assert "@import" not in outside
    assert "url(" not in outside


def test_text_of_records_is_never_markup(html: str):
    assert "<script>alert" not in html
    assert html.count("<script") == 3
    assert "</b>" not in html.replace("</body>", "")


def test_the_page_has_no_folders(html: str, run: Path):
    assert str(run) not in html
    assert "/home/somebody" not in html


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/me/runs/mine/probe/a.json: is damaged", "a.json: is damaged"),
        ("cannot read /data/x y.tif", "cannot read x y.tif"),
        ("see https://example.org/a/b and docs/a.md", "see https://example.org/a/b and docs/a.md"),
        ("5 points/s, 3/4 of C:\\Users\\me\\a.tif", "5 points/s, 3/4 of a.tif"),
    ],
)
def test_full_paths_are_reduced_to_names(text: str, kept: str):
    assert without_folders(text) == kept


def test_every_score_is_in_the_table_with_its_group(html: str):
    settings = {one["task"]: one for one in content(html)["settings"] if one["main"]}
    assert settings["hls_burn_scars_sim"]["cells"]["a"]["text"] == "90.0"
    assert {settings["hls_burn_scars_sim"]["cells"][model]["group"] for model in ("a", "b", "rcf")} == {"a", "b", "c"}
    assert settings["mados_sim"]["control"] == "rcf"
    assert all(one["evidence"] == "simulated" for one in settings.values())


def test_the_answer_is_readable_without_scripts(html: str):
    text = re.sub(r"<script.*?</script>|<style>.*?</style>|<[^>]+>", " ", html, flags=re.DOTALL)
    assert "Is pretraining worth it?" in text
    assert "On 2 of 2 tasks, a backbone is shown to beat the best control." in text


def test_simulated_data_are_named_in_every_chart(html: str):
    charts = content(html)["charts"]
    assert charts
    assert {spec["title"]["subtitle"] for spec in charts.values()} == {"SIMULATED DATA"}


def test_charts_mark_the_chosen_tap_and_the_best_control(html: str):
    spec = content(html)["charts"]["depth0"]
    chosen = [one["tap"] for one in spec["data"]["values"] if one["chosen"]]
    assert chosen == ["block02"]
    assert [one["depth"] for one in spec["data"]["values"]] == [0, 0.25, 0.5, 0.75, 1]


def test_the_best_control_is_a_band(tmp_path: Path):
    run = probes(tmp_path / "run", (0.5, 0.6, 0.7, 0.9, 0.8), (0.5, 0.6, 0.7, 0.9, 0.8))
    probe(run, "final", [0.6], 0.6, model="band_stats")
    spec = content(collate(run, load_catalog()).page.read_text(encoding="utf-8"))["charts"]["depth0"]
    (band,) = [layer["data"]["values"][0] for layer in spec["layer"] if layer["mark"]["type"] == "rect"]
    assert (band["model"], band["score"]) == ("band_stats (best control)", 60.0)


@pytest.mark.slow
def test_charts_can_be_drawn(html: str):
    import vl_convert

    svg = vl_convert.vegalite_to_svg(content(html)["charts"]["depth0"], allowed_base_urls=[])
    assert "relative depth" in svg
    assert "block02" in svg


def test_contact_sheets_are_pictures_of_the_page_and_can_be_left_out(html: str, run: Path):
    (source,) = re.findall(r'<img src="(data:image/webp;base64,[^"]+)" alt="SIMULATED DATA: ' + MODEL, html)
    assert len(source) < 20_000
    assert "data:image/webp" not in collate(run, load_catalog(), pictures=False).page.read_text(encoding="utf-8")


def test_every_table_is_on_the_page_once(html: str, run: Path):
    on_page = [table["slug"] for table in content(html)["tables"]]
    assert sorted(on_page) == sorted({path.stem for path in (run / "tables").glob("*.tex")})


def test_models_keep_their_colour_and_controls_are_grey_or_like_their_model():
    records = [
        probe_record(model, "eurosat_sim", np.ones((1, 3), dtype=np.uint8), is_control=control)
        for model, control in (("b", False), ("a", False), ("a_random", True), ("rcf", True))
    ]
    styles = styles_of(records)
    assert (styles["a"].colour, styles["b"].colour) == COLOURS[:2]
    assert styles["a_random"].colour == styles["a"].colour
    assert styles["a_random"].dash != styles["a"].dash
    assert styles["rcf"].colour not in COLOURS


def test_an_empty_run_has_a_page_that_says_so(tmp_path: Path):
    run = planted_run(tmp_path / "empty", {"eurosat_sim": {"a": 0.9}})
    path = next((run / "probe").glob("*.json"))
    record = content_of(read_record(path))
    record |= {
        "scores": {},
        "selection": None,
        "outcome": {"status": "error", "verdict": "no_range", "reason": "stopped"},
    }
    write_json(path, record)
    text = collate(run, load_catalog()).page.read_text(encoding="utf-8")
    assert "No case has a score yet." in text
    assert (run / PAGE).is_file()
