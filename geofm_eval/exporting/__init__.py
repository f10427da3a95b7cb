"""Export of samples and features, for models that run in another environment and for other tools."""

from geofm_eval.exporting.features import FORMATS, export_features
from geofm_eval.exporting.probe import export_probe
from geofm_eval.exporting.samples import export_samples

__all__ = ["FORMATS", "export_features", "export_probe", "export_samples"]
