"""Scripts that repeat the studies in docs/."""
