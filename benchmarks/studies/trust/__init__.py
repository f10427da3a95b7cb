"""What the statistics of this project promise, measured: coverage, power, false alarms."""
