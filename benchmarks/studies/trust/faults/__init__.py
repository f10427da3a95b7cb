"""Effects of damaged, hostile and half-written files: ``python -m benchmarks.studies.trust.faults``, docs/trust.md."""
