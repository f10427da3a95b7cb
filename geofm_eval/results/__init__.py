"""A run as it is read: records grouped into comparisons, trainings, drifts and pairs. No torch."""
