"""Measurement of cases: probes, trainings, drift, similarity and throughput. Imports without torch."""

from geofm_eval.measure.case import Context, Measurement, TrainingOptions, measure_case, measurement_of

__all__ = ["Context", "Measurement", "TrainingOptions", "measure_case", "measurement_of"]
