"""Contact sheets of the best model of every task, for the page."""

import base64
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from geofm_eval.results.run import Run
from geofm_eval.results.trainings import TrainedCases, comparable_trainings
from geofm_eval.results.units import SIMULATED

SHEETS = "sheets"
"""Folder of contact sheets in the folder of a run."""

WIDTH, QUALITY, MOST = 1000, 75, 12
"""Width in pixels and quality of a picture, and the number of pictures: a page has at most 5 MB."""


def pictures_of(run: Run) -> list[dict[str, str]]:
    """Return source and description of one contact sheet per task: that of the best case on validation that has one."""
    return list(_found(run, comparable_trainings(run)[0]))[:MOST]


def _found(run: Run, trained: Sequence[TrainedCases]) -> Iterator[dict[str, str]]:
    for cases in trained:
        for cell in sorted(cases.candidates, key=lambda cell: (-cell.sign * cell.validated, cell.name)):
            path = run.folder / SHEETS / f"{cell.record.case.id}.png"
            if path.is_file():
                simulated = f"{SIMULATED}: " if cell.record.evidence == "simulated" else ""
                alt = f"{simulated}{cell.record.case.id}: best, median and worst test chip"
                yield {"source": _webp(path), "alt": alt}
                break


def _webp(path: Path) -> str:
    from PIL import Image  # here, so that a page without pictures does not load it

    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.width > WIDTH:
        picture = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
