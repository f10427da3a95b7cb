"""Names of bands: from the user, from a preset, or from the files; never guessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

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


def name_bands(asked: str | None, images: Sequence[tuple[int, Sequence[str]]]) -> list[Names]:
    """Name the bands of own images.

    Args:
        asked: presets or names separated by commas, of one product after the other; None takes the descriptions of the
            files.
        images: number of bands of every product's images, and their descriptions in file order, which may be empty.

    Returns:
        The names of every product.

    Raises:
        ContractError: the names are not as many as the bands, or one is a colour.
    """
    if asked is not None:
        return _asked(asked, [count for count, _ in images])
    return [_described(count, descriptions) for count, descriptions in images]


def _described(count: int, descriptions: Sequence[str]) -> Names:
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


def _asked(asked: str, counts: Sequence[int]) -> list[Names]:
    presets = {name.lower(): preset for name, preset in PRESETS.items()}
    parts = [part.strip() for part in asked.split(",") if part.strip()]
    named: list[tuple[str, Product | None]] = []
    for part in parts:
        preset = presets.get(part.lower())
        named += [(canonical(part), None)] if preset is None else [(band, preset.product) for band in preset.bands]
    if len(named) != sum(counts):
        raise ContractError(
            f"--bands {asked}: names {len(named)} bands ({', '.join(band for band, _ in named)}), the images have "
            f"{' + '.join(map(str, counts))}; presets: "
            f"{', '.join(f'{name} ({len(one.bands)})' for name, one in PRESETS.items())}"
        )
    colours = common_names([band for band, _ in named])
    if colours:
        raise ContractError(f"--bands {asked}: give names such as {', '.join(colours.values())} instead of colours")
    comment = f"preset {asked}" if len(parts) == 1 and asked.strip().lower() in presets else "as given by --bands"
    rest = iter(named)
    return [_names(list(islice(rest, count)), comment) for count in counts]


def _names(named: Sequence[tuple[str, Product | None]], comment: str) -> Names:
    """Names of one product's bands, each with the processing level of the preset that it comes from."""
    bands = tuple(band for band, _ in named)
    levels = {level for _, level in named}
    level = levels.pop() if len(levels) == 1 else None
    return Names(bands, level or _product(bands), comment)


def _product(bands: Sequence[str]) -> Product:
    return "GRD" if bands and all(band in SENTINEL1 for band in bands) else "any"
