"""Windows cover chips, feature maps keep their place, and overlaps are averaged."""

from datetime import date

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.backbones.base import TokenLayout, date_groups
from geofm_eval.backbones.series import Encoded
from geofm_eval.data.pixels import RawImage
from geofm_eval.dense.inference import joined
from geofm_eval.dense.maps import dates_within, feature_map
from geofm_eval.dense.temporal import FirstDate, LinearMix, Ltae, temporal_mix
from geofm_eval.dense.windows import Window, covering, cut, cut_target, flipped, window_size
from geofm_eval.errors import ContractError
from tests.small_chips import CATALOG, FLOODS

sides = st.integers(1, 40)


@settings(deadline=None)
@given(sides, sides, sides)
def test_windows_cover_every_pixel_and_none_is_needless(height, width, size):
    seen = np.zeros((height, width), int)
    windows = covering(height, width, size)
    for window in windows:
        assert window.top == 0 or window.top + size <= height
        assert window.left == 0 or window.left + size <= width
        seen[window.area] += 1
    assert seen.min() >= 1
    assert len(windows) == -(-height // size) * -(-width // size)


@settings(deadline=None)
@given(sides, sides, sides, st.integers(0, 10_000))
def test_windows_of_a_chip_join_to_the_chip(height, width, size, seed):
    chip = torch.randn(2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    windows = covering(height, width, size)
    padded = torch.nn.functional.pad(chip, (0, size, 0, size))
    values = [padded[:, w.top : w.top + size, w.left : w.left + size] for w in windows]
    torch.testing.assert_close(joined(values, windows, (height, width)), chip)


def test_overlaps_are_averaged():
    windows = covering(1, 3, 2)
    assert [window.left for window in windows] == [0, 1]
    values = [torch.tensor([[[1.0, 1.0], [0.0, 0.0]]]), torch.tensor([[[3.0, 3.0], [0.0, 0.0]]])]
    assert joined(values, windows, (1, 3)).tolist() == [[[1.0, 2.0, 3.0]]]


def test_a_window_beyond_the_edge_has_no_data_and_no_label():
    image = RawImage(np.ones((2, 3, 3, 4), np.float32), np.ones((2, 3, 4), bool), (date(2020, 1, 1), date(2020, 2, 1)))
    found = cut(image, Window(1, 2, 3))
    assert found.pixels.shape == (2, 3, 3, 3)
    assert found.dates == image.dates
    assert found.valid[0].tolist() == [[True, True, False], [True, True, False], [False, False, False]]
    assert np.isnan(found.pixels[:, :, 2]).all()
    target = cut_target(np.ones((3, 4), np.int64), Window(1, 2, 3), FLOODS)
    assert target.tolist() == [[1, 1, -1], [1, 1, -1], [-1, -1, -1]]
    numbers = cut_target(np.ones((3, 4), np.float32), Window(0, 3, 2), CATALOG.task("biomassters_sim"))
    assert np.isnan(numbers).tolist() == [[False, True], [False, True]]


def test_the_window_is_the_models_size_unless_all_chips_are_smaller():
    assert window_size(224, [(512, 512), (300, 200)]) == 224
    assert window_size(224, [(64, 64), (64, 72)]) == 72
    assert window_size(None, [(64, 64), (64, 72)]) == 72
    assert window_size(None, [(512, 512)]) == 224
    with pytest.raises(ContractError, match="expected at least one"):
        window_size(224, [])


@pytest.mark.parametrize("axes", [(), (-1,), (-2,), (-2, -1)])
def test_image_and_target_are_mirrored_alike(axes):
    pixels = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    image, target = flipped(RawImage(pixels, pixels[0] > 2, ()), pixels[0].astype(np.int64), axes)
    assert (image.pixels[0] == target).all()
    assert (image.valid == (target > 2)).all()
    assert (np.flip(target, axes) == pixels[0]).all() if axes else (target == pixels[0]).all()


def test_a_feature_map_has_every_token_in_its_place():
    grid, width = (2, 3), 2
    layout = TokenLayout(grid, 1, ("a", "b"))
    tokens = torch.zeros(1, layout.tokens, width)
    tokens[0, 0] = 99  # the prefix
    tokens[0, 1:, 0] = torch.arange(12.0)
    known = torch.ones(1, layout.tokens, dtype=torch.bool)
    known[0, 1 + 6 + 4] = False  # group b, row 1, column 1
    known[0, [1 + 5, 1 + 11]] = False  # both groups, row 1, column 2
    found = feature_map(Encoded({"final": tokens}, known, layout, 1), "final")
    assert found.shape == (1, 1, width, *grid)
    # The mean of both groups; group a alone; of a place without data the nearest place (above, before the left).
    assert found[0, 0, 0].tolist() == [[3.0, 4.0, 5.0], [6.0, 4.0, 4.0]]


def test_dates_of_a_series_stay_apart_however_they_were_encoded():
    tokens = torch.randn(2, 3 * 2 * 4, 5)
    known = torch.ones(2, 24, dtype=torch.bool)
    native = TokenLayout((2, 2), 0, date_groups(3, ("s1", "s2")))
    assert dates_within(native) == 3
    assert dates_within(TokenLayout((2, 2), 0, ("image",))) == 1
    at_once = feature_map(Encoded({"t": tokens}, known, native, 1), "t")
    single = TokenLayout((2, 2), 0, ("s1", "s2"))
    one_by_one = feature_map(Encoded({"t": tokens.reshape(6, 8, 5)}, known.reshape(6, 8), single, 3), "t")
    assert at_once.shape == (2, 3, 5, 2, 2)
    torch.testing.assert_close(at_once, one_by_one)


def test_attention_over_dates_weighs_them_at_every_place():
    torch.manual_seed(0)
    mix, maps = Ltae(32, 4).eval(), torch.randn(2, 3, 32, 4, 5)
    found = mix(maps)
    assert found.shape == (2, 32, 4, 5)
    # Places are treated one by one: a change at one place stays there, also on a single date.
    changed = maps.clone()
    changed[0, 1, :, 2, 3] += 1
    moved = (mix(changed) - found).abs().sum(1) > 1e-6
    assert moved.nonzero().tolist() == [[0, 2, 3]]
    # Dates are a set.
    torch.testing.assert_close(mix(maps[:, [2, 0, 1]]), found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("width", [8, 16, 32, 64, 384, 768])
def test_attention_over_dates_keeps_what_places_differ_in(width):
    """One channel per head would be normalised to nothing: the UNet with its 16 channels said the same everywhere."""
    torch.manual_seed(0)
    mix = temporal_mix("ltae", width, 3)
    found = mix(torch.randn(2, 3, width, 4, 4))
    assert found.std((0, 2, 3)).mean() > 0.1


def test_a_linear_mix_begins_as_the_mean_and_knows_its_number_of_dates():
    mix, maps = LinearMix(3), torch.randn(2, 3, 4, 5, 5)
    torch.testing.assert_close(mix(maps), maps.mean(1))
    with pytest.raises(ContractError, match="series of 2 dates, expected 3"):
        mix(maps[:, :2])
    assert isinstance(temporal_mix("ltae", 64, 1), FirstDate)
    assert isinstance(temporal_mix("ltae", 24, 2), Ltae)
    with pytest.raises(ContractError, match="temporal mix 'gru' is unknown; known: ltae, linear"):
        temporal_mix("gru", 64, 2)
