"""The errors that this library raises on purpose.

Every message says what was found, what was expected and what to do next.
"""


class GeofmError(Exception):
    """Base of every error raised on purpose by geofm_eval."""


class DataError(GeofmError):
    """A data set on disk is not what its layout, units or labels say it is."""


class WeightsError(GeofmError):
    """A weight file is damaged, unsafe, of another architecture, or not the pinned one."""


class ContractError(GeofmError):
    """A caller or a catalog entry asks for something that the contracts rule out."""


class Unavailable(GeofmError):
    """Something that a case needs is merely absent: the case is skipped, not failed.

    Args:
        kind: what sort of thing is missing: ``data``, ``weights``, ``package``, ``device`` or ``method``.
        what: the missing thing in a few words.
        how_to_get: one sentence that says how to obtain it.
    """

    def __init__(self, kind: str, what: str, how_to_get: str) -> None:
        self.kind = kind
        self.what = what
        self.how_to_get = how_to_get
        super().__init__(f"{kind} unavailable: {what}. {how_to_get}")

    def __reduce__(self) -> tuple[type["Unavailable"], tuple[str, str, str]]:
        return type(self), (self.kind, self.what, self.how_to_get)
