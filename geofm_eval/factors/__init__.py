"""What explains scores: factors of a balanced factorial, their shares of the variance, what wrong choices cost."""
