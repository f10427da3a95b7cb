"""The answer of a run in words."""
