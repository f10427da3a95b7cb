"""What damaged, hostile and half-written files lead to: ``python -m benchmarks.trust.faults``, see docs/trust.md."""
