"""Reports of probes: rankings, depth profiles, label efficiency, transferable taps."""
