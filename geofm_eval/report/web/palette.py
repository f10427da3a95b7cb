"""One colour and dash per model, the same in every chart of a page and in every figure of a run."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from geofm_eval.records import Record
from geofm_eval.report.drawing import GREY

COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B07D00", "#3A9BD9", "#9454A8", "#8C564B", "#5C8D2E", "#C2185B",
)  # fmt: skip
"""Readable on white and on black; the first six are those of Okabe and Ito (2008), darkened where they are pale."""

DASHES = ([1, 0], [6, 3], [2, 2])
"""Dashes of the first ten models, of the next ten, and so on."""

TWIN = [4, 4]
"""Dash of random twins and other controls."""


@dataclass(frozen=True)
class LineStyle:
    """How a model is drawn."""

    colour: str
    dash: tuple[int, ...]
    control: bool

    @property
    def line(self) -> dict[str, Any]:
        """The keywords with which matplotlib draws such a line: colour, dashes, width and order."""
        # A dash is in pixels of a line two pixels wide; matplotlib counts in widths of the line.
        solid = self.dash == tuple(DASHES[0])
        return {
            "color": self.colour,
            "linestyle": "-" if solid else (0, tuple(length / 2 for length in self.dash)),
            "linewidth": 1.3 if self.control else 1.8,
            "zorder": 2 if self.control else 3,
        }


def styles_of(records: Iterable[Record]) -> dict[str, LineStyle]:
    """Return the style of every model by slug; backbones have colours, in the order of their names, controls are grey.

    A random twin has the colour of its model, if that is in the run.
    """
    control = {record.case.model: record.case.is_control for record in records}
    backbones = sorted(model for model, own in control.items() if not own)
    found = {
        model: LineStyle(
            COLOURS[number % len(COLOURS)], tuple(DASHES[number // len(COLOURS) % len(DASHES)]), control=False
        )
        for number, model in enumerate(backbones)
    }
    for model in sorted(model for model, own in control.items() if own):
        original = found.get(model.removesuffix("_random"))
        found[model] = LineStyle(GREY if original is None else original.colour, tuple(TWIN), control=True)
    return found
