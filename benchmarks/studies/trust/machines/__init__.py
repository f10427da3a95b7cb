"""Verdicts of the suite on other processors, imitated by environment variables that disable instruction sets."""
