"""Simulated data: scenes, and stand-ins for published data sets."""
