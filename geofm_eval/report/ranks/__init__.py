"""What is shown of rankings: tables, rows of numbers, and a few lines for a terminal."""
