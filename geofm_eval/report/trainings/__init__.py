"""Reports of trained cases: rankings, marginal effects, cost, contact sheets."""
