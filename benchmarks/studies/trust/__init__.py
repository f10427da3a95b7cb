"""Measured error rates of the suite's statistics: coverage, power, false alarms."""
