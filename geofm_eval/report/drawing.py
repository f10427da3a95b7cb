"""What all figures share. No global state: neither pyplot nor its backend is touched."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geofm_eval.records import Record

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

GREY = "#7f7f7f"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


LETTERS = 110.0
"""Letters of one point that fit an inch: matplotlib's own wrapping would measure every title word by word."""


def new_figure(size: tuple[float, float], title: str, fontsize: float = 10) -> "Figure":
    """An empty figure of this size in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    text = textwrap.fill(title, int(size[0] * LETTERS / fontsize))
    figure.suptitle(text, fontsize=fontsize, x=0.01, ha="left")
    return figure


def save(figure: Any, path: Path, dpi: float) -> None:
    """Write a figure as PNG. ``Figure.savefig`` would visit all artists twice, first for the layout alone."""
    figure.set_dpi(dpi)
    figure.canvas.print_png(path)


def caption(figure: Any, text: str) -> None:
    """Write what the marks of a figure mean below it."""
    wrapped = textwrap.fill(text, int(figure.get_size_inches()[0] * LETTERS / 8))
    figure.supxlabel(wrapped, fontsize=8, color="#444444", x=0.01, ha="left")


Names = Sequence[Sequence[str]]
"""Names of the ticks of every panel, row by row."""


def name_ticks(panels: Any, across: Names, up: Names | None = None, fontsize: float = 6, rotation: float = 0) -> None:
    """Name the ticks of a grid of panels once for neighbouring panels with the same names.

    Texts cost most of the time of a figure.

    Args:
        panels: (rows, columns) axes; those beyond ``across`` are empty.
        across: of horizontal axes.
        up: of vertical axes; None leaves these as they are.
        fontsize: of the names.
        rotation: of names of horizontal axes.
    """
    columns = panels.shape[1]
    for place, (axis, names) in enumerate(zip(panels.flat, across, strict=False)):
        below = across[place + columns] if place + columns < len(across) else ()
        _name(axis.xaxis, names if names != below else (), fontsize, rotation)
        if up is not None:
            before = up[place - 1] if place % columns else ()
            _name(axis.yaxis, up[place] if up[place] != before else (), fontsize, 0)


def _name(axis: Any, names: Sequence[str], fontsize: float, rotation: float) -> None:
    axis.set_ticks(range(len(names)), names, fontsize=fontsize, rotation=rotation)


def plain(axis: Any, grid: bool = True) -> None:
    """Leave out the frame above and to the right, and draw light horizontal lines."""
    axis.spines[["top", "right"]].set_visible(False)
    if grid:
        axis.grid(axis="y", color="#e6e6e6", linewidth=0.7)


def marker_of(number: int) -> str:
    """Marker of the n-th thing of a kind."""
    return MARKERS[number % len(MARKERS)]


def entry(label: str, **how: Any) -> "Line2D":
    """One entry of a legend, by default its words alone, as for a heading.

    Args:
        label: the words.
        how: keywords of a line, for example its colour and marker.
    """
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, **{"linestyle": "", "markersize": 5, **how})


def legend_beside(axis: Any, handles: "Sequence[Line2D]") -> None:
    """Write a legend to the right of a panel, where it covers neither the title nor what is drawn."""
    axis.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        fontsize=8,
        frameon=False,
        handlelength=3.0,
    )


def hatch_of(record: Record) -> str | None:
    """Weights of unverified provenance are hatched."""
    return "////" if record.case.is_unverified else None
