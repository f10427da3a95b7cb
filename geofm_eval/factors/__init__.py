"""Factors of a balanced factorial: shares of the variance of scores, marginal effects, cost of wrong choices."""
