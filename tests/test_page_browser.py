"""The page of a run in Chromium: what can be clicked, saved, printed and read, at which width and in which time."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.report.collation import collate
from tests.planted.advice import probes
from tests.planted.ranking import planted_run

pytestmark = pytest.mark.browser

LEVELS = {
    "hls_burn_scars_sim": {"a": 0.7, "b": 0.9, "rcf": 0.6},
    "mados_sim": {"a": 0.8, "b": 0.7, "c": 0.6, "rcf": 0.5},
}
HLS = "hls_burn_scars_sim"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 9.0
"""Limit for 5,000 records: three times what the page may take on an idle machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing: pip install -e '.[browser]'")
    if CHROMIUM is None:
        pytest.skip("Chromium is missing: install it (on Debian as root: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of three tasks, one of them with a depth profile."""
    run = planted_run(tmp_path_factory.mktemp("runs") / "mine", LEVELS, control="rcf", n=100)
    probes(run, (0.5, 0.6, 0.7, 0.9, 0.8), (0.5, 0.6, 0.7, 0.9, 0.8))
    return collate(run, load_catalog()).page.read_text(encoding="utf-8")


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, html: str, tmp_path: Path) -> Iterator[Open]:
    """Opens the page, with another content if wanted, in a window of this width, and waits for its first chart."""
    contexts = []

    def opening(text: str = html, width: int = 1280, scheme: str = "light") -> Any:
        path = tmp_path / "report.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.said, page.asked = [], []
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.on("request", lambda request: page.asked.append(request.url))
        started = perf_counter()
        page.goto(path.as_uri())
        page.wait_for_selector(".chart button")
        page.seconds = perf_counter() - started
        return page

    yield opening
    for context in contexts:
        context.close()


def changed(html: str, change: Callable[[dict[str, Any]], object]) -> str:
    """The page with a changed content."""
    before, text, after = re.split(r'(?<=id="content">)(.*?)(?=</script>)', html, maxsplit=1, flags=re.DOTALL)
    content = json.loads(text)
    change(content)
    return before + json.dumps(content).replace("<", r"\u003c") + after


def models(page: Any) -> list[str]:
    return [text.removesuffix(" Use it") for text in page.locator("#grid tbody th").all_inner_texts()]


def saved(page: Any, button: Any) -> str:
    with page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_the_page_loads_without_errors_and_without_a_network(opened: Open):
    page = opened()
    assert page.said == []
    assert [url for url in page.asked if not url.startswith(("data:", "blob:"))] == [page.url]


def test_columns_sort_both_ways_with_unknown_scores_last_and_controls_below(opened: Open):
    page = opened()
    head = page.locator("#grid thead th").filter(has_text=HLS)
    found = []
    for _ in range(2):
        head.locator("button").click()
        found.append((head.get_attribute("aria-sort"), models(page)))
    assert found == [
        ("descending", ["b", "a", "c", "pocket_mae", "rcf (c)"]),
        ("ascending", ["a", "b", "c", "pocket_mae", "rcf (c)"]),
    ]


def test_sorting_works_by_keyboard_and_keeps_the_focus(opened: Open):
    page = opened()
    page.locator("#filters button").focus()
    for key in ("Tab", "Tab", "Enter"):  # the region that scrolls, then the first head
        page.keyboard.press(key)
    assert page.locator("#grid th[aria-sort=ascending]").inner_text().startswith("model")
    assert page.evaluate("document.activeElement.closest('th').getAttribute('aria-sort')") == "ascending"


@pytest.mark.parametrize(
    ("name", "field", "value", "option"),
    [
        ("evidence", "evidence", "reported", "reported"),
        ("head", "head", "knn", "knn"),
        ("tuning", "tuning", "lora", "lora"),
        ("labels", "fraction", 0.1, "10 %"),
    ],
)
def test_filters_change_what_the_table_shows(
    opened: Open, html: str, name: str, field: str, value: object, option: str
):
    def with_another_setting(content: dict[str, Any]) -> None:
        first = content["settings"][0]
        other = {"value": 12.3, "text": "12.3", "interval": "", "group": "", "tap": "block00"}
        content["settings"].append({**first, field: value, "main": False, "cells": {"a": other}})

    page = opened(changed(html, with_another_setting))
    assert "12.3" not in page.locator("#grid").inner_text()
    page.select_option(f"#filter-{name}", option)
    assert models(page) == ["a"]
    assert "12.3" in page.locator("#grid").inner_text()


def test_the_filter_of_tasks_leaves_one_column_of_scores(opened: Open):
    page = opened()
    page.select_option("#filter-task", HLS)
    assert page.locator("#grid thead small").count() == 1
    assert models(page) == ["a", "b", "rcf (c)"]
    note = page.locator("#grid-note").inner_text().replace("\u00a0", " ")
    assert note == "3 models on 1 task: linear, frozen, 100 % of the labels, n = 100."


def test_a_recommended_model_leads_to_a_snippet(opened: Open):
    page = opened()
    page.locator("#grid tbody a", has_text="Use it").first.click()
    model = page.url.rpartition("#use-")[2]
    section = page.locator(f"#use-{model}")
    for summary in section.locator("summary").all():
        if summary.evaluate("one => !one.parentElement.open"):
            summary.click()
    assert section.locator("code").first.is_visible() or section.locator(".note").first.is_visible()


def test_charts_have_tooltips(opened: Open):
    page = opened()
    page.locator(".chart .mark-symbol path").first.hover()
    shown = page.locator("#vg-tooltip-element.visible")
    shown.wait_for()
    assert all(word in shown.inner_text() for word in ("model", "pocket_mae", "tap", "score"))


def test_a_saved_chart_has_a_legend(opened: Open):
    page = opened()
    svg = saved(page, page.locator(".chart button"))
    assert "pocket_mae" in svg
    assert "SIMULATED DATA" in svg


def test_the_csv_of_scores_is_what_is_shown(opened: Open):
    page = opened()
    page.select_option("#filter-task", HLS)
    page.get_by_role("button", name=HLS).click()
    rows = list(csv.DictReader(saved(page, page.locator("#filters button")).splitlines()))
    assert [row["model"] for row in rows] == ["b", "a", "rcf"]
    assert [row["score"] for row in rows] == page.locator("#grid .score").all_inner_texts()
    assert {row["evidence"] for row in rows} == {"simulated"}


def test_a_table_opens_sorts_and_is_saved_as_shown(opened: Open, html: str):
    def with_one_table(content: dict[str, Any]) -> None:
        rows = [["x", "5.0 [4, 6]"], ["y", "-"], ["z", "1,000"], ["w", "-2"]]
        content["tables"][0] = {"slug": "mine", "title": "mine", "header": ["name", "score"], "rows": rows, "notes": []}

    page = opened(changed(html, with_one_table))
    page.evaluate("document.querySelectorAll('details.about').forEach((one) => { one.open = true; })")
    table = page.locator("details[data-table='0']")
    table.locator("summary").click()
    table.get_by_role("button", name="score").click()
    assert table.locator("tbody th").all_inner_texts() == ["z", "x", "w", "y"]
    rows = list(csv.reader(saved(page, table.locator("button.save")).splitlines()))
    assert rows == [["name", "score"], ["z", "1,000"], ["x", "5.0 [4, 6]"], ["w", "-2"], ["y", "-"]]


@pytest.mark.parametrize(("width", "beside"), [(360, 1), (1280, 3)])
def test_pages_fit_the_window_and_charts_stand_in_rows(opened: Open, html: str, width: int, beside: int):
    page = opened(with_charts(html, 4), width)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.locator(".chart button").nth(3).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tops = [page.locator(".chart").nth(place).bounding_box()["y"] for place in range(4)]
    assert tops.count(tops[0]) == beside


def test_charts_are_readable_in_the_dark(opened: Open):
    colours = opened(scheme="dark").evaluate(
        "() => [document.body, document.querySelector('.chart svg text')]"
        ".map((one, place) => getComputedStyle(one)[place ? 'fill' : 'backgroundColor'])"
    )
    paper, ink = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in colours)
    assert paper < 100
    assert ink > 600


def test_print_is_dark_on_white_without_controls(opened: Open):
    page = opened(scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("nav, .filters, button.save").locator("visible=true").count()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(27, 31, 36)"
    assert page.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_violation_of_accessibility(opened: Open, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="install the extra 'browser'")
    page = opened(scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    found = axe.Axe().run(page).response["violations"]
    assert [one["id"] for one in found if one["impact"] in ("serious", "critical")] == []


def with_charts(html: str, count: int) -> str:
    """The page with its chart so many times."""
    (figure,) = re.findall(r'<figure class="chart">.*?</figure>', html)
    return html.replace(figure, figure * count)


def test_five_thousand_records_are_shown_in_seconds(opened: Open, html: str):
    names = [f"model_{number:02}" for number in range(20)]

    def many(content: dict[str, Any]) -> None:
        chart, setting, model = content["charts"]["depth0"], content["settings"][0], content["models"][0]
        first = chart["data"]["values"][0]
        chart["data"]["values"] = [
            {**first, "model": name, "depth": tap / 20, "score": tap * place}
            for place, name in enumerate(names) for tap in range(21)
        ]  # fmt: skip
        cell = next(iter(setting["cells"].values()))
        content["models"] = [{**model, "model": name, "name": name} for name in names]
        content["settings"] = [
            {**setting, "task": f"task_{task}", "head": f"head_{head}", "cells": dict.fromkeys(names, cell)}
            for task in range(12) for head in range(21)
        ]  # fmt: skip

    page = opened(with_charts(changed(html, many), 12))
    assert page.locator("#grid .score").count() == 240
    assert page.seconds < SECONDS
