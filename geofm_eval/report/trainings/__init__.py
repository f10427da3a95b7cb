"""Reports of trained dense cases: case studies, marginal effects, cost, contact sheets."""
