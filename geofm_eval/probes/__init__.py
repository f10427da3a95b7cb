"""Probes of frozen features: solved for every tap, penalty and label subset at once."""

from geofm_eval.probes.sweep import PROBE_VERSION, Sweep, SweepRow, load_sweep, save_sweep, solve

__all__ = ["PROBE_VERSION", "Sweep", "SweepRow", "load_sweep", "save_sweep", "solve"]
