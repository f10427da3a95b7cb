"""Measure the difficulty of the stand-ins: score from colour alone, gain from spatial context, and upper bound."""
