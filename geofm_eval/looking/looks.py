"""A look at the images of own data: values, names of bands and unit, once for the files of every product."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from geofm_eval.catalog.base import Radar
from geofm_eval.looking.naming import Names, name_bands
from geofm_eval.looking.samples import LookedSamples, read_samples
from geofm_eval.looking.sources import OwnSource
from geofm_eval.looking.units import Unit, guess_unit

_NEUTRAL = {"scale": 1.0, "offset": 0.0}


@dataclass(frozen=True)
class ImageLook:
    """What the images of one product have in common.

    Args:
        product: name of the product as the table spells it; empty if there is only one kind of file.
        samples: pixels of some images.
        names: names of the bands; those that nobody has named are ``?``.
        unit: unit of the stored values.
    """

    product: str
    samples: LookedSamples
    names: Names
    unit: Unit

    def told(self, text: str) -> str:
        """Return a remark that begins with the name of the product, if there are several."""
        return f"{self.product}: {text}" if self.product else text


def look_at_images(source: OwnSource, bands: str | None) -> tuple[ImageLook, ...]:
    """Read some images of every product, and name their bands.

    Args:
        source: own data.
        bands: presets or names of the bands, of one product after the other; None takes the files' descriptions.

    Raises:
        DataError: an image cannot be read, or images of one product differ in their number of bands.
        ContractError: the names do not fit the images.
    """
    read = {name: read_samples(images, source.root, source.windows) for name, images in source.products.items()}
    names = name_bands(bands, [(samples.bands, samples.descriptions) for samples in read.values()])
    return tuple(
        ImageLook(product, samples, own, guess_unit(samples, own))
        for (product, samples), own in zip(read.items(), names, strict=True)
    )


def fields_of(looks: Sequence[ImageLook]) -> dict[str, Any]:
    """Return the fields of an entry that follow from its images."""
    if not looks:
        return {"bands": (), "product": "any"}
    radar = [look for look in looks if look.names.product in get_args(Radar)]
    optical = [look for look in looks if look not in radar]
    found: dict[str, Any] = {
        "bands": tuple(band for look in looks for band in look.names.bands),
        "product": (optical or radar)[0].names.product,
        **({"radar": radar[0].names.product} if optical and radar else {}),
    }
    for name, neutral in _NEUTRAL.items():
        values = [look.unit.fields.get(name, neutral) for look in looks for _ in look.names.bands]
        if any(value != neutral for value in values):
            found[name] = values[0] if len(set(values)) == 1 else tuple(values)
    known = [look.samples.gsd for look in looks if look.samples.gsd is not None]
    sizes = {size for look in looks for size in look.samples.sizes}
    found |= {"gsd": known[0]} if known else {}
    return found | ({"pixels": min(next(iter(sizes)))} if len(sizes) == 1 else {})


def options_of(looks: Sequence[ImageLook]) -> Mapping[str, Any]:
    """Return the bands of the files of every product, if there are several."""
    several = {look.product: list(look.names.bands) for look in looks if look.product}
    return {"bands": several} if several else {}
