"""Build the page of a run from its answers, rankings and tables."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any

from geofm_eval.answer import TaskAnswer
from geofm_eval.catalog import Catalog
from geofm_eval.errors import ContractError
from geofm_eval.ranking import Ordering
from geofm_eval.report.answer.one_task import Sentence, sentences
from geofm_eval.report.answer.several_tasks import by_evidence, overall
from geofm_eval.report.findings import ON
from geofm_eval.report.formats import Table
from geofm_eval.report.pages import Page
from geofm_eval.report.web.bundle import chart_library
from geofm_eval.report.web.charts import Spec, depth_chart, label_chart
from geofm_eval.report.web.grid import models_of, settings_of
from geofm_eval.report.web.palette import styles_of
from geofm_eval.report.web.pictures import pictures_of
from geofm_eval.results.run import Run
from geofm_eval.store import write_bytes

QUESTIONS = {
    1: "Is pretraining worth it?",
    2: "Which model?",
    3: "Which tap?",
    4: "Tuned or frozen?",
    5: "What is still open?",
    6: "What limits this answer?",
}
"""Headings of the sentences by their number."""

_FOLDERS = re.compile(r"(?<![\w.:/-])(?:/|[A-Za-z]:\\)(?:[^\s:;,()'\"]+[/\\])+")
"""The folders of a full path."""


@dataclass(frozen=True)
class PageContent:
    """What a page shows.

    Args:
        run: the run, for its name and evidence.
        catalog: for titles and licences.
        answers: one per task.
        orders: all settings, for the table of models and tasks.
        pages: tables by the title of their section.
        summary: how many cases have which outcome.
        notes: lists at the end by their heading.
        pictures: whether it shows contact sheets.
    """

    run: Run
    catalog: Catalog
    answers: Sequence[TaskAnswer]
    orders: Sequence[Ordering]
    pages: Mapping[str, Sequence[Page]]
    summary: str
    notes: Mapping[str, Sequence[str]]
    pictures: bool = True


def write_page(content: PageContent, path: Path) -> None:
    """Write the page as one HTML file.

    Texts are escaped, and full paths are reduced to the names of their files, so that the page can be given away.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    write_bytes(path, page_of(content).encode())


def page_of(content: PageContent) -> str:
    """Return the HTML of the page."""
    records = [entry.record for one in content.orders for entry in one.setting.entries]
    styles = styles_of(records)
    charts = _charts(content.answers, styles)
    groups, tables = _tables(content.pages)
    pictures = pictures_of(content.run) if content.pictures else []
    models = models_of(content.orders, content.catalog, styles)
    data = {
        "models": models,
        "settings": settings_of(content.orders, content.answers),
        "evidence": {name: words[:1].upper() + words[1:] for name, words in ON.items()},
        "charts": {f"{kind}{number}": spec for kind, _, _, own in charts for number, (_, spec) in enumerate(own)},
        "tables": tables,
    }
    shown = [
        (kind, name, note, [{"id": f"{kind}{n}", "label": label} for n, (label, _) in enumerate(own)])
        for kind, name, note, own in charts
    ]
    html: str = _template().render(
        title=f"Run {content.run.name}",
        summary=content.summary,
        sections=_sections(shown, bool(pictures), bool(groups)),
        answers=[_answer(evidence, own) for evidence, own in by_evidence(content.answers).items()],
        charts=shown,
        legend=[model for model in models if model["model"] in _drawn(charts)],
        groups=groups,
        pictures=pictures,
        notes=[(title, [without_folders(line) for line in lines]) for title, lines in content.notes.items() if lines],
        content=_json(data),
        bundle=_code(chart_library()) if charts else "",
        script=_code(_file("page.js")),
        css=_code(_file("page.css")),
    )
    return html


def without_folders(text: str) -> str:
    """Reduce full paths in a text to the names of their files: folders name users and machines."""
    return _FOLDERS.sub("", text)


def _sections(charts: Sequence[Any], pictures: bool, tables: bool) -> list[tuple[str, str]]:
    """Id and name of the sections that the page has."""
    found = [("answer", "Answer"), ("models", "Models and tasks"), *((kind, name) for kind, name, *_ in charts)]
    found += [("cases", "Predictions")] if pictures else []
    found += [("tables", "Tables")] if tables else []
    return [*found, ("run", "Skips and provenance")]


def _answer(evidence: str, own: Sequence[TaskAnswer]) -> dict[str, Any]:
    return {
        "title": ON[evidence][:1].upper() + ON[evidence][1:],
        "simulated": evidence == "simulated",
        "sentences": [(QUESTIONS[number], texts) for number, texts in _by_question(overall(own)).items()],
        "tasks": [{"title": one.setting.name, "texts": [part.text for part in sentences(one)]} for one in own]
        if len(own) > 1
        else [],
    }


def _by_question(found: Iterable[Sentence]) -> dict[int, list[str]]:
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for one in found:
        texts[one.question].append(one.text)
    return dict(texts)


def _charts(
    answers: Sequence[TaskAnswer], styles: Mapping[str, Any]
) -> list[tuple[str, str, str, list[tuple[str, Spec]]]]:
    """Sections of charts: id, title, note, and label and specification of every chart."""
    sections = (
        ("depth", "Where the information is", depth_chart, "Score against relative depth. Ring: tap chosen on "
         "validation. Grey band: best control with its interval. Dashed: random twins and controls."),
        ("labels", "How many labels are needed", label_chart, "Score at the tap chosen on validation, by the "
         "proportion of the training labels."),
    )  # fmt: skip
    found = []
    for kind, title, draw, note in sections:
        drawn = [(_label(title, one), spec) for one in answers if (spec := draw(one, styles)) is not None]
        if drawn:
            found.append((kind, title, note, drawn))
    return found


def _drawn(charts: Iterable[Any]) -> set[str]:
    """Models that have a line in any chart."""
    return {value["model"] for *_, own in charts for _, spec in own for value in spec["data"]["values"]}


def _label(title: str, answer: TaskAnswer) -> str:
    """What a screen reader says instead of the chart."""
    tops = [f"{choice.model} at {choice.entry.record.case.layer}" for choice in answer.choices[:3]]
    return f"{title}: {answer.setting.name}. Among the best: {', '.join(tops) or 'no backbone'}."


def _tables(pages: Mapping[str, Sequence[Page]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups of tables by section, in them those about the same comparison together; and the content of every table."""
    groups: list[dict[str, Any]] = []
    tables: list[dict[str, Any]] = []
    for title, own in pages.items():
        entries = [(len(tables) + number, table) for number, table in enumerate(t for page in own for t in page.tables)]
        if entries:
            groups.append({"title": title, "tables": _by_subject(entries)})
            tables += [_content_of(table) for _, table in entries]
    return groups, tables


def _by_subject(entries: Iterable[tuple[int, Table[Any]]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Consecutive tables whose titles have the same beginning, with that beginning; a table alone keeps its title."""
    found: list[tuple[str, list[dict[str, Any]]]] = []
    for subject, group in groupby(entries, key=lambda entry: entry[1].title.rpartition(": ")[0]):
        own = list(group)
        about = subject if len(own) > 1 else ""
        names = [{"id": number, "title": table.title[len(about) :].removeprefix(": ")} for number, table in own]
        found.append((about, names))
    return found


def _content_of(table: Table[Any]) -> dict[str, Any]:
    notes = [without_folders(note) for note in (*table.remarks, *table.notes)]
    return {
        "slug": table.slug,
        "title": table.title,
        "header": table.header,
        "rows": _filled(table.grid),
        "notes": notes,
    }


def _filled(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Rows that can be sorted: where the first cell is blank, it is that of the row above."""
    found: list[list[str]] = []
    for first, *others in rows:
        found.append([first or (found[-1][0] if found else ""), *others])
    return found


@cache
def _template() -> Any:
    from jinja2 import Environment  # here, so that importing the package stays fast

    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(_file("page.html.j2"))


def _file(name: str) -> str:
    return resources.files("geofm_eval.report.web").joinpath(name).read_text(encoding="utf-8")


def _json(content: object) -> Any:
    """JSON within a script element, which no text in it can end."""
    from markupsafe import Markup

    return Markup(json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", r"\u003c"))


def _code(text: str) -> Any:
    """A script or style of this package or of the chart library, as it is."""
    from markupsafe import Markup

    if re.search("</(script|style)|<!--", text, re.IGNORECASE):
        raise ContractError("a script of the page contains text that would end it; choose another version of it")
    return Markup(text)
