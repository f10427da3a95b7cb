"""Reports: rankings, profiles, case studies, drift and similarity from the records of a run; see ``collation``."""
