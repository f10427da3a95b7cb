"""How often each kind of interval that is reported holds the truth, by simulation: see ``docs/intervals.md``."""
