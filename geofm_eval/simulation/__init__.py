"""Simulated scenes and stand-ins for data sets."""
