"""Output on any terminal: characters that a terminal cannot show are replaced by plain ones."""

import codecs
import sys

PLAIN = {
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{PLUS-MINUS SIGN}": "+-",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{RIGHTWARDS ARROW}": "->",
}
PLAIN |= {bar: str(height) for height, bar in enumerate("▁▂▃▄▅▆▇█", start=1)}
"""ASCII replacements of characters; all others become a question mark."""

_HANDLER = "geofm_eval"


def allow_any_terminal() -> None:
    """Let the standard streams write any text, regardless of the encoding of the terminal or ``PYTHONIOENCODING``."""
    codecs.register_error(_HANDLER, _plainly)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end
