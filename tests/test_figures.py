"""Figures can be read: one colour per model, names that nothing strikes through, few bands and few heatmaps."""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.records import Matrix, write_record
from geofm_eval.report.probes import figures as probes
from geofm_eval.report.probes.curves import depth_profiles
from geofm_eval.report.similarity import heatmaps
from geofm_eval.report.trainings import figures as trainings
from geofm_eval.report.trainings.figures import block_figure, pareto_figure
from geofm_eval.report.web.palette import styles_of
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.run import read_run
from geofm_eval.results.similarity import Pair
from geofm_eval.results.trainings import TrainedCases, comparable_trainings
from tests.synthetic_run import Synthetic, write_run
from tests.test_report_dense import counts_of, record_of

CATALOG = load_catalog()
COUNT = 12


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """A comparison of twelve models and two controls, with its depth profiles."""
    models = [Synthetic(f"model_{n:02d}", (0.4, 0.5 + n / 100, 0.6)) for n in range(COUNT)]
    models += [Synthetic("model_00_random", (0.4, 0.4, 0.4), control=True), Synthetic("band_stats", (0.5,), True)]
    run = read_run(write_run(tmp_path_factory.mktemp("runs") / "many", models, ("eurosat_sim",), ("linear",)))
    (comparison,), _ = comparisons(run)
    return comparison, depth_profiles(rank(comparison, run.pairs))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedCases:
    folder = tmp_path_factory.mktemp("runs") / "dense"
    seconds = iter(range(2, 100, 7))
    for model in ("pocket_mae", "pocket_contrast"):
        for adaptation, layer in (
            ("single_w064_frozen_p100", "block05"),
            ("single_w064_frozen_p100", "block11"),
            ("lightms_full_p100", "multi"),
        ):
            made = record_of(model, adaptation, layer, counts_of(model, adaptation), seconds=float(next(seconds)))
            write_record(*made, folder)
    ((cases,), _) = comparable_trainings(read_run(folder))
    return cases


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Figures that would have been saved."""
    found: list[Any] = []
    for module in (probes, trainings, heatmaps):
        monkeypatch.setattr(module, "save", lambda figure, *_: found.append(figure))
    return found


def colours_of(axis: Any) -> Mapping[str, str]:
    return {text.get_text(): text.get_color() for text in axis.texts}


def test_only_the_first_two_models_have_a_band(profiles, drawn):
    comparison, own = profiles
    styles = styles_of(profile.subject.record for profile in own)
    probes.depth_figure(comparison, own, CATALOG, styles, Path("depth.png"))
    (axis,) = drawn[0].axes
    first = [profile.subject.model for profile in own if not profile.subject.is_control][:2]
    bands = [patch.get_facecolor()[:3] for patch in axis.patches]
    from matplotlib.colors import to_rgb

    assert bands == [pytest.approx(to_rgb(styles[model].colour)) for model in first]


def test_names_at_the_ends_of_lines_have_the_colours_of_the_palette_and_room(profiles, drawn):
    comparison, own = profiles
    styles = styles_of(profile.subject.record for profile in own)
    probes.depth_figure(comparison, own, CATALOG, styles, Path("depth.png"))
    figure, (axis,) = drawn[0], drawn[0].axes
    assert colours_of(axis) == {model: style.colour for model, style in styles.items()}
    assert styles["model_00_random"].colour == styles["model_00"].colour
    places = sorted(text.get_position()[1] for text in axis.texts)
    low, high = axis.get_ylim()
    inches = (figure.get_size_inches()[1] - probes.MARGINS) / (high - low)
    assert min(b - a for a, b in pairwise(places)) * inches >= probes.LABEL_GAP * 0.999
    assert all(text.get_position()[0] > 1 for text in axis.texts), "to the right of all curves"


def test_the_overview_names_level_lines_outside_the_panels_and_shows_intervals(profiles, drawn):
    comparison, own = profiles
    probes.overview_figure([(comparison, own)] * 2, "SIMULATED DATA", Path("overview.png"))
    for axis in drawn[0].axes:
        assert [text.get_text() for text in axis.texts] == ["band_stats"]
        assert axis.texts[0].get_position()[0] > 1
        low, high = axis.get_ylim()
        assert high - low >= 100 * probes.SPAN
        assert len(axis.collections) == COUNT + 1, "one interval per chosen tap"


def test_cost_is_drawn_by_backbone_with_numbers_that_the_legend_explains(trained, drawn):
    styles = styles_of(cell.record for cell in trained.cells)
    pareto_figure(trained, CATALOG, styles, Path("pareto.png"))
    (axis,) = drawn[0].axes
    legend = [text.get_text() for text in axis.get_legend().get_texts()]
    numbers = [text.get_text() for text in axis.texts]
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
    for number in numbers:
        assert sum(text.startswith(f"{number}  pocket_") for text in legend) == 1
    assert {"pocket_mae", "pocket_contrast", "lightms", "single_w064", "frozen", "tuned"} <= set(legend)
    assert {tick.get_text() for tick in axis.get_xticklabels()} <= set(trainings.DURATIONS.values())
    assert axis.get_legend().get_bbox_to_anchor().x0 > axis.bbox.x1, "beside the panel"


def test_models_at_one_block_are_moved_apart(trained, drawn):
    styles = styles_of(cell.record for cell in trained.cells)
    assert block_figure(trained, CATALOG, styles, Path("blocks.png"))
    (axis,) = drawn[0].axes
    bars = [line.get_xdata()[0] for line in axis.lines if len(set(line.get_xdata())) == 1]
    assert len(bars) == len(set(bars)) == 4


def test_a_figure_has_at_most_twelve_heatmaps_with_one_model_on_the_vertical_axis(drawn, profiles, monkeypatch):
    comparison, _ = profiles
    names = [f"model_{n:02d}" for n in range(COUNT)]
    values = ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    matrix = Matrix(rows=("block00", "final"), columns=("block00", "block01", "final"), debiased=values, biased=values)
    monkeypatch.setattr(heatmaps, "has_control", lambda *_: False)

    class Table:
        found, n, twins = dict.fromkeys(names), 60, ()
        # The later model is the one with the record, as in a run.
        strangers = tuple(Pair(b, a, matrix) for a in names for b in names if a < b)

    Table.comparison = comparison  # type: ignore[attr-defined]
    heatmaps.heatmap_figure("between", Table, CATALOG, Path("between.png"))  # type: ignore[arg-type]
    (figure,) = drawn
    panels = [axis for axis in figure.axes if axis.images and axis.get_xlabel()]
    assert len(panels) == heatmaps.MOST == 12
    assert [axis.get_ylabel() for axis in panels[:11]] == ["model_00"] * 11
    assert panels[0].images[0].get_array().shape == (3, 2), "transposed"
    assert np.array_equal(panels[0].images[0].get_array(), np.transpose(values))
    assert "The CSV has 54 more heatmaps." in " ".join(figure._supxlabel.get_text().split())
