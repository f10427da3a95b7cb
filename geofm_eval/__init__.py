"""How well geospatial foundation models transfer, at which depth, and whether new weights made anything worse."""

__version__ = "0.1.0"
