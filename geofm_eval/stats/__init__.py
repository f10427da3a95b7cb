"""Statistics: scores, intervals, p-values. Independent of torch and records."""
