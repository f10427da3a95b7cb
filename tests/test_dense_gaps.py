"""Half-planes along the edges of tokens: every tap finds them exactly, whatever has no data or label there."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from geofm_eval.catalog import Normalisation
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.maps import enlarged, filled
from geofm_eval.dense.probe import DenseProbe
from geofm_eval.dense.tokens import TokenEncoder, sample_tokens
from geofm_eval.dense.windows import Window
from geofm_eval.errors import DataError
from geofm_eval.progress import LogProgress
from geofm_eval.stats.counts import count_score
from tests.small_chips import CATALOG, CROPS, FLOODS, chips
from tests.small_vit import load, small_vit

DARK, BRIGHT = 1000.0, 9000.0
CENTRED = Normalisation(mean=5000.0, std=1000.0)
# Fills with a value that no ground has, as far from either class as from nothing.
FILL = CATALOG.recipe("probing").model_copy(update={"fill": "raw_zero"})
TAPS = ("embed", "block00", "block01", "block02", "final")
WHOLE, STRIP, PILLAR, CORNER = (112, 112), (48, 112), (112, 40), (48, 40)

Mask = Callable[[int, tuple[int, int], int], np.ndarray]
"""From number, shape and token size of a chip to (height, width) bool."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


def half_plane(index: int, shape: tuple[int, int], token: int) -> np.ndarray:
    """True on one side of an edge between two rows or columns of tokens."""
    axis, turned = index % 2, bool(index // 2 % 2)
    place = token * int(np.random.default_rng(index).integers(1, shape[axis] // token))
    side = np.arange(shape[axis]) >= place
    return np.broadcast_to(side[:, None] if axis == 0 else side, shape) ^ turned


def nowhere(index: int, shape: tuple[int, int], token: int) -> np.ndarray:
    return np.zeros(shape, dtype=bool)


def holes(index: int, shape: tuple[int, int], token: int) -> np.ndarray:
    """Two rectangles of whole tokens, anywhere: on the edge of the half-plane and of the chip too."""
    rng, found = np.random.default_rng([index, 5]), nowhere(index, shape, token)
    for _ in range(2):
        top, left = (token * int(rng.integers(side // token)) for side in shape)
        height, width = (token * int(extent) for extent in rng.integers(1, 4, 2))
        found[top : top + height, left : left + width] = True
    return found


def scattered(index: int, shape: tuple[int, int], token: int) -> np.ndarray:
    """A fifth of all tokens."""
    grid = np.random.default_rng([index, 6]).random((shape[0] // token, shape[1] // token)) < 0.2
    return np.repeat(np.repeat(grid, token, 0), token, 1)


def orbit_edge(index: int, shape: tuple[int, int], token: int) -> np.ndarray:
    """The last columns, in steps of whole tokens."""
    steps = 1 + np.arange(shape[0]) // (2 * token) % 3
    return np.arange(shape[1]) >= shape[1] - token * steps[:, None]


@dataclass(frozen=True)
class Planes:
    """Splits of half-planes.

    Args:
        shape: of the chips.
        gap: where the image has no data.
        ignored: where there is no label, and the image shows the other class.
        labelled_gaps: gaps have a label all the same.
        size: pixels per side of a window.
        token: pixels per side of a token.
        train: training chips.
    """

    shape: tuple[int, int]
    gap: Mask = nowhere
    ignored: Mask = nowhere
    labelled_gaps: bool = False
    size: int = 112
    token: int = 8
    train: int = 8
    task = FLOODS

    def image(self, item: Item) -> np.ndarray:
        of = (int(item.path.stem), self.shape, self.token)
        shown = half_plane(*of) ^ self.ignored(*of)
        pixels = np.where(shown, BRIGHT, DARK)[None].repeat(len(self.task.bands), 0)
        return np.where(self.gap(*of), np.nan, pixels).astype(np.float32)

    def target(self, item: Item) -> np.ndarray:
        of = (int(item.path.stem), self.shape, self.token)
        unknown = self.ignored(*of) | (self.gap(*of) & (not self.labelled_gaps))
        return np.where(unknown, self.task.ignore, half_plane(*of))

    def split(self, name: str, first: int, count: int) -> Split:
        return replace(chips(self.task, name, count, first), load=self.image, load_target=self.target)

    def probe(self) -> DenseProbe:
        spec = small_vit(
            image_size=self.size, bands=self.task.bands, normalisation=CENTRED, options={"patch_size": self.token}
        )
        first = {"train": (0, self.train), "val": (100, 4), "test": (200, 4)}
        splits = {name: self.split(name, *place) for name, place in first.items()}
        encoder = TokenEncoder(
            load(spec, self.task.slug), InputAdapter(spec, self.task, FILL), self.size, torch.device("cpu")
        )
        return DenseProbe(encoder, splits, {(1.0, 0): ChipBudget(np.arange(self.train), np.arange(4))}, 7, LogProgress)


def scores(made: DenseProbe) -> dict[str, float]:
    sweep = made.stored()
    found = zip(sweep.rows, sweep.counts, strict=True)
    return {row.tap: float(count_score(counts[None], "miou")[0]) for row, counts in found}


@pytest.mark.parametrize(
    "planes",
    [
        Planes(WHOLE),
        Planes(STRIP),
        Planes(PILLAR),
        Planes(CORNER),
        Planes(WHOLE, gap=holes),
        Planes(WHOLE, gap=scattered),
        Planes(WHOLE, gap=orbit_edge),
        Planes(STRIP, gap=holes),
        Planes(STRIP, gap=scattered),
        Planes(WHOLE, ignored=holes),
        Planes(WHOLE, ignored=scattered),
        Planes(STRIP, ignored=holes),
        Planes(STRIP, gap=orbit_edge, ignored=scattered),
        Planes((512, 512), gap=orbit_edge, ignored=holes, size=224, token=16, train=4),
    ],
    ids=lambda planes: f"{planes.shape[0]}x{planes.shape[1]}-{planes.gap.__name__}-{planes.ignored.__name__}",
)
def test_a_half_plane_is_exact_at_every_tap(planes):
    assert scores(planes.probe()) == dict.fromkeys(TAPS, 1.0)


def test_gaps_that_have_a_label_are_scored_by_the_nearest_tokens_and_teach_nothing():
    planes = Planes(WHOLE, gap=orbit_edge, labelled_gaps=True)
    made = planes.probe()
    # Not exactly 1: of an edge that ends in a gap nobody knows how it goes on.
    assert min(scores(made).values()) > 0.98
    tokens = sample_tokens(made.encoder, made.splits["train"], 7)
    missing = sum(int(orbit_edge(index, WHOLE, 8)[::8, ::8].sum()) for index in range(8))
    assert len(tokens.weights) == 8 * 14 * 14 - missing


def test_labels_of_gaps_alone_are_refused():
    made = Planes(WHOLE, gap=orbit_edge).probe()

    def only_gaps(item: Item) -> np.ndarray:
        of = (int(item.path.stem), WHOLE, 8)
        return np.where(orbit_edge(*of), half_plane(*of), FLOODS.ignore)

    splits = {**made.splits, "val": replace(made.splits["val"], load_target=only_gaps)}
    with pytest.raises(DataError, match="no validation token has both data and a label"):
        replace(made, splits=splits).stored()


def test_a_complete_map_is_interpolated_as_ever():
    maps = torch.randn(2, 3, 4, 5)
    expected = functional.interpolate(maps, (32, 40), mode="bilinear")
    assert torch.equal(enlarged(maps, torch.ones(2, 4, 5, dtype=torch.bool), (32, 40)), expected)
    series = torch.randn(2, 3, 6, 4, 5)
    assert filled(series, torch.ones(2, 3, 4, 5, dtype=torch.bool)) is series


def test_what_a_gap_holds_reaches_no_pixel_and_no_token():
    known = torch.tensor(scattered(3, (14, 14), 1))[None] ^ True
    maps = torch.randn(1, 3, 14, 14)
    for other in (1e6, float("nan")):
        spoilt = torch.where(known[:, None], maps, other)
        assert torch.equal(enlarged(spoilt, known, (112, 112)), enlarged(maps, known, (112, 112)))
        assert torch.equal(filled(spoilt[:, None], known[:, None]), filled(maps[:, None], known[:, None]))


def test_a_strip_is_interpolated_as_if_the_image_ended_there():
    """Apart from the half token next to the padding, where the pixel's own token counts for more."""
    known = torch.zeros(1, 14, 14, dtype=torch.bool)
    known[:, :6] = True
    maps = torch.randn(1, 2, 14, 14)
    alone = functional.interpolate(maps[:, :, :6], (48, 112), mode="bilinear")
    torch.testing.assert_close(enlarged(maps, known, (112, 112))[:, :, :44], alone[:, :, :44])


def test_a_hole_on_the_edge_of_a_half_plane_does_not_move_the_edge():
    """Weights that are merely renormalised do: a token's corner then hears more of the other side than of its own."""
    values = torch.tensor([[-1.0, 1.0], [-1.0, 1.0]])[None, None]
    known = torch.tensor([[[True, True], [False, True]]])
    share = functional.interpolate(known[:, None].float(), (16, 16), mode="bilinear")
    renormalised = functional.interpolate(values * known[:, None], (16, 16), mode="bilinear") / share
    truth = torch.arange(16) >= 8
    assert ((enlarged(values, known, (16, 16)) > 0)[0, 0] == truth)[:8].all()
    assert not ((renormalised > 0)[0, 0] == truth)[:8].all()


def test_a_token_of_a_series_is_filled_from_other_dates_and_then_from_other_places():
    maps = torch.arange(2 * 3, dtype=torch.float32).reshape(1, 2, 1, 1, 3)  # two dates of three tokens
    known = torch.tensor([[True, True, False], [True, False, False]]).reshape(1, 2, 1, 3)
    assert filled(maps, known).flatten(2).squeeze().tolist() == [[0, 1, 1], [3, 1, 1]]
    nothing = torch.zeros_like(known)
    assert torch.equal(filled(maps, nothing), maps)


def test_dates_without_data_do_not_change_what_a_probe_sees():
    spec = small_vit(image_size=32, bands=CROPS.bands)
    split = chips(CROPS, "train")
    encoder = TokenEncoder(load(spec, CROPS.slug), InputAdapter(spec, CROPS, FILL), 32, torch.device("cpu"))
    stored = split.load(split.items[0])
    cloudy = stored.copy()
    cloudy[1:, :, :16] = np.nan
    (whole,), (found,) = (
        list(encoder.maps(replace(split, load=lambda _, image=image: image).read(0), [Window(0, 0, 32)]))
        for image in (stored, cloudy)
    )
    assert found.with_data.all()
    assert torch.equal(found.taps["embed"][:, :, 2:], whole.taps["embed"][:, :, 2:])
    # Above, only the first date has data.
    alone = replace(split, load=lambda _: stored[:1].repeat(len(stored), 0)).read(0)
    (first,) = encoder.maps(alone, [Window(0, 0, 32)])
    torch.testing.assert_close(found.taps["embed"][:, :, :2], first.taps["embed"][:, :, :2])
