"""Simulated coverage of every reported kind of interval; see ``docs/intervals.md``."""
