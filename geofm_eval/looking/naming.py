"""Names of bands: from the user, from a preset, or from the files; never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.catalog.bands import BANDS, SENTINEL1, canonical, common_names
from geofm_eval.catalog.base import Product
from geofm_eval.catalog.tasks import UNKNOWN
from geofm_eval.errors import ContractError


@dataclass(frozen=True)
class Preset:
    """Bands of a usual product in file order, and its processing level."""

    bands: tuple[str, ...]
    product: Product


_TWELVE = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12")

PRESETS: dict[str, Preset] = {
    "S2L2A": Preset(_TWELVE, "L2A"),
    "S2L1C": Preset((*_TWELVE[:10], "B10", *_TWELVE[10:]), "L1C"),
    "PlanetScope4": Preset(("B02", "B03", "B04", "B08"), "any"),
    "RGB": Preset(("B04", "B03", "B02"), "any"),
    "S1": Preset(("VV", "VH"), "GRD"),
}
"""Presets of ``--bands`` by name."""


@dataclass(frozen=True)
class Names:
    """Names of the bands of own images, and where they come from."""

    bands: tuple[str, ...]
    product: Product
    comment: str

    @property
    def known(self) -> bool:
        """Whether every band is named."""
        return UNKNOWN not in self.bands


def name_bands(asked: str | None, count: int, descriptions: Sequence[str]) -> Names:
    """Name the bands of own images.

    Args:
        asked: preset, or names separated by commas; None takes the descriptions of the files.
        count: number of bands.
        descriptions: descriptions in the files, in order; may be empty.

    Raises:
        ContractError: the names are not as many as the bands, or one is a colour.
    """
    if asked is not None:
        return _asked(asked, count)
    meant = {
        **common_names(descriptions),
        **{name: canonical(name) for name in descriptions if canonical(name) in BANDS},
    }
    if len(descriptions) == count and len(set(meant.values())) == count:
        bands = tuple(meant[name] for name in descriptions)
        return Names(
            bands, _product(bands), f"from the files' band descriptions: {', '.join(descriptions)}; check them"
        )
    found = f" (the files say {', '.join(descriptions)[:120]})" if descriptions else ""
    return Names((UNKNOWN,) * count, "any", f'name them in file order, for example "B02"{found}')


def _asked(asked: str, count: int) -> Names:
    preset = next((one for name, one in PRESETS.items() if name.lower() == asked.strip().lower()), None)
    if preset is None:
        names = tuple(canonical(name) for name in asked.split(",") if name.strip())
        preset, comment = Preset(names, _product(names)), "as given by --bands"
    else:
        comment = f"preset {asked}"
    if len(preset.bands) != count:
        raise ContractError(
            f"--bands {asked}: names {len(preset.bands)} bands ({', '.join(preset.bands)}), the images have {count}; "
            f"presets: {', '.join(f'{name} ({len(one.bands)})' for name, one in PRESETS.items())}"
        )
    colours = common_names(preset.bands)
    if colours:
        raise ContractError(f"--bands {asked}: give names such as {', '.join(colours.values())} instead of colours")
    return Names(preset.bands, preset.product, comment)


def _product(bands: Sequence[str]) -> Product:
    return "GRD" if bands and all(band in SENTINEL1 for band in bands) else "any"
