"""Bands by name: one spelling for all sources, and an answer for what is misspelt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.catalog import load_catalog
from geofm_eval.catalog.bands import BANDS, SENTINEL2, band, canonical
from geofm_eval.errors import ContractError


@pytest.mark.parametrize(
    ("spelling", "name"),
    [("B2", "B02"), ("b02", "B02"), ("B8", "B08"), ("B8A", "B8A"), ("b08a", "B8A"), (" B12 ", "B12"), ("vv", "VV")],
)
def test_every_source_spelling_has_one_name(spelling: str, name: str):
    assert canonical(spelling) == name
    assert band(spelling).name == name


@given(st.text(max_size=8))
def test_canonical_is_idempotent(name: str):
    assert canonical(canonical(name)) == canonical(name)


def test_optical_bands_are_in_order_of_wavelength():
    wavelengths = [known.wavelength for known in SENTINEL2.values()]
    assert wavelengths == sorted(wavelengths)
    assert len(SENTINEL2) == 13


def test_unknown_band_gets_the_nearest_names():
    with pytest.raises(ContractError, match=r"band 'B8B' is unknown; did you mean .*B8A"):
        band("B8B")
    with pytest.raises(ContractError, match=r"known: B01, B02"):
        band("thermal")


def test_catalog_names_known_bands_only():
    catalog = load_catalog()
    named = {name for entry in (*catalog.models.values(), *catalog.tasks.values()) for name in entry.bands}
    assert named - {"*"} <= set(BANDS)
