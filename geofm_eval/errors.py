"""Exceptions of this library.

Every message says what was found, what was expected and what to do next.
"""


class GeofmError(Exception):
    """Base class of all errors raised by geofm_eval."""


class DataError(GeofmError):
    """A data set on disk does not match its declared layout, units or labels."""


class WeightsError(GeofmError):
    """A weight file is damaged, unsafe, of another architecture, or not the pinned one."""


class ContractError(GeofmError):
    """An argument or a catalog entry violates a contract."""


class Unavailable(GeofmError):
    """Something that a case needs is missing; the case is skipped instead of failed.

    Args:
        kind: kind of the missing thing: ``data``, ``weights``, ``package``, ``device`` or ``method``.
        what: the missing thing in a few words.
        how_to_get: one sentence on how to obtain it.
    """

    def __init__(self, kind: str, what: str, how_to_get: str) -> None:
        self.kind = kind
        self.what = what
        self.how_to_get = how_to_get
        super().__init__(f"{kind} unavailable: {what}. {how_to_get}")

    def __reduce__(self) -> tuple[type["Unavailable"], tuple[str, str, str]]:
        return type(self), (self.kind, self.what, self.how_to_get)
