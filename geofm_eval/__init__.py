"""geofm_eval: how well do geospatial foundation models transfer, at which depth, and did new weights make anything worse."""

__version__ = "0.1.0"
