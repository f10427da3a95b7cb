"""Build the page of a run from its answers, rankings and tables."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

from geofm_eval.answer import FocusedAnswer, TaskAnswer
from geofm_eval.catalog import Catalog
from geofm_eval.compare import RunComparison
from geofm_eval.errors import ContractError
from geofm_eval.ranking import Ordering
from geofm_eval.report.answer.focus import CHANGE, focus_by_evidence, focused_sentences
from geofm_eval.report.answer.one_task import Sentence
from geofm_eval.report.answer.several_tasks import by_evidence, overall
from geofm_eval.report.findings import ON
from geofm_eval.report.formats import Table
from geofm_eval.report.gate.judged import Judged
from geofm_eval.report.pages import Page
from geofm_eval.report.web.bundle import chart_library
from geofm_eval.report.web.charts import Spec, depth_chart, label_chart
from geofm_eval.report.web.focus import CHANGES, change_charts, focused_depth_chart, focused_styles
from geofm_eval.report.web.grid import models_of, settings_of
from geofm_eval.report.web.palette import styles_of
from geofm_eval.report.web.pictures import pictures_of
from geofm_eval.report.web.sections import focus_section, gate_section
from geofm_eval.report.web.usage import uses_of
from geofm_eval.results.run import Run
from geofm_eval.store import write_bytes

T = TypeVar("T", TaskAnswer, FocusedAnswer)

QUESTIONS = {
    1: "Is pretraining worth it?",
    2: "Which model?",
    3: "Which tap?",
    4: "Tuned or frozen?",
    5: "What is still open?",
    6: "What limits this answer?",
    CHANGE: "What changed?",
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
        focus: answers on one model, which replace those on all.
        judged: the run against its baseline; None without one.
        title: heading of the page; by default the name of the run.
    """

    run: Run
    catalog: Catalog
    answers: Sequence[TaskAnswer]
    orders: Sequence[Ordering]
    pages: Mapping[str, Sequence[Page]]
    summary: str
    notes: Mapping[str, Sequence[str]]
    pictures: bool = True
    focus: Sequence[FocusedAnswer] = ()
    judged: Judged | None = None
    title: str = ""

    @property
    def baseline(self) -> RunComparison | None:
        """Comparison with the baseline."""
        return None if self.judged is None else self.judged.found


def write_page(content: PageContent, path: Path) -> None:
    """Write the page as one HTML file.

    Texts are escaped, and full paths are reduced to the names of their files, so that the page can be given away.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    write_bytes(path, page_of(content).encode())


def page_of(content: PageContent) -> str:
    """Return the HTML of the page."""
    # Models that are not ranked, because measurements of theirs are missing, still have profiles over depth.
    styles = styles_of(content.run.records)
    if content.focus:
        styles = focused_styles(styles, content.focus[0].model)
    charts = _charts(content, styles)
    groups, tables = _tables(content.pages)
    parts = _parts(content, tables)
    pictures = pictures_of(content.run) if content.pictures else []
    models = models_of(content.orders, content.catalog, styles)
    uses = uses_of(content.answers, content.catalog) if not content.focus else []
    data = {
        "models": models,
        "uses": [one["model"] for one in uses],
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
        title=content.title or f"Run {content.run.name}",
        summary=content.summary,
        sections=_sections(content, parts, shown, bool(pictures), bool(groups), bool(uses)),
        answers=_answers(content),
        parts=parts,
        charts=shown,
        legend=[model for model in models if model["model"] in _drawn(charts)],
        groups=groups,
        pictures=pictures,
        uses=uses,
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


def _sections(
    content: PageContent, parts: Sequence[Any], charts: Sequence[Any], pictures: bool, tables: bool, uses: bool
) -> list[tuple[str, str]]:
    """Id and name of the sections that the page has."""
    found = [("answer", "Answer")] if content.answers or not parts else []
    found += [(part["id"], part["title"]) for part in parts]
    found += [("models", "Models and tasks")] if content.orders or not parts else []
    found += [("use", "Use it")] if uses else []
    found += [(kind, name) for kind, name, *_ in charts]
    found += [("cases", "Predictions")] if pictures else []
    found += [("tables", "Tables")] if tables else []
    return [*found, ("run", "Skips and provenance")]


def _parts(content: PageContent, tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sections about one model and about the gate; their tables are added to ``tables``."""
    found = [focus_section(content.focus, content.baseline)] if content.focus else []
    found += [gate_section(content.judged)] if content.judged is not None else []
    parts = []
    for section in found:
        lines = [(without_folders(line.text), line.alarm) for line in (section.headline, *section.lines)]
        start = len(tables)
        tables += [_content_of(table) for table in section.tables]
        own = [{"id": start + number, "title": table.title} for number, table in enumerate(section.tables)]
        parts.append({"id": section.id, "title": section.title, "lines": lines, "tables": own})
    return parts


def _answers(content: PageContent) -> list[dict[str, Any]]:
    """Sentences by evidence class: on all models, or on the one in focus."""
    if content.focus:
        own = focus_by_evidence(content.focus)
        return [
            _answer(evidence, found, partial(focused_sentences, baseline=content.baseline))
            for evidence, found in own.items()
        ]
    return [_answer(evidence, found, overall) for evidence, found in by_evidence(content.answers).items()]


def _answer(evidence: str, own: Sequence[T], told: Callable[[Sequence[T]], list[Sentence]]) -> dict[str, Any]:
    return {
        "title": ON[evidence][:1].upper() + ON[evidence][1:],
        "simulated": evidence == "simulated",
        "sentences": [(QUESTIONS[number], texts) for number, texts in _by_question(told(own)).items()],
        "tasks": [{"title": _name(one), "texts": [without_folders(part.text) for part in told([one])]} for one in own]
        if len(own) > 1
        else [],
    }


def _name(one: TaskAnswer | FocusedAnswer) -> str:
    return (one if isinstance(one, TaskAnswer) else one.answer).setting.name


def _by_question(found: Iterable[Sentence]) -> dict[int, list[str]]:
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for one in found:
        texts[one.question].append(without_folders(one.text))
    return dict(texts)


def _charts(content: PageContent, styles: Mapping[str, Any]) -> list[tuple[str, str, str, list[tuple[str, Spec]]]]:
    """Sections of charts: id, title, note, and label and specification of every chart."""
    focus = content.focus[0].model if content.focus else ""
    answers = [one.answer for one in content.focus] if focus else content.answers
    depth = focused_depth_chart if focus else depth_chart
    sections = (
        ("depth", "Where the information is", depth, "Score against relative depth. Ring: tap chosen on "
         "validation. Grey band: best control with its interval. Dashed: random twins and controls."),
        ("labels", "How many labels are needed", label_chart, "Score at the tap chosen on validation, by the "
         "proportion of the training labels."),
    )  # fmt: skip
    found = []
    if content.baseline is not None and (changed := change_charts(content.baseline, focus)):
        found.append((CHANGES, "Old and new weights", "Score against relative depth, at the largest label fraction. "
                      "Dashed: the baseline. Ring: tap chosen on validation.", changed))  # fmt: skip
    for kind, title, draw, note in sections:
        drawn = [(_label(title, one, focus), spec) for one in answers if (spec := draw(one, styles)) is not None]
        if drawn:
            found.append((kind, title, note, drawn))
    return found


def _drawn(charts: Iterable[Any]) -> set[str]:
    """Models that have a line in any chart."""
    return {value["model"] for *_, own in charts for _, spec in own for value in spec["data"]["values"]}


def _label(title: str, answer: TaskAnswer, focus: str) -> str:
    """What a screen reader says instead of the chart."""
    if focus:
        tap = answer.choices[0].entry.record.case.layer
        return f"{title}: {answer.setting.name}. {focus} in colour, chosen tap {tap}; other models in grey."
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
