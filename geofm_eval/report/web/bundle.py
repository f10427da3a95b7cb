"""The JavaScript library of the charts (Vega, Vega-Lite and Vega-Embed), for pages that need no network."""

from importlib.metadata import version

from geofm_eval.paths import geofm_cache
from geofm_eval.store import write_bytes

PACKAGE = "vl-convert-python"


def chart_library() -> str:
    """Return the library as one script.

    Putting it together takes seconds, so that it is kept in the cache, by the version of the package that contains it.
    """
    path = geofm_cache() / "scripts" / f"vega-{version(PACKAGE)}.js"
    if not path.is_file():
        import vl_convert  # here, because it is slow to import

        bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its types lack the default
        write_bytes(path, bundle.encode())
    return path.read_text(encoding="utf-8")
