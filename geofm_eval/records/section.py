"""What all parts of a record are."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen part of a record: unknown fields, NaN and infinity are refused; what is unknown is None."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
