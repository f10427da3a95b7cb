"""Statistics: scores, intervals, p-values. No torch, no records."""
