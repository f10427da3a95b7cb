"""What all parts of a record are."""

from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue


class Section(BaseModel):
    """Frozen part of a record: unknown fields, NaN and infinity are refused; what is unknown is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _plain(value: Any) -> Any:
    """Turn tuples and numpy scalars into what JSON holds, so that a record reads back equal to what was written."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


Plain = Annotated[JsonValue, BeforeValidator(_plain)]
Description = Annotated[dict[str, JsonValue], BeforeValidator(_plain)]
"""What another part of the library says about itself: any JSON, finite numbers only."""
