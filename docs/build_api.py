"""Build the reference of the API from docstrings: ``python docs/build_api.py FOLDER``."""

import sys
from pathlib import Path

import pdoc

import geofm_eval


def main(folder: Path) -> None:
    """Write one HTML page per module, the public names on the first."""
    for name in geofm_eval.__all__:
        getattr(geofm_eval, name)  # loaded when first used, and pdoc documents what is loaded
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("geofm_eval", output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "site"))
