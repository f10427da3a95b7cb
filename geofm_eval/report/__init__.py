"""Reports: rankings, profiles, trained cases, drift and similarity from the records of a run; see ``collation``."""
