"""Floating-point operations of a forward pass, estimated from the catalog."""

import re
from collections.abc import Sequence

from geofm_eval.catalog import ModelSpec

PATCH = 16
"""Pixels per side of a patch where the entry does not say."""


def operations(model: ModelSpec, side: int) -> float:
    """Return two operations per parameter and token of one image.

    Args:
        model: catalog entry; 0 is returned if it has no number of parameters.
        side: pixels per side of the image, for models that take any size.
    """
    return 2.0 * (model.parameters or 0) * ((model.image_size or side) / _patch(model)) ** 2


def _patch(model: ModelSpec) -> int:
    named: Sequence[str] = re.findall(r"patch(\d+)", str(model.options.get("model", "")))
    return int(named[0]) if named else int(model.options.get("patch", PATCH))
